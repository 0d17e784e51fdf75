use std::{io, path::PathBuf};

use crate::{inventory::InvalidInventory, variables::InvalidVariable};

/// Why a playbook was not started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "`ansible-playbook` was not found; run `cargo xtask bootstrap`, or name it in PATCH_ANSIBLE_PLAYBOOK"
    )]
    ProgramNotFound,
    #[error("the folder of playbooks was not found; name it in PATCH_PLAYBOOKS")]
    PlaybooksNotFound,
    #[error("playbook `{0}` is missing from the folder of playbooks; install the platform's playbooks again")]
    PlaybookMissing(PathBuf),
    #[error("the inventory is empty; a run needs at least one host")]
    NoHosts,
    #[error(transparent)]
    Inventory(#[from] InvalidInventory),
    #[error(transparent)]
    Variable(#[from] InvalidVariable),
    #[error("environment variable `{0}` may not be set for a playbook; only names of the operator's own may")]
    Environment(String),
    #[error("the run's folder `{path}` cannot be prepared")]
    RunFolder { path: PathBuf, source: io::Error },
    #[error("`{program}` cannot be started")]
    Spawn { program: PathBuf, source: io::Error },
    #[error("the scripted runner was told to refuse: {0}")]
    Scripted(String),
}
