//! Deployments to customers.

use api_types::patch::{CustomerDeployment, DeploymentState};
use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, RunId},
    release::{Direction, ReleaseKind, Version},
};
use service_kit::ApiResult;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    customers::{slug_of, version_of},
    releases::SummarisedDeployment,
};
use service_kit::text_enum::{from_text, to_text};

struct Row {
    id: Uuid,
    customer: String,
    run_id: Uuid,
    direction: String,
    release_version: String,
    from_version: String,
    to_version: String,
    previous_version: Option<String>,
    state: String,
    progress_percent: i32,
    detail: Option<String>,
    requested_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
    rolled_back_by: Option<Uuid>,
}

impl Row {
    fn into_deployment(self) -> ApiResult<CustomerDeployment> {
        Ok(CustomerDeployment {
            id: self.id,
            customer: slug_of(self.customer)?,
            run_id: RunId(self.run_id),
            version: version_of(&self.release_version)?,
            direction: from_text(&self.direction)?,
            from_version: version_of(&self.from_version)?,
            to_version: version_of(&self.to_version)?,
            previous_version: self.previous_version.as_deref().map(version_of).transpose()?,
            state: from_text(&self.state)?,
            progress_percent: self.progress_percent,
            detail: self.detail,
            requested_at: self.requested_at,
            ended_at: self.ended_at,
            rolled_back_by: self.rolled_back_by,
        })
    }
}

macro_rules! deployments {
    ($tail:tt, $($argument:expr),*) => {
        sqlx::query_as!(
            Row,
            "SELECT id, customer, run_id, direction, release_version, from_version, to_version, previous_version, state,
                 progress_percent, detail, requested_at, ended_at, rolled_back_by FROM patch.deployments "
                + $tail,
            $($argument),*
        )
    };
}

/// A deployment to record before its deployer is called.
pub struct NewDeployment<'a> {
    pub customer: &'a CiId,
    pub run: RunId,
    pub attempt: u32,
    pub direction: Direction,
    pub release: Version,
    pub from: Version,
    pub to: Version,
}

/// Records a deployment, or finds the one that was recorded before a crash: it keeps the id that the deployer
/// already knows.
pub async fn begin_deployment(
    conn: &mut PgConnection,
    new: &NewDeployment<'_>,
    now: DateTime<Utc>,
) -> ApiResult<CustomerDeployment> {
    let (attempt, direction) = (i32::try_from(new.attempt).unwrap_or(i32::MAX), to_text(&new.direction)?);
    sqlx::query!(
        "INSERT INTO patch.deployments (id, customer, run_id, attempt, direction, release_version, from_version,
             to_version, state, requested_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'requested', $9) ON CONFLICT DO NOTHING",
        Uuid::now_v7(),
        new.customer.as_str(),
        new.run.0,
        attempt,
        direction,
        new.release.to_string(),
        new.from.to_string(),
        new.to.to_string(),
        now
    )
    .execute(&mut *conn)
    .await?;
    deployments!(
        "WHERE run_id = $1 AND customer = $2 AND attempt = $3 AND direction = $4",
        new.run.0,
        new.customer.as_str(),
        attempt,
        direction
    )
    .fetch_one(conn)
    .await?
    .into_deployment()
}

pub async fn find_deployment(conn: &mut PgConnection, id: Uuid) -> ApiResult<Option<CustomerDeployment>> {
    deployments!("WHERE id = $1", id).fetch_optional(conn).await?.map(Row::into_deployment).transpose()
}

/// Newest first.
pub async fn list_deployments(
    conn: &mut PgConnection,
    customer: Option<&CiId>,
    release: Option<Version>,
    before: Option<Uuid>,
    limit: i64,
) -> ApiResult<Vec<CustomerDeployment>> {
    let rows = deployments!(
        "WHERE ($1::text IS NULL OR customer = $1) AND ($2::text IS NULL OR release_version = $2)
             AND ($3::uuid IS NULL OR id < $3) ORDER BY id DESC LIMIT $4",
        customer.map(CiId::as_str),
        release.map(|version| version.to_string()),
        before,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::into_deployment).collect()
}

/// The last successful deployment of a release to `customer` that was not rolled back.
pub async fn find_latest_forward(
    conn: &mut PgConnection,
    customer: &CiId,
    release: Version,
) -> ApiResult<Option<CustomerDeployment>> {
    deployments!(
        "WHERE customer = $1 AND release_version = $2 AND direction = 'forward' AND state = 'succeeded'
             AND rolled_back_by IS NULL ORDER BY id DESC LIMIT 1",
        customer.as_str(),
        release.to_string()
    )
    .fetch_optional(conn)
    .await?
    .map(Row::into_deployment)
    .transpose()
}

/// Who reports the result of a deployment, and until when.
pub struct Callback {
    pub receiver: Uuid,
    pub deadline: DateTime<Utc>,
}

/// Records who may report the result, before the deployer is called.
pub async fn expect_callback(conn: &mut PgConnection, id: Uuid, callback: &Callback) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.deployments SET callback_receiver = $2, callback_deadline = $3 WHERE id = $1",
        id,
        callback.receiver,
        callback.deadline
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// `None` if the deployment does not exist, or nobody was asked to report its result.
pub async fn find_callback(conn: &mut PgConnection, id: Uuid) -> ApiResult<Option<Callback>> {
    let row =
        sqlx::query!("SELECT callback_receiver, callback_deadline FROM patch.deployments WHERE id = $1", id)
            .fetch_optional(conn)
            .await?;
    Ok(row.and_then(|row| {
        Some(Callback { receiver: row.callback_receiver?, deadline: row.callback_deadline? })
    }))
}

/// Records what a deployer reports. `false` if the deployment has already ended: later reports change nothing.
pub async fn update_deployment(
    conn: &mut PgConnection,
    id: Uuid,
    state: DeploymentState,
    progress_percent: Option<i32>,
    previous_version: Option<Version>,
    detail: Option<&str>,
    now: DateTime<Utc>,
) -> ApiResult<bool> {
    let is_end = !matches!(state, DeploymentState::Requested | DeploymentState::Running);
    let detail: Option<String> = detail.map(|text| text.chars().filter(|c| *c != '\0').take(2000).collect());
    let updated = sqlx::query!(
        "UPDATE patch.deployments SET state = $2, progress_percent = greatest(progress_percent, coalesce($3, 0)),
             previous_version = coalesce($4, previous_version), detail = coalesce($5, detail),
             ended_at = CASE WHEN $6 THEN $7::timestamptz END
         WHERE id = $1 AND ended_at IS NULL",
        id,
        to_text(&state)?,
        progress_percent,
        previous_version.map(|version| version.to_string()),
        detail,
        is_end,
        now
    )
    .execute(conn)
    .await?;
    Ok(updated.rows_affected() == 1)
}

/// Deployments that succeeded after `from` and until `until`, were not rolled back, and are in no weekly summary yet.
pub async fn list_unsummarised(
    conn: &mut PgConnection,
    kinds: &[ReleaseKind],
    (from, until): (DateTime<Utc>, DateTime<Utc>),
    limit: i64,
) -> ApiResult<Vec<SummarisedDeployment>> {
    let kinds: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    let rows = sqlx::query!(
        r#"SELECT d.customer, d.run_id, d.release_version, r.kind, r.notes, d.ended_at AS "ended_at!"
         FROM patch.deployments d JOIN patch.releases r ON r.release_version = d.release_version
         WHERE d.direction = 'forward' AND d.state = 'succeeded' AND d.rolled_back_by IS NULL
             AND d.ended_at > $1 AND d.ended_at <= $2 AND r.kind = ANY($3)
             AND NOT EXISTS (SELECT 1 FROM patch.release_notices n
                 WHERE n.run_id = d.run_id AND n.customer = d.customer AND n.kind = 'weekly')
         ORDER BY d.customer, d.ended_at LIMIT $4"#,
        from,
        until,
        &kinds,
        limit
    )
    .fetch_all(conn)
    .await?;
    let summarised = rows.into_iter().map(|row| {
        Ok(SummarisedDeployment {
            customer: slug_of(row.customer)?,
            run: RunId(row.run_id),
            version: version_of(&row.release_version)?,
            kind: from_text(&row.kind)?,
            notes: row.notes,
            ended_at: row.ended_at,
        })
    });
    summarised.collect()
}

/// Marks earlier deployments of a release as rolled back.
pub async fn mark_rolled_back(
    conn: &mut PgConnection,
    customer: &CiId,
    release: Version,
    by: Uuid,
) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.deployments SET rolled_back_by = $3
         WHERE customer = $1 AND release_version = $2 AND direction = 'forward' AND rolled_back_by IS NULL
             AND state <> 'requested'",
        customer.as_str(),
        release.to_string(),
        by
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// When a release was last deployed to a demo installation.
pub async fn find_demo_ended_at(
    conn: &mut PgConnection,
    release: Version,
) -> ApiResult<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar!(
        "SELECT max(d.ended_at) FROM patch.deployments d JOIN patch.customers c ON c.slug = d.customer
         WHERE d.release_version = $1 AND c.tier = 'demo' AND d.direction = 'forward' AND d.state = 'succeeded'
             AND d.rolled_back_by IS NULL",
        release.to_string()
    )
    .fetch_one(conn)
    .await?)
}

/// Adds to the time during which a customer was seen down.
pub async fn add_downtime(conn: &mut PgConnection, deployment: Uuid, seconds: f64) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.deployments SET downtime_seconds = downtime_seconds + $2 WHERE id = $1",
        deployment,
        seconds
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Adds a latency that was measured after the deployment, next to the baseline before it.
pub async fn add_latency(
    conn: &mut PgConnection,
    deployment: Uuid,
    baseline_ms: f64,
    latency_ms: f64,
) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.deployments SET baseline_latency_ms = coalesce(baseline_latency_ms, $2),
             latency_sum_ms = latency_sum_ms + $3, latency_samples = latency_samples + 1 WHERE id = $1",
        deployment,
        baseline_ms,
        latency_ms
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Deployments without an end whose run has ended: no run waits for them.
pub async fn list_orphaned_deployments(
    conn: &mut PgConnection,
    limit: i64,
) -> ApiResult<Vec<CustomerDeployment>> {
    let rows = deployments!(
        "WHERE ended_at IS NULL AND run_id IN (SELECT id FROM patch.runs WHERE ended_at IS NOT NULL) LIMIT $1",
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::into_deployment).collect()
}
