//! The catalogue: which playbooks there are. A user names one of these or nothing.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::error::StartError;

/// A playbook of the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Playbook {
    ScanCompliance,
    PatchRhel,
    PatchUbuntu,
    /// A wave with hosts of both families.
    PatchMixed,
    RebootManaged,
    RollbackSnapshot,
    StagingTests,
    /// After a stop or a crash: brings hosts to a known state and says which.
    SettleHost,
    /// Brings a version of the product to a customer's host.
    DeployRelease,
}

/// The text is no name of a playbook.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no playbook of this name; the playbooks are {}", Playbook::ALL.map(|playbook| format!("`{playbook}`")).join(", "))]
pub struct UnknownPlaybook;

impl Playbook {
    pub const ALL: [Self; 9] = [
        Self::ScanCompliance,
        Self::PatchRhel,
        Self::PatchUbuntu,
        Self::PatchMixed,
        Self::RebootManaged,
        Self::RollbackSnapshot,
        Self::StagingTests,
        Self::SettleHost,
        Self::DeployRelease,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::ScanCompliance => "scan-compliance",
            Self::PatchRhel => "patch-rhel",
            Self::PatchUbuntu => "patch-ubuntu",
            Self::PatchMixed => "patch-mixed",
            Self::RebootManaged => "reboot-managed",
            Self::RollbackSnapshot => "rollback-snapshot",
            Self::StagingTests => "staging-tests",
            Self::SettleHost => "settle-host",
            Self::DeployRelease => "deploy-release",
        }
    }
}

impl FromStr for Playbook {
    type Err = UnknownPlaybook;

    fn from_str(text: &str) -> Result<Self, UnknownPlaybook> {
        Self::ALL.into_iter().find(|playbook| playbook.name() == text).ok_or(UnknownPlaybook)
    }
}

impl fmt::Display for Playbook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The folder that holds them, with their role and plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Playbooks(PathBuf);

impl Playbooks {
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// `PATCH_PLAYBOOKS`; else `playbooks` beside the program or above it; else that of the source tree.
    pub fn locate() -> Result<Self, StartError> {
        if let Some(folder) = env::var_os("PATCH_PLAYBOOKS") {
            return Ok(Self(folder.into()));
        }
        let program = env::current_exe().ok();
        let above_program = program.iter().flat_map(|program| program.ancestors().skip(1).take(4));
        let source_tree = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
        above_program
            .chain(source_tree)
            .map(|folder| folder.join("playbooks"))
            .find(|folder| folder.join("roles/managed_host").is_dir())
            .map(Self)
            .ok_or(StartError::PlaybooksNotFound)
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }

    pub(crate) fn path(&self, playbook: Playbook) -> Result<PathBuf, StartError> {
        let path = self.0.join(format!("{playbook}.yml"));
        match path.is_file() {
            true => Ok(path),
            false => Err(StartError::PlaybookMissing(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_playbook_of_the_catalogue_exists() {
        let playbooks = Playbooks::locate().unwrap();
        for playbook in Playbook::ALL {
            assert!(playbooks.path(playbook).is_ok(), "{playbook} is missing");
            assert_eq!(playbook.name().parse(), Ok(playbook));
        }
    }
}
