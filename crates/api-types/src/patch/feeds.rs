//! Feeds that the platform fetches itself.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A feed to fetch: a preset, or an address of your own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutFeed {
    /// Name of a preset, such as `almalinux:9`, `debian:12`, `kev` or `epss`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Address of the feed, in any format that an import accepts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Address of a text that begins with the SHA-256 of the feed in hexadecimal. A feed with another one is not imported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum_url: Option<String>,
    /// Minutes between two requests, 5 to 43200; 360 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 5, maximum = 43200)]
    pub every_minutes: Option<i32>,
    /// Hours without a successful request after which the feed is late and an incident is opened, 1 to 8760; 48 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 8760)]
    pub late_after_hours: Option<i32>,
}

/// A feed that the platform fetches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Feed {
    pub id: String,
    /// Without path and query, which may contain a secret, unless it is the address of a preset.
    pub url: String,
    #[serde(default)]
    pub checksum_url: Option<String>,
    pub every_minutes: i32,
    pub late_after_hours: i32,
    pub state: FeedState,
    /// Last request, successful or not.
    #[serde(default)]
    pub checked_at: Option<DateTime<Utc>>,
    /// Last time when what the platform has was known to be the newest.
    #[serde(default)]
    pub fetched_at: Option<DateTime<Utc>>,
    pub next_at: DateTime<Utc>,
    /// Failed requests since the last success.
    pub failures: i32,
    /// Why the last request failed.
    #[serde(default)]
    pub problem: Option<String>,
    /// Last import of it.
    #[serde(default)]
    pub import_id: Option<Uuid>,
    /// Incident about its lateness.
    #[serde(default)]
    pub incident_id: Option<String>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeedState {
    /// It was not fetched yet.
    Waiting,
    /// The last request succeeded.
    Current,
    /// The last request failed.
    Failing,
    /// No request succeeded for longer than `late_after_hours`.
    Late,
}

/// An address at which a publisher offers a feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FeedPreset {
    pub name: String,
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum_url: Option<String>,
    /// What it covers.
    pub covers: String,
}
