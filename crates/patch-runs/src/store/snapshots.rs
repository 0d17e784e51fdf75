//! Until when the snapshots of runs are kept.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::ids::{CiId, RunId};
use service_kit::ApiResult;
use sqlx::PgConnection;
use uuid::Uuid;

/// A snapshot as its driver described it.
#[derive(Debug, Clone)]
pub struct SnapshotRow {
    pub id: Uuid,
    pub host: CiId,
    pub expires_at: DateTime<Utc>,
}

/// Stores the snapshots that a run has taken. One that is stored already keeps the latest description.
pub async fn upsert_snapshots(conn: &mut PgConnection, run: RunId, taken: &[SnapshotRow]) -> ApiResult<()> {
    let ids: Vec<Uuid> = taken.iter().map(|snapshot| snapshot.id).collect();
    let hosts: Vec<String> = taken.iter().map(|snapshot| snapshot.host.to_string()).collect();
    let expiries: Vec<DateTime<Utc>> = taken.iter().map(|snapshot| snapshot.expires_at).collect();
    sqlx::query!(
        "INSERT INTO patch.run_snapshots (snapshot_id, run_id, ci_id, expires_at)
         SELECT snapshot_id, $1, ci_id, expires_at
         FROM unnest($2::uuid[], $3::text[], $4::timestamptz[]) AS given (snapshot_id, ci_id, expires_at)
         ON CONFLICT (snapshot_id) DO UPDATE SET expires_at = excluded.expires_at",
        run.0,
        &ids,
        &hosts,
        &expiries,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Until when each of these snapshots is kept, as far as it is known.
pub async fn list_expiries(
    conn: &mut PgConnection,
    snapshots: impl IntoIterator<Item = Uuid>,
) -> ApiResult<BTreeMap<Uuid, DateTime<Utc>>> {
    let ids: Vec<Uuid> = snapshots.into_iter().collect();
    let rows = sqlx::query!(
        "SELECT snapshot_id, expires_at FROM patch.run_snapshots WHERE snapshot_id = ANY($1)",
        &ids
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.snapshot_id, row.expires_at)).collect())
}
