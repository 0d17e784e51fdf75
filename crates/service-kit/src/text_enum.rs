//! Enums and ids stored as text: the column contains the same name as the wire.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// The stored name of a unit variant or an id.
pub fn to_text<T: Serialize>(value: &T) -> sqlx::Result<String> {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => Ok(text),
        Ok(other) => Err(sqlx::Error::Encode(format!("`{other}` is not stored as text").into())),
        Err(error) => Err(sqlx::Error::Encode(error.into())),
    }
}

/// Reads what [`to_text`] has written. An unknown text is an error of the data, never a default.
pub fn from_text<T: DeserializeOwned>(text: impl Into<String>) -> sqlx::Result<T> {
    serde_json::from_value(Value::String(text.into())).map_err(|error| sqlx::Error::Decode(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Colour {
        DarkRed,
    }

    #[test]
    fn stored_names_are_those_of_the_wire() {
        assert_eq!(to_text(&Colour::DarkRed).unwrap(), "dark_red");
        assert_eq!(from_text::<Colour>("dark_red").unwrap(), Colour::DarkRed);
    }

    #[test]
    fn unknown_text_is_an_error() {
        assert!(matches!(from_text::<Colour>("mauve"), Err(sqlx::Error::Decode(_))));
        assert!(matches!(to_text(&7), Err(sqlx::Error::Encode(_))));
    }
}
