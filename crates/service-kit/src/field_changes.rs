//! What differs between two versions of a record, field by field.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// A field that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldChange {
    /// JSON pointer.
    pub field: String,
    /// `None` if the field was absent or null.
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// Compares into objects and lists of named items.
pub fn field_changes(before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    compare("", before, after, &mut found);
    found
}

fn compare(at: &str, before: &Value, after: &Value, found: &mut Vec<FieldChange>) {
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        let fields: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for field in fields {
            let value = |of: &Map<String, Value>| of.get(field).cloned().unwrap_or_default();
            compare(&format!("{at}/{field}"), &value(old), &value(new), found);
        }
    } else if let (Some(old), Some(new)) = (by_name(before), by_name(after))
        && old != new
    {
        compare(at, &old, &new, found);
    } else if before != after {
        let shown = |value: &Value| (!value.is_null()).then(|| value.clone());
        found.push(FieldChange { field: at.to_owned(), before: shown(before), after: shown(after) });
    }
}

/// A list of uniquely named items as a map by name; `None` for any other value.
fn by_name(value: &Value) -> Option<Value> {
    let items = value.as_array()?;
    let named = items.iter().map(|item| Some((item.get("name")?.as_str()?.to_owned(), item.clone())));
    let named: Map<String, Value> = named.collect::<Option<_>>()?;
    (named.len() == items.len()).then_some(Value::Object(named))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_fields_that_differ_are_named() {
        let before = json!({ "same": 1, "gone": "x", "deep": { "a": [1, 2] }, "tests": [{ "name": "a", "port": 80 }] });
        let after = json!({ "same": 1, "new": true, "deep": { "a": [1, 3] }, "tests": [{ "name": "a", "port": 81 }] });
        let changes = field_changes(&before, &after);
        let shown: Vec<(&str, Option<&Value>, Option<&Value>)> =
            changes.iter().map(|it| (it.field.as_str(), it.before.as_ref(), it.after.as_ref())).collect();
        assert_eq!(
            shown,
            [
                ("/deep/a", Some(&json!([1, 2])), Some(&json!([1, 3]))),
                ("/gone", Some(&json!("x")), None),
                ("/new", None, Some(&json!(true))),
                ("/tests/a/port", Some(&json!(80)), Some(&json!(81))),
            ]
        );
        assert_eq!(field_changes(&before, &before), []);
    }
}
