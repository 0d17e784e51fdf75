//! All SQL of the CMDB. Functions take a connection; the caller owns the transaction.

pub mod cis;
pub mod graph;
pub mod history;
pub mod impact;
pub mod inventory;
pub mod relationships;
pub mod sync;

use serde::Serialize;
use serde_json::Value;

fn to_json<T: Serialize>(value: &T) -> sqlx::Result<Value> {
    serde_json::to_value(value).map_err(|error| sqlx::Error::Encode(error.into()))
}
