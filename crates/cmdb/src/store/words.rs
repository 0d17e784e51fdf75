//! Words of the wire as they are stored: the same snake-case text.

use domain::ids::CiId;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The stored text of an enum of the wire.
pub fn text<T: Serialize>(word: &T) -> Result<String, sqlx::Error> {
    match serde_json::to_value(word) {
        Ok(Value::String(text)) => Ok(text),
        Ok(other) => Err(sqlx::Error::Encode(format!("`{other}` is no word").into())),
        Err(error) => Err(sqlx::Error::Encode(error.into())),
    }
}

/// The enum of a stored text; a text this version does not know is an error of the data, not of the caller.
pub fn word<T: DeserializeOwned>(text: String) -> Result<T, sqlx::Error> {
    serde_json::from_value(Value::String(text)).map_err(|error| sqlx::Error::Decode(error.into()))
}

pub fn ci_id(text: String) -> Result<CiId, sqlx::Error> {
    CiId::new(text).map_err(|error| sqlx::Error::Decode(error.into()))
}

pub fn json<T: Serialize>(value: &T) -> Result<Value, sqlx::Error> {
    serde_json::to_value(value).map_err(|error| sqlx::Error::Encode(error.into()))
}
