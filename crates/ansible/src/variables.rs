//! Variables for Ansible, whose texts stay texts.
//!
//! Ansible reads a text from an inventory or a file of variables as a template, and a template can run programs on the
//! controller. Hence each text is written as `{"__ansible_unsafe": text}`, which Ansible never renders. The name of a
//! variable is part of the program, so no name from outside can steer Ansible.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A value that Ansible would read as something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("variable `{name}` has a member whose name begins with `__ansible`")]
pub struct InvalidVariable {
    name: &'static str,
}

/// Variables of a host or a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Variables(BTreeMap<&'static str, Value>);

impl Variables {
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one of the platform's own variables, `pm_...`.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) -> &mut Self {
        debug_assert!(name.starts_with("pm_"), "`{name}` is not a variable of the platform");
        self.0.insert(name, value.into());
        self
    }

    /// As Ansible reads it, every text inert.
    pub(crate) fn to_wire(&self) -> Result<Map<String, Value>, InvalidVariable> {
        let inert = |(name, value): (&&'static str, &Value)| {
            let value = make_inert(value).ok_or(InvalidVariable { name })?;
            Ok(((*name).to_owned(), value))
        };
        self.0.iter().map(inert).collect()
    }
}

pub(crate) fn inert_text(text: &str) -> Value {
    json!({ "__ansible_unsafe": text })
}

/// `None` for a value with a member that would turn the whole object into something else while Ansible reads it.
fn make_inert(value: &Value) -> Option<Value> {
    Some(match value {
        Value::String(text) => inert_text(text),
        Value::Array(items) => Value::Array(items.iter().map(make_inert).collect::<Option<_>>()?),
        Value::Object(members) => {
            let inert = |(name, member): (&String, &Value)| {
                let is_safe = !name.starts_with("__ansible");
                is_safe.then(|| make_inert(member)).flatten().map(|member| (name.clone(), member))
            };
            Value::Object(members.iter().map(inert).collect::<Option<_>>()?)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_inert_at_every_depth() {
        let mut variables = Variables::new();
        variables.set("pm_tests", json!([{"name": "{{ 1 }}", "port": 80}]));
        let wire = Value::Object(variables.to_wire().unwrap());
        assert_eq!(wire, json!({"pm_tests": [{"name": {"__ansible_unsafe": "{{ 1 }}"}, "port": 80}]}));
    }

    #[test]
    fn members_that_steer_the_reader_are_refused() {
        let mut variables = Variables::new();
        variables.set("pm_tests", json!([{"__ansible_vault": "x"}]));
        assert!(variables.to_wire().is_err());
    }
}
