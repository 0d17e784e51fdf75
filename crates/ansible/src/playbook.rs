//! The catalogue of playbooks. A run can name one of these and nothing else.

use std::{
    env, fmt,
    path::{Path, PathBuf},
};

use crate::error::StartError;

/// A playbook of the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Playbook {
    ScanCompliance,
    /// Checks whether hosts are ready for their updates.
    Preflight,
    /// Asks package managers what they would do for the planned packages.
    PlanTransaction,
    PatchRhel,
    PatchUbuntu,
    /// For a batch with hosts of both families.
    PatchMixed,
    RebootManaged,
    RollbackSnapshot,
    StagingTests,
    /// After a stop or a crash: brings hosts to a known state and reports which one.
    RecoverHost,
    /// Brings a version of the product to a customer's host.
    DeployRelease,
}

impl fmt::Display for Playbook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ScanCompliance => "scan-compliance",
            Self::Preflight => "preflight",
            Self::PlanTransaction => "plan-transaction",
            Self::PatchRhel => "patch-rhel",
            Self::PatchUbuntu => "patch-ubuntu",
            Self::PatchMixed => "patch-mixed",
            Self::RebootManaged => "reboot-managed",
            Self::RollbackSnapshot => "rollback-snapshot",
            Self::StagingTests => "staging-tests",
            Self::RecoverHost => "recover-host",
            Self::DeployRelease => "deploy-release",
        })
    }
}

/// The folder of the playbooks, with their role and plugins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Playbooks(PathBuf);

impl Playbooks {
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// `PATCH_PLAYBOOKS`, or `playbooks` in the folder of the program or above it, or that of the source tree.
    pub fn locate() -> Result<Self, StartError> {
        if let Some(folder) = env::var_os("PATCH_PLAYBOOKS") {
            return Ok(Self(folder.into()));
        }
        installation_folders()
            .into_iter()
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
        if path.is_file() { Ok(path) } else { Err(StartError::PlaybookMissing(path)) }
    }
}

/// Where this installation may be: in the folder of the program or above it, or in the source tree.
pub(crate) fn installation_folders() -> Vec<PathBuf> {
    let program = env::current_exe().ok();
    let above_program = program.iter().flat_map(|program| program.ancestors().skip(1).take(4));
    let source_tree = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    above_program.chain(source_tree).map(Path::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use domain::workflow::WorkflowStep;

    use super::*;

    #[test]
    fn every_playbook_of_the_catalogue_exists() {
        use Playbook::*;
        let playbooks = Playbooks::locate().unwrap();
        for playbook in [
            ScanCompliance,
            Preflight,
            PlanTransaction,
            PatchRhel,
            PatchUbuntu,
            PatchMixed,
            RebootManaged,
            RollbackSnapshot,
            StagingTests,
            RecoverHost,
            DeployRelease,
        ] {
            assert!(playbooks.path(playbook).is_ok(), "{playbook} is missing");
        }
    }

    #[test]
    fn tasks_name_every_step_of_the_workflow_and_no_other() {
        let folder = Playbooks::locate().unwrap().folder().join("roles/managed_host/tasks");
        let mut named = BTreeSet::new();
        for file in fs::read_dir(folder).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            let steps = text.lines().filter_map(|line| line.trim().strip_prefix("managed_host_step: "));
            named.extend(steps.map(str::to_owned));
        }
        let known = WorkflowStep::ALL.map(|step| step.name().to_owned());
        assert_eq!(named, BTreeSet::from(known));
    }
}
