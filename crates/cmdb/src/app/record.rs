//! What every change records: an entry in the CI's history and one in the platform's audit log.

use api_types::cmdb::Ci;
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use serde::Serialize;
use serde_json::Value;
use service_kit::{ApiResult, audit, auth::Caller};
use sqlx::PgConnection;

use crate::store::history::{Happening, insert_history};

/// One change of one CI, about to be committed.
pub struct Change<'a> {
    pub action: &'static str,
    pub ci_id: &'a CiId,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub why: Option<&'a str>,
}

impl<'a> Change<'a> {
    pub fn new(action: &'static str, ci_id: &'a CiId) -> Self {
        Self { action, ci_id, before: None, after: None, why: None }
    }

    pub fn before(mut self, value: &impl Serialize) -> Self {
        self.before = serde_json::to_value(value).ok();
        self
    }

    pub fn after(mut self, value: &impl Serialize) -> Self {
        self.after = serde_json::to_value(value).ok();
        self
    }

    pub fn why(mut self, why: Option<&'a str>) -> Self {
        self.why = why;
        self
    }
}

/// Writes history and audit record in the transaction of the change.
pub async fn record_change(
    conn: &mut PgConnection,
    caller: &Caller,
    at: DateTime<Utc>,
    change: Change<'_>,
) -> ApiResult<()> {
    let happening = Happening {
        ci_id: change.ci_id.to_string(),
        action: change.action,
        before: change.before.clone(),
        after: change.after.clone(),
    };
    insert_history(conn, &[happening], &caller.subject, change.why, at).await?;
    let mut record = audit::Record::new(change.action, format!("ci/{}", change.ci_id)).reason(change.why);
    record.before = change.before;
    record.after = change.after;
    audit::record(conn, caller, record).await
}

/// What an operator decides about a CI, as stored in its history. Maintenance and patch state have their own entries.
#[derive(Serialize)]
pub struct Decided<'a> {
    #[serde(rename = "type")]
    ci_type: api_types::cmdb::CiType,
    name: &'a str,
    status: api_types::cmdb::CiStatus,
    tags: &'a domain::selector::Tags,
    attributes: &'a std::collections::BTreeMap<String, Value>,
}

impl<'a> From<&'a Ci> for Decided<'a> {
    fn from(ci: &'a Ci) -> Self {
        Self {
            ci_type: ci.ci_type,
            name: &ci.name,
            status: ci.status,
            tags: &ci.tags,
            attributes: &ci.attributes,
        }
    }
}

/// The decided part as JSON.
pub fn decided(ci: &Ci) -> Option<Value> {
    serde_json::to_value(Decided::from(ci)).ok()
}
