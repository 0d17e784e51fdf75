use std::{io, path::Path, time::Duration};

use domain::ids::CiId;
use service_kit::{ApiError, problem_types};

#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    #[error("hosts of the driver `linux` cannot run here: {0}")]
    Unsupported(String),
    #[error("`{path}` cannot be {verb}")]
    File { verb: &'static str, path: String, source: io::Error },
    #[error("`{program}` failed: {output}")]
    Program { program: String, output: String },
    #[error("`{program}` did not end within {} s and was killed", .after.as_secs())]
    Timeout { program: String, after: Duration },
    #[error("`{0}` has invalid content")]
    Invalid(String),
    #[error("the fleet's folder already has a host `{0}`")]
    HostExists(CiId),
    #[error("the fleet has 240 hosts, the maximum of one network; delete some")]
    Full,
    #[error("the disk of `{0}` is missing; delete the machine and create it again")]
    DiskMissing(CiId),
    #[error("snapshot `{tag}` of `{host}` is missing in the fleet's folder")]
    SnapshotMissing { host: CiId, tag: String },
    #[error("host `{host}` did not answer over SSH within {} s; its console ends with: {console}", .after.as_secs())]
    Unreachable { host: CiId, after: Duration, console: String },
    #[error("processes in `{0}` did not end although they were killed")]
    NotKilled(String),
}

impl FleetError {
    pub fn file(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { verb, path, source }
    }
}

impl From<FleetError> for ApiError {
    fn from(error: FleetError) -> Self {
        let kind = match error {
            FleetError::Unsupported(_) => "driver-unavailable",
            FleetError::HostExists(_) => "vm-exists",
            FleetError::Full => "fleet-full",
            FleetError::DiskMissing(_) | FleetError::SnapshotMissing { .. } => "disk-gone",
            FleetError::Unreachable { .. } | FleetError::Timeout { .. } => {
                return Self::unavailable("guest-unreachable", error.to_string());
            }
            other => return Self::internal(other),
        };
        Self::conflict(kind, error.to_string())
    }
}
