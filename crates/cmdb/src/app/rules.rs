//! What a CI may be made of. Every wrong field is named, not the first alone.

use std::{collections::BTreeMap, net::IpAddr};

use api_types::problem::FieldError;
use domain::{ids::CiId, quantity::HostCount, selector::Tags};
use serde_json::Value;
use service_kit::{ApiError, ApiResult};

pub const MAX_NAME: usize = 200;
pub const MAX_REASON: usize = 1000;
const MAX_TAGS: usize = 64;
const MAX_TAG_VALUE: usize = 255;
const MAX_ATTRIBUTES: usize = 200;
const MAX_ATTRIBUTES_BYTES: usize = 64 * 1024;
/// Deeper values could not be read back by every client once they stand inside a page.
const MAX_DEPTH: usize = 32;

/// Names Ansible gives a meaning of its own: a variable so named would change how or where code runs. Everything that
/// begins with `ansible_` is refused beside them.
const FORBIDDEN_ATTRIBUTES: [&str; 15] = [
    "inventory_dir",
    "inventory_file",
    "inventory_hostname",
    "inventory_hostname_short",
    "playbook_dir",
    "groups",
    "hostvars",
    "omit",
    "vars",
    "environment",
    "group_names",
    "play_hosts",
    "role_path",
    "__ansible_unsafe",
    "__ansible_vault",
];
/// Keys that make Ansible's JSON reader take an object for something else than an object.
const MARKERS: [&str; 2] = ["__ansible_unsafe", "__ansible_vault"];

/// Wrong fields, gathered.
#[derive(Debug, Default)]
pub struct Faults(Vec<FieldError>);

impl Faults {
    pub fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldError { pointer: pointer.into(), detail: detail.into() });
    }

    /// The faults in one line, for a record of an import; `None` when there are none.
    pub fn summary(&self) -> Option<String> {
        let parts: Vec<String> =
            self.0.iter().map(|fault| format!("`{}` {}", fault.pointer, fault.detail)).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    pub fn refuse(self) -> ApiResult<()> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(ApiError::invalid_fields(self.0)),
        }
    }
}

/// A text that people read: of bounded length, not empty, in one line.
pub fn check_line(faults: &mut Faults, pointer: &str, text: &str, most: usize) {
    if text.trim().is_empty() || text.chars().count() > most || text.chars().any(char::is_control) {
        faults.add(pointer, format!("must be 1 to {most} characters without control characters"));
    }
}

/// Why something is done: may have several lines, may be absent.
pub fn check_reason(faults: &mut Faults, pointer: &str, text: Option<&str>) {
    if let Some(text) = text
        && (text.chars().count() > MAX_REASON || text.chars().any(|c| c.is_control() && c != '\n'))
    {
        faults.add(pointer, format!("must be at most {MAX_REASON} characters without control characters"));
    }
}

pub fn check_tags(faults: &mut Faults, tags: &Tags) {
    if tags.len() > MAX_TAGS {
        faults.add("/tags", format!("has {} tags; at most {MAX_TAGS} are kept", tags.len()));
    }
    for (key, value) in tags {
        let pointer = || format!("/tags/{}", segment(key));
        if !is_tag_key(key) {
            faults.add(
                pointer(),
                "is no name for a tag: use 1 to 63 of `A-Z a-z 0-9 _ . - /`, a letter, digit or `_` first",
            );
        } else if value.chars().count() > MAX_TAG_VALUE || value.chars().any(char::is_control) {
            faults.add(
                pointer(),
                format!("must be at most {MAX_TAG_VALUE} characters without control characters"),
            );
        }
    }
}

pub fn is_tag_key(key: &str) -> bool {
    (1..=63).contains(&key.len())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'/'))
        && (key.as_bytes()[0].is_ascii_alphanumeric() || key.starts_with('_'))
}

pub fn check_attributes(faults: &mut Faults, attributes: &BTreeMap<String, Value>) {
    if attributes.len() > MAX_ATTRIBUTES {
        faults.add(
            "/attributes",
            format!("has {} attributes; at most {MAX_ATTRIBUTES} are kept", attributes.len()),
        );
    }
    let size = serde_json::to_vec(attributes).map_or(usize::MAX, |bytes| bytes.len());
    if size > MAX_ATTRIBUTES_BYTES {
        faults
            .add("/attributes", format!("is {size} bytes of JSON; at most {MAX_ATTRIBUTES_BYTES} are kept"));
    }
    for (name, value) in attributes {
        let pointer = || format!("/attributes/{}", segment(name));
        match check_attribute_name(name) {
            Err(why) => faults.add(pointer(), why),
            Ok(()) => {
                if let Err(why) = check_known_attribute(name, value).and_then(|()| check_value(value, 1)) {
                    faults.add(pointer(), why);
                }
            }
        }
    }
}

/// Attributes become Ansible variables: a name must be one, and none that Ansible gives a meaning.
pub fn check_attribute_name(name: &str) -> Result<(), &'static str> {
    if name.starts_with("ansible_") || FORBIDDEN_ATTRIBUTES.contains(&name) {
        return Err(
            "has a meaning of its own to Ansible and is refused; connections are described by `driver`, `address`, `port`, `user`",
        );
    }
    if name.starts_with("cmdb_") {
        return Err("begins with `cmdb_`, which is kept for the variables the CMDB itself gives");
    }
    let valid = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.as_bytes()[0].is_ascii_digit();
    match valid {
        true => Ok(()),
        false => Err("is no name for an attribute: use 1 to 64 of `A-Z a-z 0-9 _`, no digit first"),
    }
}

/// Attributes the platform itself acts upon have their kind of value.
fn check_known_attribute(name: &str, value: &Value) -> Result<(), &'static str> {
    let fits = match name {
        "driver" => matches!(value.as_str(), Some("model" | "ssh")),
        "address" => value.as_str().is_some_and(is_address),
        "user" => value.as_str().is_some_and(is_user),
        "port" => value.as_u64().is_some_and(|port| (1..=65535).contains(&port)),
        "criticality" => value.as_u64().is_some_and(|level| (1..=5).contains(&level)),
        "min_up" => {
            value.as_u64().is_some_and(|number| number <= u64::from(u32::MAX))
                || value.as_str().is_some_and(|text| text.parse::<HostCount>().is_ok())
        }
        _ => true,
    };
    match (fits, name) {
        (true, _) => Ok(()),
        (_, "driver") => Err("must be `model` or `ssh`"),
        (_, "address") => Err("must be an IP address or an RFC 1123 host name"),
        (_, "user") => Err("must be 1 to 32 of `a-z 0-9 _ -`, a letter or `_` first"),
        (_, "port") => Err("must be a number from 1 to 65535"),
        (_, "criticality") => Err("must be a number from 1 (least) to 5"),
        _ => Err("must be a number of hosts or a percentage such as `\"50%\"`"),
    }
}

/// An address may be a loopback one, other than a host's id: hosts of a laboratory live on the machine itself.
pub fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || CiId::new(text).is_ok()
}

fn is_user(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
        && (text.as_bytes()[0].is_ascii_lowercase() || text.starts_with('_'))
}

fn check_value(value: &Value, depth: usize) -> Result<(), &'static str> {
    if depth > MAX_DEPTH {
        return Err("is nested more than 32 deep");
    }
    match value {
        Value::String(text) if text.contains('\0') => {
            Err("holds the character U+0000, which cannot be stored")
        }
        Value::Array(items) => items.iter().try_for_each(|item| check_value(item, depth + 1)),
        Value::Object(fields) => fields.iter().try_for_each(|(key, field)| {
            if key.contains('\0') {
                return Err("holds the character U+0000, which cannot be stored");
            }
            if MARKERS.contains(&key.as_str()) {
                return Err(
                    "holds a key that Ansible reads as a marker (`__ansible_unsafe`, `__ansible_vault`)",
                );
            }
            check_value(field, depth + 1)
        }),
        _ => Ok(()),
    }
}

/// A segment of a JSON pointer, short enough to be shown.
fn segment(key: &str) -> String {
    let shown: String = key.chars().take(64).map(|c| if c.is_control() { '?' } else { c }).collect();
    shown.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults_of(attributes: Value) -> Option<String> {
        let mut faults = Faults::default();
        check_attributes(&mut faults, &serde_json::from_value(attributes).unwrap());
        faults.summary()
    }

    #[test]
    fn attributes_cannot_become_variables_that_ansible_acts_upon() {
        for name in [
            "ansible_connection",
            "ansible_x",
            "vars",
            "hostvars",
            "__ansible_vault",
            "a-b",
            "1a",
            "",
            "cmdb_tags",
        ] {
            assert!(faults_of(json!({ name: 1 })).is_some(), "{name:?} was accepted");
        }
        assert!(faults_of(json!({"a": [{"__ansible_vault": "x"}]})).is_some());
        assert!(faults_of(json!({"a": {"b": ["{{ 7*7 }}", null, 1.5]}, "_b": "x"})).is_none());
    }

    #[test]
    fn attributes_the_platform_acts_upon_have_their_kind_of_value() {
        let good = json!({"driver": "model", "address": "127.0.0.1", "port": 22, "user": "ops", "criticality": 5, "min_up": "50%"});
        assert_eq!(faults_of(good), None);
        for (name, value) in [
            ("driver", json!("telnet")),
            ("address", json!("-oProxyCommand=x")),
            ("port", json!("22")),
            ("port", json!(0)),
            ("user", json!("a b")),
            ("criticality", json!(6)),
            ("min_up", json!("0%")),
            ("min_up", json!(-1)),
        ] {
            assert!(faults_of(json!({ name: value })).is_some(), "{name} was accepted");
        }
    }
}
