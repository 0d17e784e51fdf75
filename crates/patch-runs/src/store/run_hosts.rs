//! The hosts and waves of runs, as clients read them.

use std::collections::BTreeMap;

use api_types::patch::{HostCounts, HostStatus};
use domain::{
    ids::{CiId, RunId},
    package::OmittedUpdate,
    plan::WaveKind,
    restart::StaleServices,
    run::HostState,
};
use service_kit::{ApiError, ApiResult, text_enum::from_text};
use sqlx::PgConnection;
use uuid::Uuid;

/// Which hosts of a run are listed.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostFilter {
    pub state: Option<HostState>,
    /// The index of a wave.
    pub wave: Option<u32>,
}

/// Where a page begins: after this host. Hosts without a wave come last.
pub type HostKey = (Option<u32>, CiId);

/// The order of hosts without a wave. The index of the table has the same number.
const NO_WAVE: i32 = i32::MAX;

/// All hosts of a run, without their steps.
pub async fn list_host_statuses(conn: &mut PgConnection, id: RunId) -> ApiResult<Vec<HostStatus>> {
    list_hosts(conn, id, HostFilter::default(), None, i64::MAX).await
}

/// Hosts of a run by wave and id, without their steps.
pub async fn list_hosts(
    conn: &mut PgConnection,
    id: RunId,
    filter: HostFilter,
    after: Option<&HostKey>,
    limit: i64,
) -> ApiResult<Vec<HostStatus>> {
    let wave = |index: u32| i32::try_from(index).unwrap_or(NO_WAVE);
    let rows = sqlx::query!(
        "SELECT ci_id, wave, state, attempts, snapshot_id, error, changed, rebooted, stale_services, left_out,
             started_at, ended_at
         FROM patch.run_hosts
         WHERE run_id = $1 AND ($2::text IS NULL OR state = $2) AND ($3::integer IS NULL OR wave = $3)
             AND ($4::integer IS NULL OR (coalesce(wave, 2147483647), ci_id) > ($4, $5::text))
         ORDER BY coalesce(wave, 2147483647), ci_id LIMIT $6",
        id.0,
        filter.state.map(HostState::name),
        filter.wave.map(wave),
        after.map(|(index, _)| index.map_or(NO_WAVE, wave)),
        after.map(|(_, host)| host.as_str()),
        limit,
    )
    .fetch_all(conn)
    .await?;
    let mut hosts = Vec::with_capacity(rows.len());
    for row in rows {
        hosts.push(HostStatus {
            ci_id: CiId::new(row.ci_id).map_err(ApiError::internal)?,
            wave: row.wave.and_then(|wave| u32::try_from(wave).ok()),
            state: from_text(&row.state)?,
            attempts: u32::try_from(row.attempts).unwrap_or_default(),
            snapshot_id: row.snapshot_id,
            error: row.error,
            changed: serde_json::from_value(row.changed)?,
            rebooted: row.rebooted,
            pending_restart: row
                .stale_services
                .map(serde_json::from_value::<StaleServices>)
                .transpose()?
                .unwrap_or_default()
                .into(),
            left_out: distinct(serde_json::from_value(row.left_out)?),
            started_at: row.started_at,
            ended_at: row.ended_at,
            steps: Vec::new(),
        });
    }
    Ok(hosts)
}

/// Each attempt reports them.
fn distinct(mut left_out: Vec<OmittedUpdate>) -> Vec<OmittedUpdate> {
    left_out.sort();
    left_out.dedup();
    left_out
}

/// Hosts of a run whose services still ran replaced code when the work on them ended.
pub async fn count_pending_restarts(conn: &mut PgConnection, id: RunId) -> ApiResult<i64> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM patch.run_hosts
           WHERE run_id = $1 AND jsonb_array_length(stale_services -> 'services') > 0"#,
        id.0
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}

/// A wave as it was planned.
#[derive(Debug, Clone)]
pub struct WaveRow {
    pub index: u32,
    pub name: String,
    pub kind: WaveKind,
}

/// The waves of a run's plan after the wave `after`. The plan itself stays in the database.
pub async fn list_waves(
    conn: &mut PgConnection,
    id: RunId,
    after: Option<u32>,
    limit: i64,
) -> ApiResult<Vec<WaveRow>> {
    let rows = sqlx::query!(
        r#"SELECT ordinal - 1 AS "index!", wave->>'name' AS "name!", wave->>'kind' AS "kind!"
           FROM patch.plans, jsonb_array_elements(plan->'waves') WITH ORDINALITY AS waves (wave, ordinal)
           WHERE run_id = $1 AND ordinal - 1 > $2 ORDER BY ordinal LIMIT $3"#,
        id.0,
        after.map_or(-1, i64::from),
        limit,
    )
    .fetch_all(conn)
    .await?;
    let wave = |(index, name, kind): (i64, String, String)| {
        Ok(WaveRow { index: u32::try_from(index).unwrap_or(u32::MAX), name, kind: from_text(&kind)? })
    };
    rows.into_iter().map(|row| wave((row.index, row.name, row.kind))).collect()
}

/// A host that was rolled back by order, not after a failure, is as the run should leave it: see `HostState::has_failed`.
fn counted_as(state: HostState, is_by_order: bool) -> HostState {
    if is_by_order { HostState::Succeeded } else { state }
}

/// Adds `hosts` in this state.
fn add_hosts(counts: &mut HostCounts, state: HostState, hosts: i64) {
    counts.total += hosts;
    *match state {
        HostState::Pending => &mut counts.pending,
        HostState::Succeeded => &mut counts.succeeded,
        HostState::Skipped => &mut counts.skipped,
        HostState::Cancelled => &mut counts.cancelled,
        state if state.is_failure() => &mut counts.failed,
        _ => &mut counts.working,
    } += hosts;
}

/// Counts the hosts of runs by state.
pub async fn count_hosts(conn: &mut PgConnection, runs: &[Uuid]) -> ApiResult<BTreeMap<RunId, HostCounts>> {
    let rows = sqlx::query!(
        r#"SELECT run_id, state, state = 'rolled_back' AND error IS NULL AS "by_order!", count(*) AS "count!"
           FROM patch.run_hosts WHERE run_id = ANY($1) GROUP BY 1, 2, 3"#,
        runs
    )
    .fetch_all(conn)
    .await?;
    let mut counts: BTreeMap<RunId, HostCounts> = BTreeMap::new();
    for row in rows {
        let of_run = counts.entry(RunId(row.run_id)).or_default();
        add_hosts(of_run, counted_as(from_text(&row.state)?, row.by_order), row.count);
    }
    Ok(counts)
}

/// Counts the hosts of the waves `first` to `last` of a run by state.
pub async fn count_wave_hosts(
    conn: &mut PgConnection,
    id: RunId,
    first: u32,
    last: u32,
) -> ApiResult<BTreeMap<u32, HostCounts>> {
    let rows = sqlx::query!(
        r#"SELECT wave AS "wave!", state, state = 'rolled_back' AND error IS NULL AS "by_order!", count(*) AS "count!"
           FROM patch.run_hosts WHERE run_id = $1 AND wave BETWEEN $2 AND $3 GROUP BY 1, 2, 3"#,
        id.0,
        i32::try_from(first).unwrap_or(i32::MAX),
        i32::try_from(last).unwrap_or(i32::MAX),
    )
    .fetch_all(conn)
    .await?;
    let mut counts: BTreeMap<u32, HostCounts> = BTreeMap::new();
    for row in rows {
        let of_wave = counts.entry(u32::try_from(row.wave).unwrap_or(u32::MAX)).or_default();
        add_hosts(of_wave, counted_as(from_text(&row.state)?, row.by_order), row.count);
    }
    Ok(counts)
}
