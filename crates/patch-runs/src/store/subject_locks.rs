//! Locks: a subject is in the work of one run at a time.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, RunId},
    plan::Subject,
};
use service_kit::{ApiResult, text_enum::to_text};
use sqlx::PgConnection;

/// Locks subjects for a run. Returns those that another run holds, with that run; then none is locked.
pub async fn lock_subjects(
    conn: &mut PgConnection,
    run: RunId,
    subject: Subject,
    ids: &BTreeSet<CiId>,
    now: DateTime<Utc>,
) -> ApiResult<Vec<(String, RunId)>> {
    let subject = to_text(&subject)?;
    let ids: Vec<String> = ids.iter().map(CiId::to_string).collect();
    sqlx::query!(
        "INSERT INTO patch.subject_locks (subject, id, run_id, since) SELECT $4, unnest($2::text[]), $1, $3
         ON CONFLICT (subject, id) DO NOTHING",
        run.0,
        &ids,
        now,
        subject,
    )
    .execute(&mut *conn)
    .await?;
    let held = sqlx::query!(
        "SELECT id, run_id FROM patch.subject_locks WHERE subject = $3 AND id = ANY($2) AND run_id <> $1 ORDER BY id",
        run.0,
        &ids,
        subject,
    )
    .fetch_all(&mut *conn)
    .await?;
    if !held.is_empty() {
        unlock_subjects(conn, run, &ids).await?;
    }
    Ok(held.into_iter().map(|row| (row.id, RunId(row.run_id))).collect())
}

/// Unlocks those of these subjects that the run holds.
pub async fn unlock_subjects(conn: &mut PgConnection, run: RunId, ids: &[String]) -> ApiResult<()> {
    sqlx::query!("DELETE FROM patch.subject_locks WHERE run_id = $1 AND id = ANY($2)", run.0, ids)
        .execute(conn)
        .await?;
    Ok(())
}

/// Unlocks all that the run holds.
pub async fn unlock_all(conn: &mut PgConnection, run: RunId) -> ApiResult<()> {
    sqlx::query!("DELETE FROM patch.subject_locks WHERE run_id = $1", run.0).execute(conn).await?;
    Ok(())
}
