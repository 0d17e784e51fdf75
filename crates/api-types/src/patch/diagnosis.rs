//! What the patch-manager knows about its own surroundings, for `patchctl doctor`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the replica that answers sees of its machine and its database. It has no secret and no path of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Diagnosis {
    /// By the clock of the service.
    pub at: DateTime<Utc>,
    /// Version of the service.
    pub version: String,
    pub database: DatabaseDiagnosis,
    pub ansible: AnsibleDiagnosis,
    /// Where the work folder is: feeds that are imported, files of playbooks.
    pub work_disk: DiskDiagnosis,
    pub host_keys: HostKeysDiagnosis,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatabaseDiagnosis {
    /// By the clock of the database server.
    pub at: DateTime<Utc>,
    pub server_version: String,
    pub size_bytes: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AnsibleDiagnosis {
    /// The first line of `ansible-playbook --version`; null if it could not be asked.
    pub version: Option<String>,
    /// Why the version is not known.
    pub problem: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskDiagnosis {
    /// What the service may still write; null if it could not be asked.
    pub free_bytes: Option<u64>,
    pub total_bytes: Option<u64>,
    /// Why the room is not known.
    pub problem: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostKeysDiagnosis {
    pub source: HostKeySource,
    /// Why the keys cannot be used. Whether a Vault answers is known only when a run reads keys from it.
    pub problem: Option<String>,
}

/// Where the keys for SSH to real hosts come from, unless a policy names a Vault of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostKeySource {
    Vault,
    File,
    None,
}
