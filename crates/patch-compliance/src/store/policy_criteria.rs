//! The criteria of compliance: policies and exceptions, and the revision that counts their changes.

use chrono::{DateTime, Utc};
use domain::selector::Tags;
use service_kit::ApiResult;
use sqlx::{PgConnection, types::Json};

pub async fn get_revision(conn: &mut PgConnection) -> ApiResult<i64> {
    let number = sqlx::query_scalar!("SELECT number FROM patch.edition").fetch_one(conn).await?;
    Ok(number)
}

/// The part of a policy that decides compliance.
#[derive(Debug, Clone)]
pub struct PolicyCriteria {
    pub no: i32,
    pub id: String,
    pub target_tags: Json<Tags>,
    pub os_key: Option<String>,
    pub patch_level: Option<String>,
    /// The first instant after the month of the patch level.
    pub level_ends: Option<DateTime<Utc>>,
    pub max_scan_age_hours: i32,
    pub max_feed_age_hours: i32,
}

pub async fn list_policy_criteria(conn: &mut PgConnection) -> ApiResult<Vec<PolicyCriteria>> {
    let policies = sqlx::query_as!(
        PolicyCriteria,
        r#"SELECT no, id, target_tags AS "target_tags: Json<Tags>", os_key, patch_level, level_ends, max_scan_age_hours, max_feed_age_hours
           FROM patch.policies ORDER BY id"#
    )
    .fetch_all(conn)
    .await?;
    Ok(policies)
}

/// An exception that has not been ended.
#[derive(Debug, Clone)]
pub struct OpenException {
    pub expires_at: DateTime<Utc>,
    pub ci_id: Option<String>,
    /// An advisory's or a CVE's id.
    pub advisory_id: Option<String>,
    pub package: Option<String>,
}

pub async fn list_open_exceptions(conn: &mut PgConnection) -> ApiResult<Vec<OpenException>> {
    let exceptions = sqlx::query_as!(
        OpenException,
        "SELECT expires_at, ci_id, advisory_id, package FROM patch.exceptions WHERE ended_at IS NULL"
    )
    .fetch_all(conn)
    .await?;
    Ok(exceptions)
}
