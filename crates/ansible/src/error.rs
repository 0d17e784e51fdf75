use std::{io, path::PathBuf};

use crate::{inventory::InvalidInventory, variables::InvalidVariable};

/// Why a playbook did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("`ansible-playbook` was not found; run `cargo xtask bootstrap`, or set PATCH_ANSIBLE_PLAYBOOK")]
    ProgramNotFound,
    #[error("the folder of playbooks was not found; set PATCH_PLAYBOOKS")]
    PlaybooksNotFound,
    #[error("playbook `{0}` does not exist; install the platform's playbooks again")]
    PlaybookMissing(PathBuf),
    #[error("the inventory is empty; a run needs at least one host")]
    NoHosts,
    #[error(transparent)]
    Inventory(#[from] InvalidInventory),
    #[error(transparent)]
    Variable(#[from] InvalidVariable),
    #[error("the run's folder `{path}` cannot be prepared")]
    RunFolder { path: PathBuf, source: io::Error },
    #[error("`{program}` cannot be started")]
    Spawn { program: PathBuf, source: io::Error },
}
