//! What is done to one host: the steps of its workflow, as data.

use serde::{Deserialize, Serialize};

/// Whether and when a host is rebooted after its update.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Reboot {
    Never,
    /// The host is asked after the update.
    #[default]
    IfRequired,
    Always,
}

/// What happens to a host that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Rollback {
    /// It is returned to its snapshot at once.
    #[default]
    Auto,
    /// It stays as it is until an operator asks for `rollback`.
    Manual,
    Never,
}

/// By which means one host can be rolled back; decided when the run is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum RollbackMode {
    Snapshot,
    None,
}

/// A program with its arguments; never a line for a shell.
pub type Command = Vec<String>;

/// The workflow of a host around its update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HostWorkflow {
    /// Free disk space below which a host is not patched, in percent.
    pub min_disk_free_percent: u8,
    pub pre_downtime_commands: Vec<Command>,
    pub drain_timeout_seconds: u32,
    pub pre_update_commands: Vec<Command>,
    pub post_update_commands: Vec<Command>,
    pub health_timeout_seconds: u32,
    /// For this long all services must be healthy without a break.
    pub health_stable_seconds: u32,
    /// A host is given this long for its whole workflow.
    pub host_timeout_seconds: u32,
}

impl Default for HostWorkflow {
    fn default() -> Self {
        Self {
            min_disk_free_percent: 5,
            pre_downtime_commands: Vec::new(),
            drain_timeout_seconds: 300,
            pre_update_commands: Vec::new(),
            post_update_commands: Vec::new(),
            health_timeout_seconds: 600,
            health_stable_seconds: 0,
            host_timeout_seconds: 3600,
        }
    }
}

/// One test of a host, run by Ansible before and after its update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HostTest {
    pub name: String,
    #[serde(flatten)]
    pub check: HostCheck,
}

/// What a test looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum HostCheck {
    Reachable,
    ServiceActive { service: String },
    PortOpen { port: u16 },
    ConfigValid { service: String },
    PackageInstalled { package: String },
    DiskFree { percent: u8 },
    ClockSynchronised { max_offset_ms: u32 },
    NoRebootPending,
    PackageDatabaseConsistent,
}
