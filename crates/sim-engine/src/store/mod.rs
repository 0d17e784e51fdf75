//! All SQL of the sim-engine.

pub mod customers;
pub mod faults;
pub mod machines;
pub mod repositories;
pub mod snapshots;
pub mod state;
pub mod transactions;
pub mod vms;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use service_kit::{ApiError, ApiResult};
use sqlx::{PgPool, Postgres, Transaction};

/// A transaction in which all reads see one state of the database.
pub async fn begin_reading(pool: &PgPool) -> ApiResult<Transaction<'static, Postgres>> {
    Ok(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
}

/// The name of a state as it is stored: the same as on the wire.
fn name_of(state: impl Serialize) -> ApiResult<String> {
    match serde_json::to_value(state)? {
        Value::String(name) => Ok(name),
        other => Err(ApiError::internal(format!("`{other}` is no name"))),
    }
}

fn of_name<T: DeserializeOwned>(name: String) -> ApiResult<T> {
    Ok(serde_json::from_value(Value::String(name))?)
}
