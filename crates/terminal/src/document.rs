//! Answers for programs: every field, as JSON, as YAML, or what a JSON path selects.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::Value;

use crate::{
    cell::clean_lines,
    failure::{Failure, unprintable},
};

/// A JSON path of RFC 9535, as it was written.
#[derive(Debug, Clone)]
pub struct Path {
    text: String,
    path: serde_json_path::JsonPath,
}

impl FromStr for Path {
    type Err = String;

    /// Also without the leading `$`, and in braces, as kubectl writes it: `{.id}`.
    fn from_str(text: &str) -> Result<Self, String> {
        let inner = text.trim();
        let inner = inner.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(inner).trim();
        let full = if inner.starts_with('$') { inner.to_owned() } else { format!("${inner}") };
        let path = serde_json_path::JsonPath::parse(&full).map_err(|error| {
            format!(
                "`{text}` is not a JSON path (RFC 9535), {error}; write it like `$[*].id` or `{{.state}}`"
            )
        })?;
        Ok(Self { text: full, path })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Path {
    /// What it selects, one value per line: a text as it is, anything else as JSON.
    pub fn select<T: Serialize + ?Sized>(&self, item: &T) -> Result<String, Failure> {
        let value = serde_json::to_value(item).map_err(unprintable)?;
        let line = |found: &Value| match found {
            Value::String(text) => clean_lines(text),
            other => other.to_string(),
        };
        Ok(self.path.query(&value).iter().map(|found| line(found) + "\n").collect())
    }
}

pub fn json<T: Serialize + ?Sized>(item: &T) -> Result<String, Failure> {
    serde_json::to_string_pretty(item).map_err(unprintable)
}

/// The fields in the order of the JSON.
pub fn yaml<T: Serialize + ?Sized>(item: &T) -> Result<String, Failure> {
    let json = serde_json::to_string(item).map_err(unprintable)?;
    let value: yaml_serde::Value = serde_json::from_str(&json).map_err(unprintable)?;
    yaml_serde::to_string(&value).map_err(unprintable)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn path_selects_with_and_without_dollar_and_braces() {
        let runs = json!([{ "id": "a", "hosts": { "failed": 2 } }, { "id": "b", "hosts": { "failed": 0 } }]);
        let select = |path: &str| path.parse::<Path>().unwrap().select(&runs).unwrap();
        assert_eq!(select("$[*].id"), "a\nb\n");
        assert_eq!(select("{[0].id}"), "a\n");
        assert_eq!(select("[?@.hosts.failed > 1].id"), "a\n");
        assert_eq!(select("$[1].hosts"), "{\"failed\":0}\n");
        assert_eq!(select("$[*].nothing"), "");
    }

    #[test]
    fn path_with_a_fault_says_how_to_write_one() {
        for wrong in ["$[", "id", "$.a[", "{.a"] {
            let error = wrong.parse::<Path>().unwrap_err();
            assert!(error.contains(wrong) && error.contains("`$[*].id`"), "{error}");
        }
    }

    #[test]
    fn yaml_keeps_the_order_of_fields_and_shows_no_control_characters() {
        #[derive(Serialize)]
        struct Item {
            zone: &'static str,
            at: u32,
        }
        let text = yaml(&Item { zone: "a\u{1b}[31m", at: 2 }).unwrap();
        assert_eq!(text, "zone: \"a\\e[31m\"\nat: 2\n");
    }
}
