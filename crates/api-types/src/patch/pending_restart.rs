//! Services that still run code which an update has replaced.

use domain::restart::{ProcessGroup, Remedy, StaleService, StaleServices};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether services of a host still run replaced code.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum PendingRestart {
    /// Nobody looked, as with pushed inventories: it is unknown.
    #[default]
    NotChecked,
    /// The host could not say it: it is unknown.
    Failed { reason: String },
    Checked {
        /// Empty: nothing waits for a restart.
        services: Vec<ServiceToRestart>,
    },
}

/// A service, or another group of processes, that runs deleted files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceToRestart {
    pub kind: ProcessGroup,
    /// The unit of systemd, or the name of the program if no unit of the host has started it.
    pub name: String,
    /// What makes it run the installed code.
    pub remedy: Remedy,
    /// How many of its processes run deleted files.
    pub processes: u32,
    /// The first of these files.
    pub files: Vec<String>,
}

impl From<StaleServices> for PendingRestart {
    fn from(stale: StaleServices) -> Self {
        match stale {
            StaleServices::NotChecked => Self::NotChecked,
            StaleServices::Failed { reason } => Self::Failed { reason },
            StaleServices::Checked { services } => {
                Self::Checked { services: services.into_iter().map(ServiceToRestart::from).collect() }
            }
        }
    }
}

impl From<StaleService> for ServiceToRestart {
    fn from(stale: StaleService) -> Self {
        let remedy = stale.remedy();
        let StaleService { kind, name, processes, files } = stale;
        Self { kind, name, remedy, processes, files }
    }
}

impl PendingRestart {
    /// The services that are known to wait.
    pub fn services(&self) -> &[ServiceToRestart] {
        match self {
            Self::Checked { services } => services,
            Self::NotChecked | Self::Failed { .. } => &[],
        }
    }
}
