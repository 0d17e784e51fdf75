//! The criteria of compliance: policies and exceptions, and the revision that counts their changes.

use chrono::{DateTime, Utc};
use domain::{
    baseline::{Baseline, BaselineRules},
    selector::Tags,
};
use service_kit::{ApiError, ApiResult};
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
    pub rules: BaselineRules,
    pub max_scan_age_hours: i32,
    pub max_feed_age_hours: i32,
}

struct PolicyRow {
    no: i32,
    id: String,
    target_tags: Json<Tags>,
    os_key: Option<String>,
    patch_level: Option<String>,
    baseline: Option<Json<Baseline>>,
    max_scan_age_hours: i32,
    max_feed_age_hours: i32,
}

pub async fn list_policy_criteria(conn: &mut PgConnection) -> ApiResult<Vec<PolicyCriteria>> {
    let rows = sqlx::query_as!(
        PolicyRow,
        r#"SELECT no, id, target_tags AS "target_tags: Json<Tags>", os_key, patch_level, body -> 'baseline' AS "baseline: Json<Baseline>",
               max_scan_age_hours, max_feed_age_hours
           FROM patch.policies ORDER BY id"#
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(PolicyRow::into_criteria).collect()
}

impl PolicyRow {
    fn into_criteria(self) -> ApiResult<PolicyCriteria> {
        let level = self.patch_level.as_deref().map(str::parse).transpose().map_err(ApiError::internal)?;
        Ok(PolicyCriteria {
            no: self.no,
            id: self.id,
            target_tags: self.target_tags,
            os_key: self.os_key,
            rules: BaselineRules {
                baseline: self.baseline.map(|baseline| baseline.0).unwrap_or_default(),
                level,
            },
            max_scan_age_hours: self.max_scan_age_hours,
            max_feed_age_hours: self.max_feed_age_hours,
        })
    }
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
