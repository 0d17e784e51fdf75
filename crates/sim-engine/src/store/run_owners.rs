use api_types::sim::RunOwner;
use domain::ids::CiId;
use service_kit::{ApiError, ApiResult};
use sqlx::PgConnection;

/// The highest epoch that a guest has seen for a run.
pub async fn find_epoch(conn: &mut PgConnection, vm_id: &CiId, run_id: &str) -> ApiResult<Option<u32>> {
    let epoch = sqlx::query_scalar!(
        "SELECT epoch FROM sim.run_owners WHERE vm_id = $1 AND run_id = $2",
        vm_id.as_str(),
        run_id
    )
    .fetch_optional(conn)
    .await?;
    epoch.map(|epoch| u32::try_from(epoch).map_err(ApiError::internal)).transpose()
}

pub async fn put_epoch(conn: &mut PgConnection, vm_id: &CiId, owner: &RunOwner) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO sim.run_owners (vm_id, run_id, epoch) VALUES ($1, $2, $3)
         ON CONFLICT (vm_id, run_id) DO UPDATE SET epoch = excluded.epoch",
        vm_id.as_str(),
        owner.run_id,
        i64::from(owner.epoch),
    )
    .execute(conn)
    .await?;
    Ok(())
}
