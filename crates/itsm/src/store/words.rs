//! Enums and ids between their wire names, under which they are stored, and their types.

use domain::ids::CiId;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The stored name of a unit variant.
pub(super) fn name_of(variant: &impl Serialize) -> sqlx::Result<String> {
    match serde_json::to_value(variant) {
        Ok(Value::String(name)) => Ok(name),
        Ok(other) => Err(sqlx::Error::Encode(format!("`{other}` is no name").into())),
        Err(error) => Err(sqlx::Error::Encode(error.into())),
    }
}

/// Reads what [`name_of`] has written. Check constraints hold the same names, so a failure is a broken invariant.
pub(super) fn parse<T: DeserializeOwned>(name: String) -> sqlx::Result<T> {
    serde_json::from_value(Value::String(name)).map_err(|error| sqlx::Error::Decode(error.into()))
}

pub(super) fn ci_ids(names: Vec<String>) -> sqlx::Result<Vec<CiId>> {
    names.into_iter().map(parse).collect()
}

pub(super) fn ci_names(ids: &[CiId]) -> Vec<String> {
    ids.iter().map(|id| id.as_str().to_owned()).collect()
}
