//! The identity of the installation, and what happens after its database was restored or copied.

use chrono::{DateTime, Utc};
use domain::{ids::RunId, run::Stage};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// The installation, as its database knows it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Installation {
    /// Made at the first start. A copy of it is in the work folder of each replica.
    pub id: Uuid,
    /// Advances with each confirmed restore.
    pub epoch: i64,
    /// Why no run is worked on and no schedule starts one; null if everything is as it should be.
    pub hold: Option<Hold>,
    /// Runs that wait until an operator resumes or cancels them, oldest first, at most 100.
    pub held_runs: Vec<HeldRun>,
    /// The work folders that know the installation.
    pub folders: Vec<InstallationFolder>,
    pub confirmed_at: Option<DateTime<Utc>>,
    pub confirmed_by: Option<String>,
}

/// Why the installation is held until an administrator confirms.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Hold {
    pub since: DateTime<Utc>,
    pub cause: HoldCause,
    /// What does not agree.
    pub detail: String,
}

/// How it was recognised that the database may not be the one that was worked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldCause {
    /// The work folder has seen more than the database knows: an older state was put back.
    Older,
    /// The database is not where its identity was made: it was restored, copied or moved.
    Moved,
    /// The database is known to another work folder, and no replica that uses it is at work.
    UnknownFolder,
    /// The work folder was copied to another place.
    CopiedFolder,
    /// `patchctl restore` put it back.
    Restored,
}

/// A run that waits for an operator. What was done to its hosts after the state that was restored is not known.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct HeldRun {
    pub id: RunId,
    pub stage: Option<Stage>,
    pub reason: Option<String>,
    /// Hosts on which its work has not ended, as far as the database knows.
    pub unfinished_hosts: i64,
    pub created_at: DateTime<Utc>,
}

/// A work folder that knows the installation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct InstallationFolder {
    pub folder: Uuid,
    /// Its path, on the machine of its replica.
    pub place: String,
    /// Advances while a replica uses it.
    pub count: i64,
    pub seen_at: DateTime<Utc>,
}

/// The confirmation that work may continue with this database.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmInstallation {
    /// Why, in 1 to 1000 characters; part of the audit record.
    pub reason: String,
}
