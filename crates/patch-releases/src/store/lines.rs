//! Lines of versions whose base was released elsewhere.

use api_types::patch::ReleaseLine;
use domain::release::Version;
use service_kit::ApiResult;
use sqlx::PgConnection;

use super::customers::version_of;

pub async fn upsert_line(conn: &mut PgConnection, line: &ReleaseLine) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.release_lines (base_version, note, created_at, created_by) VALUES ($1, $2, $3, $4)
         ON CONFLICT (base_version) DO UPDATE SET note = $2, created_at = $3, created_by = $4",
        line.base_version.to_string(),
        line.note,
        line.created_at,
        line.created_by,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lowest version first.
pub async fn list_lines(conn: &mut PgConnection) -> ApiResult<Vec<ReleaseLine>> {
    let rows = sqlx::query!("SELECT base_version, note, created_at, created_by FROM patch.release_lines")
        .fetch_all(conn)
        .await?;
    let mut lines = rows
        .into_iter()
        .map(|row| {
            Ok(ReleaseLine {
                base_version: version_of(&row.base_version)?,
                note: row.note,
                created_at: row.created_at,
                created_by: row.created_by,
            })
        })
        .collect::<ApiResult<Vec<_>>>()?;
    lines.sort_by_key(|line| line.base_version);
    Ok(lines)
}

/// `false` if the line does not exist.
pub async fn delete_line(conn: &mut PgConnection, base: Version) -> ApiResult<bool> {
    let deleted = sqlx::query!("DELETE FROM patch.release_lines WHERE base_version = $1", base.to_string())
        .execute(conn)
        .await?;
    Ok(deleted.rows_affected() == 1)
}
