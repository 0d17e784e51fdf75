//! One value of an answer as a short text.

use domain::text::is_hidden;
use serde_json::Value;

/// A value on one line: a list comma-separated, a flat object as `key=value`, anything deeper as JSON.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => clean(text),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) if items.iter().all(is_plain) => {
            items.iter().map(text_of).collect::<Vec<_>>().join(", ")
        }
        Value::Object(fields) if is_flat(value) => {
            let pairs = fields.iter().filter(|(_, value)| !value.is_null());
            pairs.map(|(key, value)| format!("{key}={}", text_of(value))).collect::<Vec<_>>().join(" ")
        }
        Value::Array(_) | Value::Object(_) => clean(&value.to_string()),
    }
}

/// Foreign text must not control the terminal: control characters become visible.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if is_hidden(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Like `clean`, with the lines that the text has.
pub fn clean_lines(text: &str) -> String {
    text.trim_end().lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// Whether it is an object of single values, such as tags or counts.
pub fn is_flat(value: &Value) -> bool {
    value.as_object().is_some_and(|fields| fields.values().all(is_plain))
}

fn is_plain(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_become_one_line() {
        assert_eq!(text_of(&json!(["a", 1, true])), "a, 1, true");
        assert_eq!(text_of(&json!({ "from": "1.0", "to": null })), "from=1.0");
        assert_eq!(text_of(&json!([{ "a": 1 }])), r#"[{"a":1}]"#);
    }

    #[test]
    fn foreign_text_cannot_control_the_terminal() {
        assert_eq!(clean("a\u{1b}[31mred\nline"), "a\u{fffd}[31mred line");
        assert_eq!(clean("a\u{202e}b"), "a\u{fffd}b");
    }
}
