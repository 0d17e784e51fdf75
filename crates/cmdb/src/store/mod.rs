//! All SQL of the CMDB. Functions are concrete, take a connection, and leave the transaction to their caller.

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
