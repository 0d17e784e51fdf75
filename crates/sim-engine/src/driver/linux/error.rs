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
    #[error("must be a service of the image of `{os}`")]
    UnknownService { index: usize, os: String },
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
        let problem = match error {
            FleetError::Unsupported(_) => problem_types::DRIVER_UNAVAILABLE,
            FleetError::HostExists(_) => problem_types::VM_EXISTS,
            FleetError::Full => problem_types::FLEET_FULL,
            FleetError::DiskMissing(_) | FleetError::SnapshotMissing { .. } => problem_types::DISK_GONE,
            FleetError::Unreachable { .. } | FleetError::Timeout { .. } => problem_types::GUEST_UNREACHABLE,
            FleetError::UnknownService { index, .. } => {
                return Self::invalid(format!("/guest/services/{index}/name"), error.to_string());
            }
            other => return Self::internal(other),
        };
        Self::new(problem, error.to_string())
    }
}
