//! Variables for Ansible, whose texts stay texts.
//!
//! Ansible reads a text from an inventory or a file of variables as a template, and a template can run programs on the
//! controller. Hence each text goes out as `{"__ansible_unsafe": text}`, which Ansible never renders.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A text of this length is no variable.
const LONGEST_NAME: usize = 64;
const LARGEST_VALUE_BYTES: usize = 1024 * 1024;

/// Words that mean something to Ansible as the name of a variable or of a part of a play.
const RESERVED: &[&str] = &[
    "action",
    "always",
    "any_errors_fatal",
    "args",
    "async",
    "become",
    "become_exe",
    "become_flags",
    "become_method",
    "become_user",
    "block",
    "changed_when",
    "check_mode",
    "collections",
    "connection",
    "debugger",
    "delay",
    "delegate_to",
    "diff",
    "environment",
    "fact_path",
    "failed_when",
    "force_handlers",
    "gather_facts",
    "gather_subset",
    "group_names",
    "groups",
    "handlers",
    "hosts",
    "hostvars",
    "ignore_errors",
    "ignore_unreachable",
    "import_playbook",
    "include",
    "item",
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
    "listen",
    "local_action",
    "loop",
    "loop_control",
    "max_fail_percentage",
    "module_defaults",
    "name",
    "no_log",
    "notify",
    "omit",
    "order",
    "play_hosts",
    "playbook_dir",
    "poll",
    "port",
    "post_tasks",
    "pre_tasks",
    "register",
    "remote_user",
    "rescue",
    "retries",
    "role_name",
    "role_names",
    "role_path",
    "role_uuid",
    "roles",
    "run_once",
    "serial",
    "strategy",
    "tags",
    "tasks",
    "throttle",
    "timeout",
    "until",
    "vars",
    "vars_files",
    "vars_prompt",
    "when",
];

/// A variable that is not let through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("variable `{name}` {reason}")]
pub struct InvalidVariable {
    name: String,
    reason: &'static str,
}

/// Variables of a host or a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Variables(BTreeMap<String, Value>);

impl Variables {
    pub fn new() -> Self {
        Self::default()
    }

    /// One of the platform's own variables, `pm_...`, whose name is part of the program.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) -> &mut Self {
        debug_assert!(name.starts_with("pm_"), "`{name}` is not a variable of the platform");
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// A variable whose name comes from outside: an operator, a tag, an attribute of the CMDB.
    pub fn set_foreign(&mut self, name: &str, value: Value) -> Result<&mut Self, InvalidVariable> {
        let fail = |reason| {
            let shown = name.chars().take(LONGEST_NAME).flat_map(char::escape_default).collect();
            Err(InvalidVariable { name: shown, reason })
        };
        let well_formed = (1..=LONGEST_NAME).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            && name.as_bytes()[0].is_ascii_lowercase();
        if !well_formed {
            return fail("must be 1 to 64 of `a-z 0-9 _` with a letter first");
        }
        if ["ansible", "pm_", "managed_host"].iter().any(|prefix| name.starts_with(prefix)) {
            return fail("begins as names that steer the platform or Ansible; choose another");
        }
        if RESERVED.contains(&name) {
            return fail("is a word of Ansible's own; choose another");
        }
        if value.to_string().len() > LARGEST_VALUE_BYTES {
            return fail("is larger than 1 MiB");
        }
        self.0.insert(name.to_owned(), value);
        Ok(self)
    }

    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// As Ansible reads it, every text inert.
    pub(crate) fn to_wire(&self) -> Result<Map<String, Value>, InvalidVariable> {
        let inert = |(name, value): (&String, &Value)| {
            let value = make_inert(value).map_err(|reason| InvalidVariable { name: name.clone(), reason })?;
            Ok((name.clone(), value))
        };
        self.0.iter().map(inert).collect()
    }
}

pub(crate) fn inert_text(text: &str) -> Value {
    json!({ "__ansible_unsafe": text })
}

fn make_inert(value: &Value) -> Result<Value, &'static str> {
    Ok(match value {
        Value::String(text) => inert_text(text),
        Value::Array(items) => Value::Array(items.iter().map(make_inert).collect::<Result<_, _>>()?),
        Value::Object(members) => {
            let mut inert = Map::new();
            for (name, member) in members {
                // A member of such a name would turn the whole object into something else while it is read.
                if name.starts_with("__ansible") {
                    return Err("has a member whose name begins with `__ansible`");
                }
                inert.insert(name.clone(), make_inert(member)?);
            }
            Value::Object(inert)
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

    #[test]
    fn foreign_names_come_from_an_allow_list() {
        let mut variables = Variables::new();
        for name in
            ["", "Owner", "1st", "a-b", "pm_driver", "ansible_host", "groups", "__ansible_unsafe", "é", "a\0"]
        {
            assert!(variables.set_foreign(name, Value::Null).is_err(), "{name:?} was accepted");
        }
        assert!(variables.set_foreign("owner", json!("team-a")).is_ok());
    }
}
