//! The files of a run, for the bare command that a person types. Benchmarks put it beside the platform's way.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tokio::task::JoinHandle;

use crate::{
    ansible_runner::at,
    playbook::Playbooks,
    run_folder::{RunFolder, remove_secrets},
};

/// A run whose files are written and that nothing has started. While it lives, questions of plugins are answered.
#[derive(Debug)]
pub struct ByHand {
    pub(crate) program: PathBuf,
    pub(crate) playbooks: Playbooks,
    pub(crate) playbook: PathBuf,
    pub(crate) forks: u16,
    pub(crate) folder: RunFolder,
    pub(crate) judge: JoinHandle<()>,
}

impl ByHand {
    /// `ansible-playbook` with its own settings, except for the number of forks.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        for inventory in self.folder.inventories() {
            command.arg("-i").arg(inventory);
        }
        command
            .arg("-e")
            .arg(at(&self.folder.variables()))
            .args(["--forks", &self.forks.to_string()])
            .arg(&self.playbook)
            .env("ANSIBLE_COLLECTIONS_PATH", self.playbooks.folder().join("collections"))
            .env("LC_ALL", "C.UTF-8");
        command
    }

    /// The host keys of the inventory's hosts.
    pub fn known_hosts(&self) -> PathBuf {
        self.folder.known_hosts()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        self.judge.abort();
        if let Err(error) = remove_secrets(self.folder.path()) {
            tracing::error!(%error, folder = %self.folder.path().display(), "cannot remove the secrets of a run");
        }
    }
}
