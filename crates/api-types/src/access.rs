//! Tokens and roles, the same for every service.

use chrono::{DateTime, Utc};
use domain::text::is_hidden;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

pub use domain::ids::{CiId, Subject};

/// What a token may do; `docs/access.md` lists every operation. `admin` includes `operator`; only `approver` may approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Plans, runs and changes.
    Operator,
    /// Decides on the work of others.
    Approver,
    /// Reads everything, the audit log included, and changes nothing.
    Auditor,
    /// Does what an operator does, and manages tokens and people.
    Admin,
    /// Pushes the inventory of one host and does nothing else.
    Agent,
    /// One service speaking to another.
    Service,
}

impl Role {
    pub const ALL: [Self; 7] = [
        Self::Viewer,
        Self::Operator,
        Self::Approver,
        Self::Auditor,
        Self::Admin,
        Self::Agent,
        Self::Service,
    ];

    /// The name as it is stored and sent.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
            Self::Agent => "agent",
            Self::Service => "service",
        }
    }
}

/// A token to issue. A token with the role `approver` or `admin` is issued when a second administrator or an approver
/// confirms it; only the first approver needs nobody else.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// The person or program that uses the token, 1 to 100 of `a-z 0-9 . _ @ -`. Separation of duties compares subjects,
    /// not tokens.
    pub subject: Subject,
    /// Not `service`: the tokens of services come only from files. `agent` alone, and with `ci`.
    pub roles: Vec<Role>,
    /// The CI of an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci: Option<CiId>,
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
    /// The CI of an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci: Option<String>,
    pub expires_at: DateTime<Utc>,
}

/// A token in a list, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Token {
    pub id: Uuid,
    pub subject: String,
    pub roles: Vec<Role>,
    /// The CI of an agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci: Option<String>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
    /// The administrator who asked for it; `null` for a token from a file.
    #[serde(default)]
    pub created_by: Option<String>,
    /// Who confirmed it; `null` if that was not necessary.
    #[serde(default)]
    pub confirmed_by: Option<String>,
}

/// What the platform knows of a person: the addresses that are verified to be theirs, and what they may do. A link in an
/// e-mail to one of the addresses decides as this person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Person {
    /// The subject of the person's tokens.
    pub subject: String,
    /// In lower case. An address belongs to one person.
    pub emails: Vec<String>,
    /// What the person may do by a link. A token has roles of its own.
    pub roles: Vec<Role>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// The administrator who wrote the record last.
    pub updated_by: String,
    /// Who confirmed the roles and addresses; `null` if that was not necessary.
    pub confirmed_by: Option<String>,
}

/// The record of a person to write. A new approver or administrator, and a new address of one, wait until a second
/// administrator or an approver confirms them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutPerson {
    /// 0 to 10 addresses that you have verified to be this person's.
    #[serde(default)]
    pub emails: Vec<String>,
    /// Not `service`.
    pub roles: Vec<Role>,
}

/// A write that one person alone must not do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Proposed {
    CreateToken {
        subject: Subject,
        roles: Vec<Role>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ci: Option<CiId>,
        expires_in_days: u32,
    },
    PutPerson {
        subject: Subject,
        emails: Vec<String>,
        roles: Vec<Role>,
    },
    WeakenControl(WeakenControl),
}

impl Proposed {
    /// Who gets what is proposed, if it is for somebody.
    pub fn subject(&self) -> Option<&Subject> {
        match self {
            Self::CreateToken { subject, .. } | Self::PutPerson { subject, .. } => Some(subject),
            Self::WeakenControl(_) => None,
        }
    }

    /// The roles that the subject gets.
    pub fn roles(&self) -> &[Role] {
        match self {
            Self::CreateToken { roles, .. } | Self::PutPerson { roles, .. } => roles,
            Self::WeakenControl(_) => &[],
        }
    }
}

/// A request that weakens a control. It is carried out, in the name of who sent it, when a second person confirms it at the
/// service that it was sent to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WeakenControl {
    /// The service that carries it out: `patch-manager`, `cmdb`, `itsm`.
    pub service: String,
    /// The operation: `delete_calendar`.
    pub operation: String,
    /// What it is done to: `calendar/018f4e3a-0000-7000-8000-000000000002`.
    pub object: String,
    /// What becomes weaker, one sentence each.
    pub weakens: Vec<String>,
    pub method: String,
    pub path: String,
    /// The body of the request; `null` if it has none, and for callers who only read.
    #[schema(value_type = serde_json::Value)]
    #[serde(default)]
    pub body: Option<serde_json::Value>,
    /// SHA-256 of what the request replaces. If that has changed when somebody confirms, the proposal is void.
    pub replaces: String,
    /// The roles of the token that sent it.
    pub roles: Vec<Role>,
}

/// What became of a write that a second person may have to confirm.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Outcome<T> {
    Proposed(Box<Proposal>),
    Done(T),
}

impl<T> Outcome<T> {
    /// What was done; `None` if it waits for a second person.
    pub fn done(self) -> Option<T> {
        match self {
            Self::Done(done) => Some(done),
            Self::Proposed(_) => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProposalState {
    /// Waits for a second person until it expires.
    Pending,
    Confirmed,
    Rejected,
}

/// A write that waits for a second person, or did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Proposal {
    pub id: Uuid,
    pub proposed: Proposed,
    pub proposed_by: String,
    pub proposed_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub state: ProposalState,
    pub decided_by: Option<String>,
    pub decided_at: Option<DateTime<Utc>>,
}

/// A confirmed proposal, and what it made.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Confirmed {
    pub proposal: Proposal,
    /// The token, if one was proposed: the only time its secret is shown. Hand it to its subject.
    #[serde(default)]
    pub token: Option<IssuedToken>,
    #[serde(default)]
    pub person: Option<Person>,
    /// The answer of the request that was carried out, if it has one.
    #[schema(value_type = serde_json::Value)]
    #[serde(default)]
    pub answer: Option<serde_json::Value>,
}

/// Who makes a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    pub subject: String,
    pub roles: Vec<Role>,
    /// When the token or session of the request expires.
    pub expires_at: DateTime<Utc>,
    /// Whether the request is signed in by a session of a browser, and not by a token.
    pub is_session: bool,
    /// The issuer of the identity provider at which the person signed in; `null` for a token and for a session that a token started.
    #[serde(default)]
    pub provider: Option<String>,
}

/// How people sign in, in addition to tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignInWays {
    /// `null` if no identity provider is configured.
    pub provider: Option<SignInProvider>,
}

/// The OpenID Connect provider at which people sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignInProvider {
    /// For people.
    pub name: String,
    pub issuer: String,
    /// The client with which `patchctl login` signs in; `null` if it cannot.
    pub device_client_id: Option<String>,
    /// The scopes to ask for, separated by spaces.
    pub scopes: String,
}

/// An ID token to exchange for a token of the platform.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExchangeIdToken {
    /// From the device flow, not older than ten minutes and not used before.
    pub id_token: String,
}

/// What remains after signing out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignedOut {
    /// The page at which the session at the identity provider ends; `null` if the provider has none.
    pub provider_page: Option<String>,
}

/// A session of a browser. Its secret is only in the cookie of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    pub id: Uuid,
    pub subject: String,
    /// Those of the token it was started with.
    pub roles: Vec<Role>,
    pub expires_at: DateTime<Utc>,
}

/// Somebody who can approve changes now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApproverInfo {
    pub subject: String,
    pub since: DateTime<Utc>,
    /// By a token, by links to the addresses of the person, or signed in at the identity provider.
    pub by: ApproverBy,
    /// The administrator who asked for it; `null` if that is not known, or for a token from a file.
    pub created_by: Option<String>,
    /// Who confirmed it; `null` for the first approver, whom one administrator created alone.
    pub confirmed_by: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApproverBy {
    Token,
    Link,
    /// Signed in at the identity provider; ends with the session.
    SignIn,
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

/// What a check of the audit log of one service against its chain of hashes found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditCheck {
    pub service: String,
    /// The last position up to which everything fits.
    pub position: i64,
    /// The hash at this position, in hexadecimal. It covers every record before.
    pub hash: String,
    /// Whether the end of the chain is reached.
    pub is_complete: bool,
    /// At the end: records that wait for their seal, which follows within seconds.
    pub waiting: i64,
    /// At the end: records that are neither sealed nor waiting. Somebody wrote them past the service.
    pub outside: i64,
    /// The first position that does not fit.
    pub fault: Option<AuditFault>,
}

/// A seal that does not fit its record, or has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditFault {
    pub position: i64,
    /// The sequence of the record.
    pub sequence: i64,
    pub reason: String,
}

/// The hash at a position of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditHash {
    pub position: i64,
    /// In hexadecimal.
    pub hash: String,
}

/// Where a service exports the end of its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuditDestination {
    File,
    Webhook,
    Syslog,
}

/// A destination of the ends of a chain, and what became of the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditExport {
    pub service: String,
    pub destination: AuditDestination,
    /// The Ed25519 key that checks the signatures, in base64. Note it outside of the platform.
    pub public_key: String,
    /// When an end was exported last; `null` if none was yet.
    pub exported_at: Option<DateTime<Utc>>,
    /// Its position.
    pub position: Option<i64>,
    /// Attempts to export the end that is due; 0 if none has failed.
    pub attempts: i32,
    pub last_error: Option<String>,
}

/// Whether the text is a plain e-mail address, without a name or comment.
pub fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let is_plain = |part: &str| {
        !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || is_hidden(c) || "<>,;@".contains(c))
    };
    text.len() <= 254 && is_plain(local) && is_plain(domain)
}
