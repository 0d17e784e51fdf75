//! The health watch that follows a deployment, and its samples.

use api_types::patch::{CustomerWatch, JudgedSample, WatchState};
use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, RunId},
    release::{Baseline, HealthSample, Judge, Version},
};
use serde_json::Value;
use service_kit::{
    ApiResult,
    text_enum::{from_text, to_text},
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::customers::{slug_of, version_of};

/// A health watch with the state of its judge.
#[derive(Debug, Clone)]
pub struct Watch {
    pub customer: CiId,
    pub deployment_id: Uuid,
    pub run: RunId,
    pub version: Version,
    pub baseline: Option<Baseline>,
    pub judge: Judge,
    pub state: WatchState,
    pub reason: Option<String>,
    pub since: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub last_look_at: Option<DateTime<Utc>>,
    pub is_handled: bool,
}

impl Watch {
    pub fn shown(&self) -> CustomerWatch {
        CustomerWatch {
            state: self.state,
            reason: self.reason.clone(),
            version: self.version,
            since: self.since,
            until: self.until,
            last_look_at: self.last_look_at,
            baseline: self.baseline,
        }
    }
}

struct WatchRow {
    customer: String,
    deployment_id: Uuid,
    run_id: Uuid,
    to_version: String,
    baseline: Option<Value>,
    judge: Value,
    state: String,
    reason: Option<String>,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    last_look_at: Option<DateTime<Utc>>,
    handled_at: Option<DateTime<Utc>>,
}

impl WatchRow {
    fn into_watch(self) -> ApiResult<Watch> {
        Ok(Watch {
            customer: slug_of(self.customer)?,
            deployment_id: self.deployment_id,
            run: RunId(self.run_id),
            version: version_of(&self.to_version)?,
            baseline: self.baseline.map(serde_json::from_value).transpose()?,
            judge: serde_json::from_value(self.judge)?,
            state: from_text(&self.state)?,
            reason: self.reason,
            since: self.since,
            until: self.until,
            last_look_at: self.last_look_at,
            is_handled: self.handled_at.is_some(),
        })
    }
}

macro_rules! watches {
    ($tail:tt, $($argument:expr),*) => {
        sqlx::query_as!(
            WatchRow,
            "SELECT w.customer, w.deployment_id, w.run_id, d.to_version, w.baseline, w.judge, w.state, w.reason, w.since,
                 w.until, w.last_look_at, w.handled_at
             FROM patch.customer_watches w JOIN patch.deployments d ON d.id = w.deployment_id "
                + $tail,
            $($argument),*
        )
    };
}

/// Starts the watch over a deployment, in place of the previous watch over the customer.
pub async fn begin_watch(conn: &mut PgConnection, watch: &Watch) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.customer_watches (customer, deployment_id, run_id, baseline, judge, state, since, until, next_look_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $7)
         ON CONFLICT (customer) DO UPDATE SET deployment_id = excluded.deployment_id, run_id = excluded.run_id,
             baseline = excluded.baseline, judge = excluded.judge, state = excluded.state, reason = NULL,
             since = excluded.since, until = excluded.until, next_look_at = excluded.next_look_at,
             last_look_at = NULL, handled_at = NULL
         WHERE patch.customer_watches.deployment_id <> excluded.deployment_id",
        watch.customer.as_str(),
        watch.deployment_id,
        watch.run.0,
        watch.baseline.map(serde_json::to_value).transpose()?,
        serde_json::to_value(&watch.judge)?,
        to_text(&watch.state)?,
        watch.since,
        watch.until,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Claims the watches that are due, each for one replica. Its next check is postponed at once, so a crash costs one check.
pub async fn claim_due_watches(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    next: DateTime<Utc>,
    limit: i64,
) -> ApiResult<Vec<CiId>> {
    let rows = sqlx::query_scalar!(
        "UPDATE patch.customer_watches SET next_look_at = $2::timestamptz WHERE customer IN
             (SELECT customer FROM patch.customer_watches WHERE state <> 'ended'
                  AND (next_look_at <= $1 OR next_look_at > $2::timestamptz + interval '1 second')
              ORDER BY next_look_at LIMIT $3 FOR UPDATE SKIP LOCKED)
         RETURNING customer",
        now,
        next,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(slug_of).collect()
}

pub async fn find_watch(conn: &mut PgConnection, customer: &CiId) -> ApiResult<Option<Watch>> {
    watches!("WHERE w.customer = $1", customer.as_str())
        .fetch_optional(conn)
        .await?
        .map(WatchRow::into_watch)
        .transpose()
}

pub async fn lock_watch(conn: &mut PgConnection, customer: &CiId) -> ApiResult<Option<Watch>> {
    watches!("WHERE w.customer = $1 FOR UPDATE OF w", customer.as_str())
        .fetch_optional(conn)
        .await?
        .map(WatchRow::into_watch)
        .transpose()
}

pub async fn list_watches(conn: &mut PgConnection, customers: &[String]) -> ApiResult<Vec<Watch>> {
    let rows = watches!("WHERE w.customer = ANY($1) ORDER BY w.customer", customers).fetch_all(conn).await?;
    rows.into_iter().map(WatchRow::into_watch).collect()
}

/// Watches over unhealthy customers that were not handled yet.
pub async fn list_unhandled_watches(conn: &mut PgConnection, limit: i64) -> ApiResult<Vec<Watch>> {
    let rows =
        watches!("WHERE w.state = 'unhealthy' AND w.handled_at IS NULL ORDER BY w.customer LIMIT $1", limit)
            .fetch_all(conn)
            .await?;
    rows.into_iter().map(WatchRow::into_watch).collect()
}

pub async fn update_watch(conn: &mut PgConnection, watch: &Watch, now: DateTime<Utc>) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.customer_watches SET judge = $2, state = $3, reason = $4, last_look_at = $5,
             handled_at = CASE WHEN $6 THEN coalesce(handled_at, $7::timestamptz) END
         WHERE customer = $1",
        watch.customer.as_str(),
        serde_json::to_value(&watch.judge)?,
        to_text(&watch.state)?,
        watch.reason,
        watch.last_look_at,
        watch.is_handled,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn end_watch(conn: &mut PgConnection, customer: &CiId) -> ApiResult<()> {
    sqlx::query!("UPDATE patch.customer_watches SET state = 'ended' WHERE customer = $1", customer.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

pub async fn insert_sample(conn: &mut PgConnection, customer: &CiId, judged: &JudgedSample) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.health_samples (customer, at, sample, judgement, reason) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING",
        customer.as_str(),
        judged.sample.at,
        serde_json::to_value(&judged.sample)?,
        to_text(&judged.judgement)?,
        judged.reason
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Newest first.
pub async fn list_samples(
    conn: &mut PgConnection,
    customer: &CiId,
    limit: i64,
) -> ApiResult<Vec<JudgedSample>> {
    let rows = sqlx::query!(
        "SELECT sample, judgement, reason FROM patch.health_samples WHERE customer = $1 ORDER BY at DESC LIMIT $2",
        customer.as_str(),
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            let sample: HealthSample = serde_json::from_value(row.sample)?;
            Ok(JudgedSample { sample, judgement: from_text(&row.judgement)?, reason: row.reason })
        })
        .collect()
}

pub async fn delete_samples_before(conn: &mut PgConnection, before: DateTime<Utc>) -> ApiResult<()> {
    sqlx::query!("DELETE FROM patch.health_samples WHERE at < $1", before).execute(conn).await?;
    Ok(())
}
