//! All SQL of the sim-engine.

pub mod customers;
pub mod faults;
pub mod machines;
pub mod repositories;
pub mod run_owners;
pub mod snapshots;
pub mod state;
pub mod transactions;
pub mod vms;

use domain::ids::CiId;
use service_kit::{ApiError, ApiResult};
use sqlx::{PgPool, Postgres, Transaction};

/// Begins a transaction in which all reads see one state of the database.
pub async fn begin_reading(pool: &PgPool) -> ApiResult<Transaction<'static, Postgres>> {
    Ok(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
}

fn parse_ids(ids: Vec<String>) -> ApiResult<Vec<CiId>> {
    ids.iter().map(|id| CiId::new(id).map_err(ApiError::internal)).collect()
}
