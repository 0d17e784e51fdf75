//! Policies.

use advisories::os_key;
use api_types::patch::{PolicyApproval, ScheduleHint, StoredPolicy};
use chrono::{DateTime, Utc};
use domain::{ids::PolicyId, policy::Policy};
use serde_json::Value;
use service_kit::{ApiError, ApiResult};
use sqlx::PgConnection;

struct Row {
    body: Value,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    updated_by: String,
    created_by: Option<String>,
    editors: Vec<String>,
    approved_version: Option<i64>,
    approved_by: Option<String>,
    approved_at: Option<DateTime<Utc>>,
}

impl Row {
    fn into_policy(self) -> ApiResult<StoredPolicy> {
        let policy: Policy = serde_json::from_value(self.body)?;
        let mut editors = self.editors;
        editors.extend(self.created_by.clone());
        editors.push(self.updated_by.clone());
        editors.sort();
        editors.dedup();
        let approval = self.approved_version.zip(self.approved_by).zip(self.approved_at);
        Ok(StoredPolicy {
            created_by: self.created_by,
            editors,
            approval: approval.map(|((version, by), at)| PolicyApproval { version, by, at }),
            hints: ScheduleHint::list(&policy),
            policy,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            updated_by: self.updated_by,
        })
    }
}

/// The release that a policy selects, by its `os_type` or by a target tag.
fn selected_os(policy: &Policy) -> Option<String> {
    policy.os_type.as_ref().or_else(|| policy.target_ci_tags.get("os")).map(|os| os_key(os))
}

pub async fn find_policy(conn: &mut PgConnection, id: &PolicyId) -> ApiResult<Option<StoredPolicy>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT body, version, created_at, updated_at, updated_by, created_by, editors, approved_version, approved_by,
             approved_at
         FROM patch.policies WHERE id = $1",
        id.as_str()
    )
    .fetch_optional(conn)
    .await?;
    row.map(Row::into_policy).transpose()
}

pub async fn get_policy(conn: &mut PgConnection, id: &PolicyId) -> ApiResult<StoredPolicy> {
    find_policy(conn, id).await?.ok_or_else(|| ApiError::not_found(format!("policy `{id}`")))
}

/// Locks a policy for a change until the transaction ends. Returns its number, too.
pub async fn lock_policy(conn: &mut PgConnection, id: &PolicyId) -> ApiResult<(i32, StoredPolicy)> {
    let no = sqlx::query_scalar!("SELECT no FROM patch.policies WHERE id = $1 FOR UPDATE", id.as_str())
        .fetch_optional(&mut *conn)
        .await?
        .ok_or_else(|| ApiError::not_found(format!("policy `{id}`")))?;
    Ok((no, get_policy(conn, id).await?))
}

/// In the order of their ids.
pub async fn list_policies(
    conn: &mut PgConnection,
    after: Option<&str>,
    limit: i64,
) -> ApiResult<Vec<StoredPolicy>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT body, version, created_at, updated_at, updated_by, created_by, editors, approved_version, approved_by,
               approved_at
           FROM patch.policies WHERE $1::text IS NULL OR id > $1 ORDER BY id LIMIT $2"#,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::into_policy).collect()
}

/// Enabled policies with a schedule.
pub async fn list_scheduled(conn: &mut PgConnection) -> ApiResult<Vec<StoredPolicy>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT body, version, created_at, updated_at, updated_by, created_by, editors, approved_version, approved_by,
             approved_at
         FROM patch.policies WHERE body ? 'schedule' AND (body -> 'enabled')::boolean ORDER BY id"
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::into_policy).collect()
}

/// Returns the new policy's number; `None` if the id is taken.
pub async fn insert_policy(
    conn: &mut PgConnection,
    policy: &Policy,
    by: &str,
    now: DateTime<Utc>,
) -> ApiResult<Option<i32>> {
    let no = sqlx::query_scalar!(
        "INSERT INTO patch.policies (id, body, target_tags, os_key, patch_level, level_ends, max_scan_age_hours,
             created_at, updated_at, updated_by, max_feed_age_hours, created_by, editors)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10, $9, ARRAY[$9]) ON CONFLICT (id) DO NOTHING RETURNING no",
        policy.id.as_str(),
        serde_json::to_value(policy)?,
        serde_json::to_value(&policy.target_ci_tags)?,
        selected_os(policy),
        policy.patch_level.map(|level| level.to_string()),
        policy.patch_level.map(|level| level.end_utc()),
        policy.max_scan_age_hours as i32,
        now,
        by,
        policy.max_feed_age_hours as i32,
    )
    .fetch_optional(conn)
    .await?;
    Ok(no)
}

/// Returns the new version.
pub async fn update_policy(
    conn: &mut PgConnection,
    no: i32,
    policy: &Policy,
    by: &str,
    now: DateTime<Utc>,
) -> ApiResult<i64> {
    let version = sqlx::query_scalar!(
        "UPDATE patch.policies SET body = $2, target_tags = $3, os_key = $4, patch_level = $5, level_ends = $6,
             max_scan_age_hours = $7, updated_at = $8, updated_by = $9, max_feed_age_hours = $10, version = version + 1,
             editors = CASE WHEN approved_version = version THEN ARRAY[$9] ELSE array_append(array_remove(editors, $9), $9) END
         WHERE no = $1 RETURNING version",
        no,
        serde_json::to_value(policy)?,
        serde_json::to_value(&policy.target_ci_tags)?,
        selected_os(policy),
        policy.patch_level.map(|level| level.to_string()),
        policy.patch_level.map(|level| level.end_utc()),
        policy.max_scan_age_hours as i32,
        now,
        by,
        policy.max_feed_age_hours as i32,
    )
    .fetch_one(conn)
    .await?;
    Ok(version)
}

/// Records that somebody has approved the present version.
pub async fn approve_policy(conn: &mut PgConnection, no: i32, by: &str, now: DateTime<Utc>) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.policies SET approved_version = version, approved_by = $2, approved_at = $3 WHERE no = $1",
        no,
        by,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn delete_policy(conn: &mut PgConnection, no: i32) -> ApiResult<()> {
    sqlx::query!("DELETE FROM patch.policies WHERE no = $1", no).execute(conn).await?;
    Ok(())
}

/// Number and id of the active hosts that one of two policies selects, by id, after the given one. The tag `os` is compared by its
/// canonical spelling.
pub async fn list_selected(
    conn: &mut PgConnection,
    one: &Policy,
    other: &Policy,
    after: &str,
    limit: i64,
) -> ApiResult<Vec<(i32, String)>> {
    let rows = sqlx::query!(
        "SELECT id, ci_id FROM patch.hosts
         WHERE active AND ci_id > $5 AND (tags @> ($1::jsonb - 'os') AND ($2::text IS NULL OR os_key = $2)
             OR tags @> ($3::jsonb - 'os') AND ($4::text IS NULL OR os_key = $4))
         ORDER BY ci_id LIMIT $6",
        serde_json::to_value(&one.target_ci_tags)?,
        selected_os(one),
        serde_json::to_value(&other.target_ci_tags)?,
        selected_os(other),
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.ci_id)).collect())
}

/// A run of the policy that has not ended.
pub async fn find_open_run(conn: &mut PgConnection, policy_id: &PolicyId) -> ApiResult<Option<uuid::Uuid>> {
    let run = sqlx::query_scalar!(
        "SELECT id FROM patch.runs WHERE policy_id = $1 AND ended_at IS NULL LIMIT 1",
        policy_id.as_str()
    )
    .fetch_optional(conn)
    .await?;
    Ok(run)
}
