//! The whole state and its version. Hypervisors and clusters exist if a machine names them.

use api_types::sim::{Cluster, Hypervisor};
use domain::ids::CiId;
use service_kit::ApiResult;
use sqlx::PgConnection;

use super::parse_ids;

pub async fn get_state_version(conn: &mut PgConnection) -> ApiResult<i64> {
    Ok(sqlx::query_scalar!("SELECT version FROM sim.state_version").fetch_one(conn).await?)
}

/// Ids of machines that were deleted after version `since` and have not been created again.
pub async fn list_deleted_vms(conn: &mut PgConnection, since: i64) -> ApiResult<Vec<CiId>> {
    let ids = sqlx::query_scalar!("SELECT id FROM sim.deleted_vms WHERE version > $1 ORDER BY id", since)
        .fetch_all(conn)
        .await?;
    parse_ids(ids)
}

/// Hypervisors, ordered by id. Without a limit, all.
pub async fn list_hosts(
    conn: &mut PgConnection,
    after: Option<&str>,
    limit: Option<i64>,
) -> ApiResult<Vec<Hypervisor>> {
    let rows = sqlx::query!(
        r#"SELECT hypervisor AS "id!", min(cluster) AS cluster, array_agg(id ORDER BY id) AS "vms!"
           FROM sim.vms WHERE hypervisor IS NOT NULL AND ($1::text IS NULL OR hypervisor > $1)
           GROUP BY hypervisor ORDER BY hypervisor LIMIT $2"#,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| Ok(Hypervisor { id: row.id, cluster: row.cluster, vms: parse_ids(row.vms)? }))
        .collect()
}

/// Clusters, ordered by id. Without a limit, all.
pub async fn list_clusters(
    conn: &mut PgConnection,
    after: Option<&str>,
    limit: Option<i64>,
) -> ApiResult<Vec<Cluster>> {
    let rows = sqlx::query!(
        r#"SELECT cluster AS "id!", array_agg(id ORDER BY id) AS "vms!",
                  coalesce(array_agg(DISTINCT hypervisor) FILTER (WHERE hypervisor IS NOT NULL), '{}') AS "hypervisors!"
           FROM sim.vms WHERE cluster IS NOT NULL AND ($1::text IS NULL OR cluster > $1)
           GROUP BY cluster ORDER BY cluster LIMIT $2"#,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| Ok(Cluster { id: row.id, hypervisors: row.hypervisors, vms: parse_ids(row.vms)? }))
        .collect()
}
