use std::{io, path::Path, time::Duration};

use domain::ids::CiId;
use service_kit::{ApiError, problem_types};

/// Why the laboratory did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    #[error("machines of the driver `linux` cannot run here: {0}")]
    Missing(String),
    #[error("`{path}` cannot be {verb}")]
    File { verb: &'static str, path: String, source: io::Error },
    #[error("`{program}` failed: {said}")]
    Program { program: String, said: String },
    #[error("`{program}` did not end within {} s and was killed", .after.as_secs())]
    Slow { program: String, after: Duration },
    #[error("`{0}` holds what cannot be read")]
    Garbled(String),
    #[error("there is a host `{0}` in the fleet's folder already")]
    Taken(CiId),
    #[error("the fleet has 240 hosts, the most one network holds; delete some")]
    Full,
    #[error("the disk of `{0}` is gone; delete the machine and make it anew")]
    Gone(CiId),
    #[error("snapshot `{tag}` of `{host}` is gone from the fleet's folder")]
    SnapshotGone { host: CiId, tag: String },
    #[error("host `{host}` did not answer over SSH within {} s; its console ends with: {said}", .after.as_secs())]
    Silent { host: CiId, after: Duration, said: String },
    #[error("processes of `{0}` did not end though they were killed")]
    Undead(String),
}

impl FleetError {
    pub fn file(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { verb, path, source }
    }
}

impl From<FleetError> for ApiError {
    fn from(error: FleetError) -> Self {
        match error {
            FleetError::Missing(_) => Self::new(problem_types::DRIVER_UNAVAILABLE, error.to_string()),
            FleetError::Taken(_) => Self::new(problem_types::VM_EXISTS, error.to_string()),
            FleetError::Full => Self::new(problem_types::FLEET_FULL, error.to_string()),
            FleetError::Gone(_) | FleetError::SnapshotGone { .. } => {
                Self::new(problem_types::DISK_GONE, error.to_string())
            }
            FleetError::Silent { .. } | FleetError::Slow { .. } => {
                Self::new(problem_types::GUEST_UNREACHABLE, error.to_string())
            }
            other => Self::internal(other),
        }
    }
}
