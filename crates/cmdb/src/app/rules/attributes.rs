//! Attributes: free in what they say, and bound in what they may do to Ansible.

use std::{collections::BTreeMap, net::IpAddr};

use domain::{ids::CiId, quantity::HostCount};
use serde_json::Value;

use service_kit::FieldErrors;

use super::segment;

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

pub fn check_attributes(errors: &mut FieldErrors, attributes: &BTreeMap<String, Value>) {
    if attributes.len() > MAX_ATTRIBUTES {
        errors.add(
            "/attributes",
            format!("has {} attributes; at most {MAX_ATTRIBUTES} are kept", attributes.len()),
        );
    }
    let size = serde_json::to_vec(attributes).map_or(usize::MAX, |bytes| bytes.len());
    if size > MAX_ATTRIBUTES_BYTES {
        errors
            .add("/attributes", format!("is {size} bytes of JSON; at most {MAX_ATTRIBUTES_BYTES} are kept"));
    }
    for (name, value) in attributes {
        let pointer = || format!("/attributes/{}", segment(name));
        match check_attribute_name(name) {
            Err(why) => errors.add(pointer(), why),
            Ok(()) => {
                if let Err(why) = check_known_attribute(name, value).and_then(|()| check_value(value, 1)) {
                    errors.add(pointer(), why);
                }
            }
        }
    }
}

/// Attributes become Ansible variables: a name must be one, and none that Ansible gives a meaning.
pub fn check_attribute_name(name: &str) -> Result<(), &'static str> {
    if name.starts_with("ansible_") || FORBIDDEN_ATTRIBUTES.contains(&name) {
        return Err(
            "has a meaning of its own to Ansible and is refused; connections are described by `driver`, `address`, `port`, `user`, `host_key`, `jump_host`, `python`",
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
        "host_key" => value.as_str().is_some_and(is_host_key),
        "python" => value.as_str().is_some_and(is_program),
        "jump_host" => is_jump_host(value),
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
        (_, "host_key") => {
            Err("must be the host's public key, as `ssh-keyscan` shows it: `ssh-ed25519 AAAA...`")
        }
        (_, "python") => Err("must be a path such as `/usr/bin/python3`"),
        (_, "jump_host") => {
            Err("must be an object of `address` and `host_key`, with `port` and `user` where they differ")
        }
        (_, "criticality") => Err("must be a number from 1 (least) to 5"),
        _ => Err("must be a number of hosts or a percentage such as `\"50%\"`"),
    }
}

/// An address may be a loopback one, other than a host's id: hosts of a laboratory live on the machine itself.
pub fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || CiId::new(text).is_ok()
}

/// `ssh-ed25519 AAAA...`, with a comment or without.
fn is_host_key(text: &str) -> bool {
    let mut words = text.split(' ');
    let (kind, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    text.len() <= 4096
        && !text.chars().any(char::is_control)
        && ["ssh-", "ecdsa-", "sk-"].iter().any(|start| kind.starts_with(start))
        && kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-@.".contains(&b))
        && key.starts_with("AAAA")
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
}

fn is_program(text: &str) -> bool {
    text.starts_with('/')
        && text.len() <= 200
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+".contains(&b))
}

fn is_jump_host(value: &Value) -> bool {
    let Some(fields) = value.as_object() else { return false };
    let known = ["address", "port", "user", "host_key"];
    let has = |name: &str| fields.contains_key(name);
    fields.keys().all(|name| known.contains(&name.as_str()))
        && has("address")
        && has("host_key")
        && fields.iter().all(|(name, field)| check_known_attribute(name, field).is_ok())
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults_of(attributes: Value) -> Option<String> {
        let mut errors = FieldErrors::default();
        check_attributes(&mut errors, &serde_json::from_value(attributes).unwrap());
        errors.summary()
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
        let reached = json!({"host_key": "ssh-ed25519 AAAAC3Nz root@web", "python": "/usr/bin/python3.9",
            "jump_host": {"address": "bastion", "user": "ops", "port": 2222, "host_key": "ssh-rsa AAAAB3Nz"}});
        assert_eq!(faults_of(reached), None);
        for (name, value) in [
            ("driver", json!("telnet")),
            ("address", json!("-oProxyCommand=x")),
            ("port", json!("22")),
            ("port", json!(0)),
            ("user", json!("a b")),
            ("criticality", json!(6)),
            ("host_key", json!("ssh-ed25519 AAAA\n* ssh-rsa AAAA")),
            ("host_key", json!("AAAA")),
            ("python", json!("python3 -c x")),
            ("jump_host", json!({"address": "bastion"})),
            ("jump_host", json!({"address": "bastion", "host_key": "ssh-rsa AAAA", "command": "x"})),
            ("min_up", json!("0%")),
            ("min_up", json!(-1)),
        ] {
            assert!(faults_of(json!({ name: value })).is_some(), "{name} was accepted");
        }
    }
}
