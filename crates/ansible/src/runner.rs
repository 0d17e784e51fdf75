//! The edge to Ansible, as the rest of the platform sees it.

use std::{future::Future, pin::Pin};

use crate::{
    error::StartError,
    run::{PlaybookRun, RunningPlaybook},
};

pub type StartFuture<'a> = Pin<Box<dyn Future<Output = Result<RunningPlaybook, StartError>> + Send + 'a>>;

/// Starts playbooks: [`AnsibleRunner`](crate::AnsibleRunner) for real, [`ScriptedRunner`](crate::ScriptedRunner) in tests.
pub trait PlaybookRunner: Send + Sync {
    fn start(&self, run: PlaybookRun) -> StartFuture<'_>;
}
