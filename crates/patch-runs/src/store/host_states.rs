//! What is known about hosts outside a run: whether the last scan reached them, and how the last run left them.

use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, RunId},
    run::HostState,
};
use service_kit::{ApiError, ApiResult, text_enum::from_text};
use sqlx::PgConnection;

/// Records which hosts a scan reached, and which not and why.
pub async fn record_contacts(
    conn: &mut PgConnection,
    reached: &[String],
    unreachable: &[(String, String)],
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!("DELETE FROM patch.host_contacts WHERE ci_id = ANY($1)", reached)
        .execute(&mut *conn)
        .await?;
    let (hosts, reasons): (Vec<String>, Vec<String>) = unreachable.iter().cloned().unzip();
    sqlx::query!(
        "INSERT INTO patch.host_contacts (ci_id, unreachable_at, reason)
         SELECT ci_id, $3, left(reason, 1000) FROM unnest($1::text[], $2::text[]) AS given (ci_id, reason) ORDER BY ci_id
         ON CONFLICT (ci_id) DO UPDATE SET unreachable_at = excluded.unreachable_at, reason = excluded.reason",
        &hosts,
        &reasons,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The hosts among these that the last scan did not reach.
pub async fn list_unreachable(conn: &mut PgConnection, hosts: &[String]) -> ApiResult<Vec<CiId>> {
    let ids = sqlx::query_scalar!("SELECT ci_id FROM patch.host_contacts WHERE ci_id = ANY($1)", hosts)
        .fetch_all(conn)
        .await?;
    ids.into_iter().map(|id| CiId::new(id).map_err(ApiError::internal)).collect()
}

/// How the last other run that worked on a host left it, or has it now.
pub struct LastState {
    pub host: CiId,
    pub state: HostState,
    /// A scan that was started after that reached it.
    pub scanned_since: bool,
}

/// The last states of those of these hosts that another run worked on.
pub async fn list_last_states(
    conn: &mut PgConnection,
    run: Option<RunId>,
    hosts: &[String],
) -> ApiResult<Vec<LastState>> {
    let rows = sqlx::query!(
        r#"SELECT last.ci_id AS "ci_id!", last.state AS "state!",
               EXISTS (SELECT FROM patch.scans scans JOIN patch.scan_hosts scanned
                       ON scanned.scan_id = scans.id AND scanned.ci_id = last.ci_id AND scanned.state = 'scanned'
                       WHERE scans.created_at > last.ended_at) AS "scanned_since!"
           FROM unnest($1::text[]) AS given (ci_id) CROSS JOIN LATERAL
               (SELECT hosts.ci_id, hosts.state, hosts.ended_at
                FROM patch.run_hosts hosts JOIN patch.runs runs ON runs.id = hosts.run_id AND runs.subject = 'host'
                WHERE hosts.ci_id = given.ci_id AND hosts.run_id IS DISTINCT FROM $2
                    AND (hosts.attempts > 0 OR hosts.state IN ('rolled_back', 'rollback_failed'))
                ORDER BY hosts.run_id DESC LIMIT 1) last"#,
        hosts,
        run.map(|run| run.0),
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(LastState {
                host: CiId::new(row.ci_id).map_err(ApiError::internal)?,
                state: from_text(row.state)?,
                scanned_since: row.scanned_since,
            })
        })
        .collect()
}
