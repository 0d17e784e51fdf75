//! Tokens and roles, the same for every service.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// What a token may do. `admin` includes `operator` and `viewer`; only `approver` may approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Viewer,
    Operator,
    Approver,
    Admin,
    /// One service speaking to another.
    Service,
}

/// A token to issue.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// The person or program that uses the token. Separation of duties compares subjects, not tokens.
    pub subject: String,
    pub roles: Vec<Role>,
    /// Days until it expires, 1 to 365.
    #[serde(default = "ninety")]
    pub expires_in_days: u32,
}

fn ninety() -> u32 {
    90
}

/// A new token: the only time its secret is shown.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct IssuedToken {
    pub id: Uuid,
    /// `pm_` and 256 random bits.
    pub token: String,
    pub subject: String,
    pub roles: Vec<Role>,
    pub expires_at: DateTime<Utc>,
}

/// A token in a list, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Token {
    pub id: Uuid,
    pub subject: String,
    pub roles: Vec<Role>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
}

/// One write: who did what to which object, and its state before and after.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditRecord {
    pub sequence: i64,
    pub at: DateTime<Utc>,
    pub service: String,
    pub subject: String,
    pub action: String,
    pub object: String,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
    pub reason: Option<String>,
    pub request_id: Option<String>,
}
