use api_types::sim::{CreateSnapshot, Snapshot};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use service_kit::{ApiError, ApiResult, text_enum::from_text};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::driver::Image;

struct SnapshotRow {
    id: Uuid,
    vm_id: String,
    owner: String,
    purpose: String,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    size_bytes: i64,
}

impl TryFrom<SnapshotRow> for Snapshot {
    type Error = ApiError;

    fn try_from(row: SnapshotRow) -> ApiResult<Self> {
        Ok(Self {
            id: row.id,
            vm_id: CiId::new(&row.vm_id).map_err(ApiError::internal)?,
            owner: row.owner,
            purpose: row.purpose,
            created_at: row.created_at,
            expires_at: row.expires_at,
            size_bytes: row.size_bytes,
        })
    }
}

/// An expired snapshot, and the driver that has its image.
pub struct ExpiredSnapshot {
    pub id: Uuid,
    pub vm_id: String,
    pub owner: String,
    pub driver: api_types::sim::Driver,
    pub image: Image,
}

/// The snapshot with this owner and purpose that has not expired by `now`.
pub async fn find_snapshot(
    conn: &mut PgConnection,
    vm_id: &CiId,
    request: &CreateSnapshot,
    now: DateTime<Utc>,
) -> ApiResult<Option<Snapshot>> {
    sqlx::query_as!(
        SnapshotRow,
        "SELECT id, vm_id, owner, purpose, created_at, expires_at, size_bytes FROM sim.snapshots
         WHERE vm_id = $1 AND owner = $2 AND purpose = $3 AND expires_at > $4",
        vm_id.as_str(),
        request.owner,
        request.purpose,
        now,
    )
    .fetch_optional(conn)
    .await?
    .map(Snapshot::try_from)
    .transpose()
}

pub async fn count_snapshots(conn: &mut PgConnection, vm_id: &CiId) -> ApiResult<i64> {
    let count =
        sqlx::query_scalar!(r#"SELECT count(*) AS "n!" FROM sim.snapshots WHERE vm_id = $1"#, vm_id.as_str())
            .fetch_one(conn)
            .await?;
    Ok(count)
}

/// Replaces an expired snapshot with the same owner and purpose.
pub async fn insert_snapshot(conn: &mut PgConnection, snapshot: &Snapshot, image: &Image) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO sim.snapshots (id, vm_id, owner, purpose, image, size_bytes, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (vm_id, owner, purpose) DO UPDATE SET
             id = excluded.id, image = excluded.image, size_bytes = excluded.size_bytes,
             created_at = excluded.created_at, expires_at = excluded.expires_at",
        snapshot.id,
        snapshot.vm_id.as_str(),
        snapshot.owner,
        snapshot.purpose,
        image.content,
        image.size_bytes,
        snapshot.created_at,
        snapshot.expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn list_snapshots(
    conn: &mut PgConnection,
    vm_id: &CiId,
    now: DateTime<Utc>,
    after: Option<Uuid>,
    limit: i64,
) -> ApiResult<Vec<Snapshot>> {
    let rows = sqlx::query_as!(
        SnapshotRow,
        "SELECT id, vm_id, owner, purpose, created_at, expires_at, size_bytes FROM sim.snapshots
         WHERE vm_id = $1 AND expires_at > $2 AND ($3::uuid IS NULL OR id > $3) ORDER BY id LIMIT $4",
        vm_id.as_str(),
        now,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Snapshot::try_from).collect()
}

/// The image of a snapshot that has not expired.
pub async fn get_snapshot_image(
    conn: &mut PgConnection,
    vm_id: &CiId,
    id: Uuid,
    now: DateTime<Utc>,
) -> ApiResult<Image> {
    sqlx::query_as!(
        Image,
        "SELECT image AS content, size_bytes FROM sim.snapshots WHERE vm_id = $1 AND id = $2 AND expires_at > $3",
        vm_id.as_str(),
        id,
        now,
    )
    .fetch_optional(conn)
    .await?
    .ok_or_else(|| ApiError::not_found(format!("snapshot `{id}` of VM `{vm_id}`")))
}

pub async fn delete_snapshot(conn: &mut PgConnection, id: Uuid) -> ApiResult<()> {
    sqlx::query!("DELETE FROM sim.snapshots WHERE id = $1", id).execute(conn).await?;
    Ok(())
}

/// Deletes and returns at most `limit` snapshots that expired by `now`. Locked ones are left for the next time.
pub async fn delete_expired_snapshots(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> ApiResult<Vec<ExpiredSnapshot>> {
    let rows = sqlx::query!(
        "DELETE FROM sim.snapshots s USING sim.vms v
         WHERE v.id = s.vm_id AND s.id IN (SELECT id FROM sim.snapshots WHERE expires_at <= $1
                                           ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)
         RETURNING s.id, s.vm_id, s.owner, v.driver, s.image, s.size_bytes",
        now,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ExpiredSnapshot {
                id: row.id,
                vm_id: row.vm_id,
                owner: row.owner,
                driver: from_text(row.driver)?,
                image: Image { content: row.image, size_bytes: row.size_bytes },
            })
        })
        .collect()
}
