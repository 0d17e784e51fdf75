//! The records from which the success metrics are computed, and the ratings by customers.

use api_types::patch::{CustomerRating, DeploymentState};
use chrono::{DateTime, Utc};
use domain::release::{ReleaseKind, Tier, Urgency, Version};
use service_kit::{ApiResult, text_enum::from_text};
use sqlx::PgConnection;

use super::customers::version_of;

/// One ended deployment as the metrics count it.
pub struct MetricRow {
    pub release: Version,
    pub kind: ReleaseKind,
    pub urgency: Urgency,
    pub tier: Tier,
    pub state: DeploymentState,
    pub is_rolled_back: bool,
    pub rollout_at: DateTime<Utc>,
    pub identified_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
    pub downtime_seconds: f64,
    /// The issues that the release resolves.
    pub resolves: Vec<String>,
    pub new_issues: i64,
    pub latency_change_percent: Option<f64>,
    pub rating: Option<i16>,
}

/// Forward deployments that have ended since `since`; a rollback does not count as a deployment. If a customer got a release more
/// than once, its reports and its rating count with the last time.
pub async fn list_metric_rows(conn: &mut PgConnection, since: DateTime<Utc>) -> ApiResult<Vec<MetricRow>> {
    let rows = sqlx::query!(
        r#"SELECT d.release_version, r.kind, r.urgency, coalesce(c.tier, 'standard') AS "tier!", d.state,
             d.rolled_back_by IS NOT NULL AS "is_rolled_back!", coalesce(run.started_at, run.created_at) AS "rollout_at!",
             r.identified_at, d.ended_at AS "ended_at!", d.downtime_seconds, r.resolves,
             CASE WHEN d.latency_samples > 0 AND d.baseline_latency_ms > 0
                 THEN (d.latency_sum_ms / d.latency_samples / d.baseline_latency_ms - 1) * 100 END AS latency_change_percent,
             CASE WHEN last.is_last THEN (SELECT count(*) FROM patch.customer_reports p
                 WHERE p.customer = d.customer AND p.customer_version = d.release_version) ELSE 0 END AS "new_issues!",
             CASE WHEN last.is_last THEN (SELECT score FROM patch.customer_ratings g
                 WHERE g.customer = d.customer AND g.release_version = d.release_version) END AS rating
         FROM patch.deployments d
             JOIN patch.releases r ON r.release_version = d.release_version
             JOIN patch.runs run ON run.id = d.run_id
             LEFT JOIN patch.customers c ON c.slug = d.customer
             CROSS JOIN LATERAL (SELECT NOT EXISTS (SELECT FROM patch.deployments later
                 WHERE later.customer = d.customer AND later.release_version = d.release_version
                     AND later.direction = 'forward' AND later.ended_at IS NOT NULL AND later.id > d.id) AS is_last) AS last
         WHERE d.direction = 'forward' AND d.ended_at IS NOT NULL AND d.ended_at >= $1
         ORDER BY d.id LIMIT 200000"#,
        since
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(MetricRow {
                release: version_of(&row.release_version)?,
                kind: from_text(&row.kind)?,
                urgency: from_text(&row.urgency)?,
                tier: from_text(&row.tier)?,
                state: from_text(&row.state)?,
                is_rolled_back: row.is_rolled_back,
                rollout_at: row.rollout_at,
                identified_at: row.identified_at,
                ended_at: row.ended_at,
                downtime_seconds: row.downtime_seconds,
                resolves: serde_json::from_value(row.resolves)?,
                new_issues: row.new_issues,
                latency_change_percent: row.latency_change_percent,
                rating: row.rating,
            })
        })
        .collect()
}

/// A later rating by the same customer replaces an earlier one.
pub async fn upsert_rating(conn: &mut PgConnection, rating: &CustomerRating) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.customer_ratings (customer, release_version, score, comment, rated_by, rated_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (customer, release_version)
         DO UPDATE SET score = $3, comment = $4, rated_by = $5, rated_at = $6",
        rating.customer.as_str(),
        rating.version.to_string(),
        i16::from(rating.score),
        rating.comment,
        rating.rated_by,
        rating.rated_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}
