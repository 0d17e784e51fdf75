use api_types::sim::{Fault, FaultKind};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use service_kit::{
    ApiError, ApiResult,
    text_enum::{from_text, to_text},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::machine::FaultState;

struct FaultRow {
    id: Uuid,
    kind: String,
    vm_id: String,
    probability: f64,
    times_left: Option<i32>,
    service: Option<String>,
    delay_seconds: Option<f64>,
    seed: i64,
    draws: i64,
    strikes: i32,
    created_at: DateTime<Utc>,
}

impl TryFrom<FaultRow> for FaultState {
    type Error = ApiError;

    fn try_from(row: FaultRow) -> ApiResult<Self> {
        let shown = Fault {
            id: row.id,
            kind: from_text(row.kind)?,
            vm_id: CiId::new(&row.vm_id).map_err(ApiError::internal)?,
            probability: row.probability,
            times_left: row.times_left.map(i32::cast_unsigned),
            service: row.service,
            delay_seconds: row.delay_seconds,
            strikes: row.strikes.cast_unsigned(),
            created_at: row.created_at,
        };
        Ok(Self { shown, seed: row.seed.cast_unsigned(), draws: row.draws.cast_unsigned() })
    }
}

macro_rules! fault_query {
    ($tail:tt, $($argument:expr),*) => {
        sqlx::query_as!(
            FaultRow,
            "SELECT id, kind, vm_id, probability, times_left, service, delay_seconds, seed, draws, strikes, created_at
             FROM sim.faults "
                + $tail,
            $($argument),*
        )
    };
}

/// The live faults of a machine.
pub async fn list_live_faults(conn: &mut PgConnection, vm_id: &str) -> ApiResult<Vec<FaultState>> {
    let rows = fault_query!("WHERE vm_id = $1 AND times_left IS DISTINCT FROM 0 ORDER BY id", vm_id)
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(FaultState::try_from).collect()
}

/// Faults, including spent ones, oldest first.
pub async fn list_faults(
    conn: &mut PgConnection,
    vm_id: Option<&CiId>,
    kind: Option<FaultKind>,
    after: Option<Uuid>,
    limit: i64,
) -> ApiResult<Vec<FaultState>> {
    let rows = fault_query!(
        "WHERE ($1::text IS NULL OR vm_id = $1) AND ($2::text IS NULL OR kind = $2)
           AND ($3::uuid IS NULL OR id > $3) ORDER BY id LIMIT $4",
        vm_id.map(CiId::as_str),
        kind.as_ref().map(to_text).transpose()?,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(FaultState::try_from).collect()
}

pub async fn get_fault(conn: &mut PgConnection, id: Uuid) -> ApiResult<FaultState> {
    let row = fault_query!("WHERE id = $1", id).fetch_optional(conn).await?;
    row.ok_or_else(|| ApiError::not_found(format!("fault `{id}`")))?.try_into()
}

pub async fn insert_fault(
    conn: &mut PgConnection,
    FaultState { shown: fault, seed, draws }: &FaultState,
) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO sim.faults (id, vm_id, kind, probability, times_left, service, delay_seconds, seed, draws,
                                 strikes, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        fault.id,
        fault.vm_id.as_str(),
        to_text(&fault.kind)?,
        fault.probability,
        fault.times_left.map(u32::cast_signed),
        fault.service,
        fault.delay_seconds,
        seed.cast_signed(),
        draws.cast_signed(),
        fault.strikes.cast_signed(),
        fault.created_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores the draws of a fault. Writes nothing if there were none.
pub async fn update_fault(
    conn: &mut PgConnection,
    FaultState { shown: fault, draws, .. }: &FaultState,
) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE sim.faults SET times_left = $2, draws = $3, strikes = $4 WHERE id = $1 AND draws <> $3",
        fault.id,
        fault.times_left.map(u32::cast_signed),
        draws.cast_signed(),
        fault.strikes.cast_signed(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn delete_fault(conn: &mut PgConnection, id: Uuid) -> ApiResult<()> {
    sqlx::query!("DELETE FROM sim.faults WHERE id = $1", id).execute(conn).await?;
    Ok(())
}
