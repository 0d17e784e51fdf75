//! Secrets, and their removal from events and logs.

use std::{borrow::Cow, fmt};

use zeroize::Zeroizing;

/// Shorter texts are not redacted: they are not secrets, and half of all words would go with them.
const SHORTEST_REDACTED: usize = 4;
const REPLACEMENT: &str = "[redacted]";

/// A text that appears in no `Debug` output, event or log, and whose memory is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret itself; the caller is responsible for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

/// Replaces every occurrence of known secrets.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    /// Longest first, so that a secret that contains another one is replaced as a whole.
    patterns: Vec<String>,
}

impl Redactor {
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut patterns = Vec::new();
        for secret in secrets {
            // A printed key file is split into lines, and a JSON text escapes what it quotes.
            for line in secret.0.lines().map(str::trim).chain([secret.0.trim()]) {
                if line.len() >= SHORTEST_REDACTED {
                    let quoted = serde_json::Value::from(line).to_string();
                    patterns.push(quoted.trim_matches('"').to_owned());
                    patterns.push(line.to_owned());
                }
            }
        }
        patterns.sort_by(|left, right| right.len().cmp(&left.len()).then_with(|| left.cmp(right)));
        patterns.dedup();
        Self { patterns }
    }

    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut redacted = Cow::Borrowed(text);
        for pattern in &self.patterns {
            if redacted.contains(pattern.as_str()) {
                redacted = Cow::Owned(redacted.replace(pattern.as_str(), REPLACEMENT));
            }
        }
        redacted
    }

    /// Redacts every text of a JSON value, including the names of members.
    pub fn redact_json(&self, value: &mut serde_json::Value) {
        use serde_json::Value;
        if self.patterns.is_empty() {
            return;
        }
        match value {
            Value::String(text) => {
                if let Cow::Owned(redacted) = self.redact(text) {
                    *text = redacted;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_json(item)),
            Value::Object(members) => {
                for (name, mut member) in std::mem::take(members) {
                    self.redact_json(&mut member);
                    members.insert(self.redact(&name).into_owned(), member);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_redacted_in_lines_and_in_json() {
        let redactor =
            Redactor::new(&[Secret::new("hunter2!"), Secret::new("BEGIN\nabc\"defg\nEND"), Secret::new("x")]);
        assert_eq!(redactor.redact("a hunter2! x"), "a [redacted] x");
        assert_eq!(redactor.redact(r#"{"k": "abc\"defg"}"#), r#"{"k": "[redacted]"}"#);
        let mut value = serde_json::json!({"hunter2!": ["BEGIN\nabc\"defg\nEND"]});
        redactor.redact_json(&mut value);
        assert_eq!(value, serde_json::json!({"[redacted]": ["[redacted]"]}));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter2!")), "Secret([redacted])");
    }
}
