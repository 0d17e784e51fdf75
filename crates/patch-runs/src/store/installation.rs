//! The identity of the installation, and the work folders that know it.

use api_types::patch::{HeldRun, HoldCause, InstallationFolder};
use chrono::{DateTime, Utc};
use domain::{ids::RunId, run::PauseCause};
use service_kit::{
    ApiResult,
    text_enum::{from_text, to_text},
};
use sqlx::PgConnection;
use uuid::Uuid;

/// The row of the installation.
#[derive(Debug, Clone)]
pub struct InstallationRow {
    pub id: Uuid,
    pub epoch: i64,
    pub place: Option<String>,
    pub hold: Option<HoldRow>,
    pub confirmed_at: Option<DateTime<Utc>>,
    pub confirmed_by: Option<String>,
}

/// Why the installation is held.
#[derive(Debug, Clone)]
pub struct HoldRow {
    pub since: DateTime<Utc>,
    pub cause: HoldCause,
    pub detail: String,
}

/// Gives the database an identity if it has none. `true` if it had none.
pub async fn insert_installation(conn: &mut PgConnection, id: Uuid) -> ApiResult<bool> {
    let inserted = sqlx::query!("INSERT INTO patch.installation (id) VALUES ($1) ON CONFLICT DO NOTHING", id)
        .execute(conn)
        .await?;
    Ok(inserted.rows_affected() == 1)
}

/// The identity; locked until the commit.
pub async fn lock_installation(conn: &mut PgConnection) -> ApiResult<InstallationRow> {
    sqlx::query!("SELECT single FROM patch.installation FOR UPDATE").fetch_one(&mut *conn).await?;
    match find_installation(conn).await? {
        Some(row) => Ok(row),
        None => Err(sqlx::Error::RowNotFound.into()),
    }
}

pub async fn find_installation(conn: &mut PgConnection) -> ApiResult<Option<InstallationRow>> {
    let row = sqlx::query!(
        "SELECT id, epoch, place, held_since, held_cause, held_detail, confirmed_at, confirmed_by FROM patch.installation"
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let hold = match (row.held_since, row.held_cause) {
        (Some(since), Some(cause)) => {
            Some(HoldRow { since, cause: from_text(&cause)?, detail: row.held_detail.unwrap_or_default() })
        }
        _ => None,
    };
    Ok(Some(InstallationRow {
        id: row.id,
        epoch: row.epoch,
        place: row.place,
        hold,
        confirmed_at: row.confirmed_at,
        confirmed_by: row.confirmed_by,
    }))
}

/// Where PostgreSQL keeps the identity. The number of the cluster is left out where the server hides it.
pub async fn get_place(conn: &mut PgConnection) -> ApiResult<String> {
    let may_read = sqlx::query_scalar!(
        r#"SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') AS "may!""#
    )
    .fetch_one(&mut *conn)
    .await?;
    let cluster = if may_read {
        sqlx::query_scalar!(
            r#"SELECT system_identifier::text AS "cluster!" FROM pg_catalog.pg_control_system()"#
        )
        .fetch_one(&mut *conn)
        .await?
    } else {
        "unknown".to_owned()
    };
    let (database, table) = {
        let row = sqlx::query!(
            r#"SELECT (SELECT oid::text FROM pg_catalog.pg_database WHERE datname = current_database()) AS "database!",
                   'patch.installation'::regclass::oid::text AS "table!""#
        )
        .fetch_one(conn)
        .await?;
        (row.database, row.table)
    };
    Ok(format!("{cluster}/{database}/{table}"))
}

pub async fn list_folders(conn: &mut PgConnection) -> ApiResult<Vec<InstallationFolder>> {
    let folders = sqlx::query_as!(
        InstallationFolder,
        "SELECT folder, place, count, seen_at FROM patch.installation_folders ORDER BY seen_at DESC, folder LIMIT 1000"
    )
    .fetch_all(conn)
    .await?;
    Ok(folders)
}

/// Counts on for a folder that knows `known`, and records where the identity is kept.
pub async fn advance(
    conn: &mut PgConnection,
    folder: Uuid,
    path: &str,
    known: i64,
    place: &str,
) -> ApiResult<i64> {
    sqlx::query!("UPDATE patch.installation SET place = $1 WHERE place IS NULL", place)
        .execute(&mut *conn)
        .await?;
    let count = sqlx::query_scalar!(
        "INSERT INTO patch.installation_folders AS existing (folder, place, count, seen_at)
         VALUES ($1, $2, $3::bigint + 1, clock_timestamp())
         ON CONFLICT (folder) DO UPDATE SET place = excluded.place, count = greatest(existing.count, $3) + 1,
             seen_at = excluded.seen_at
         RETURNING count",
        folder,
        path,
        known,
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}

pub async fn hold(
    conn: &mut PgConnection,
    cause: HoldCause,
    detail: &str,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.installation SET held_since = $1, held_cause = $2, held_detail = $3",
        now,
        to_text(&cause)?,
        detail
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends the hold in a new epoch. Folders of before must join again.
pub async fn confirm(
    conn: &mut PgConnection,
    epoch: i64,
    place: &str,
    by: &str,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!("DELETE FROM patch.installation_folders").execute(&mut *conn).await?;
    sqlx::query!(
        "UPDATE patch.installation SET epoch = $1, place = $2, held_since = NULL, held_cause = NULL, held_detail = NULL,
             confirmed_at = $3, confirmed_by = $4",
        epoch,
        place,
        now,
        by
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn has_open_runs(conn: &mut PgConnection) -> ApiResult<bool> {
    let has =
        sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM patch.runs WHERE ended_at IS NULL) AS "has!""#)
            .fetch_one(conn)
            .await?;
    Ok(has)
}

/// Open runs, oldest first; with `working`, only those that do not wait for an operator yet.
pub async fn list_open_runs(conn: &mut PgConnection, working: bool, limit: i64) -> ApiResult<Vec<RunId>> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM patch.runs
         WHERE ended_at IS NULL AND (NOT $1 OR machine #>> '{paused,cause}' IS DISTINCT FROM $2)
         ORDER BY created_at LIMIT $3",
        working,
        PauseCause::NeedsOperator.name(),
        limit,
    )
    .fetch_all(conn)
    .await?;
    Ok(ids.into_iter().map(RunId).collect())
}

/// The runs that wait for an operator, oldest first.
pub async fn list_held_runs(conn: &mut PgConnection, limit: i64) -> ApiResult<Vec<HeldRun>> {
    let rows = sqlx::query!(
        r#"SELECT id, stage, reason, created_at,
               (SELECT count(*) FROM patch.run_hosts host WHERE host.run_id = run.id AND host.ended_at IS NULL) AS "unfinished!"
           FROM patch.runs run
           WHERE ended_at IS NULL AND machine #>> '{paused,cause}' = $1
           ORDER BY created_at LIMIT $2"#,
        PauseCause::NeedsOperator.name(),
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(HeldRun {
                id: RunId(row.id),
                stage: row.stage.as_deref().map(from_text).transpose()?,
                reason: row.reason,
                unfinished_hosts: row.unfinished,
                created_at: row.created_at,
            })
        })
        .collect()
}
