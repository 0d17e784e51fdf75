use api_types::sim::Repository;
use chrono::{DateTime, Utc};
use service_kit::{ApiError, ApiResult};
use sqlx::PgConnection;

use crate::machine::Offers;

pub async fn get_repository(conn: &mut PgConnection, os: &str) -> ApiResult<Repository> {
    sqlx::query_scalar!("SELECT os FROM sim.repositories WHERE os = $1", os)
        .fetch_optional(&mut *conn)
        .await?
        .ok_or_else(|| ApiError::not_found(format!("repository for `{os}`")))?;
    let rows = sqlx::query!("SELECT name, versions FROM sim.repository_packages WHERE os = $1", os)
        .fetch_all(conn)
        .await?;
    Ok(Repository { packages: rows.into_iter().map(|row| (row.name, row.versions)).collect() })
}

/// What the repository of an OS offers for these packages. Nothing if there is no repository.
pub async fn list_offers(conn: &mut PgConnection, os: &str, packages: &[String]) -> ApiResult<Offers> {
    let rows = sqlx::query!(
        "SELECT name, versions FROM sim.repository_packages WHERE os = $1 AND name = ANY($2)",
        os,
        packages,
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.name, row.versions)).collect())
}

/// Replaces a repository. Writers of the same one queue at its row.
pub async fn put_repository(
    conn: &mut PgConnection,
    os: &str,
    repository: &Repository,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO sim.repositories (os, updated_at) VALUES ($1, $2)
         ON CONFLICT (os) DO UPDATE SET updated_at = excluded.updated_at",
        os,
        now,
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("DELETE FROM sim.repository_packages WHERE os = $1", os).execute(&mut *conn).await?;
    sqlx::query!(
        "INSERT INTO sim.repository_packages (os, name, versions)
         SELECT $1, key, ARRAY(SELECT version FROM jsonb_array_elements_text(value)
                               WITH ORDINALITY AS listed (version, place) ORDER BY place)
         FROM jsonb_each($2)",
        os,
        serde_json::to_value(&repository.packages)?,
    )
    .execute(conn)
    .await?;
    Ok(())
}
