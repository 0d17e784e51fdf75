//! Attributes may contain anything that Ansible does not act upon.

use std::{collections::BTreeMap, net::IpAddr};

use domain::{
    ids::{CiId, ServiceName},
    quantity::HostCount,
};
use serde_json::Value;

use service_kit::FieldErrors;

use super::segment;

const MAX_ATTRIBUTES: usize = 200;
const MAX_ATTRIBUTES_BYTES: usize = 64 * 1024;
const MAX_SERVICES: usize = 100;
/// Not every client could parse deeper values inside a page.
const MAX_DEPTH: usize = 32;

/// Names with a meaning to Ansible: a variable of that name would change how or where code runs. Everything that
/// begins with `ansible_` is refused, too.
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
/// Keys that make Ansible's JSON reader treat an object as something else.
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
                if let Some((below, why)) = services_fault(name, value) {
                    errors.add(format!("{}{below}", pointer()), why);
                } else if let Err(why) =
                    check_known_attribute(name, value).and_then(|()| check_value(value, 1))
                {
                    errors.add(pointer(), why);
                }
            }
        }
    }
}

/// Attributes become Ansible variables: a name must be valid and have no meaning to Ansible.
pub fn check_attribute_name(name: &str) -> Result<(), &'static str> {
    if name.starts_with("ansible_") || FORBIDDEN_ATTRIBUTES.contains(&name) {
        return Err(
            "has a meaning to Ansible and is refused; connections are described by `driver`, `address`, `port`, `user`, `host_key`, `jump_host`, `python`",
        );
    }
    if name.starts_with("cmdb_") {
        return Err("begins with `cmdb_`, which is reserved for variables of the CMDB");
    }
    let valid = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.as_bytes()[0].is_ascii_digit();
    if valid { Ok(()) } else { Err("is not a valid name: use 1 to 64 of `A-Z a-z 0-9 _`, no digit first") }
}

/// Why a value cannot be that of the attribute `services`, and where below it. Names of services become arguments of
/// `systemctl` on the host.
pub fn services_fault(name: &str, value: &Value) -> Option<(String, String)> {
    if name != "services" {
        return None;
    }
    let Some(services) = value.as_array() else {
        return Some((
            String::new(),
            "must be a list of names of services, such as `[\"nginx\"]`".to_owned(),
        ));
    };
    if services.len() > MAX_SERVICES {
        return Some((String::new(), format!("must name at most {MAX_SERVICES} services")));
    }
    services.iter().enumerate().find_map(|(position, service)| {
        let why = match service.as_str().map(ServiceName::new) {
            Some(Ok(_)) => return None,
            Some(Err(error)) => error.to_string(),
            None => "must be the name of a service".to_owned(),
        };
        Some((format!("/{position}"), why))
    })
}

/// Attributes that the platform acts upon must have a value of the right kind.
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
        (_, "address") => Err("must be an IP address or a host name"),
        (_, "user") => {
            Err("must be a login name such as `ops`, `first.last`, `svc@corp.example` or `CORP\\svc`")
        }
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

/// Unlike a host's id, an address may be a loopback one: hosts of a lab run on the machine itself.
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

pub fn is_program(text: &str) -> bool {
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

/// `ops`, `first.last`, `svc@corp.example` or `CORP\svc`; nothing that ssh, Ansible or a shell would expand.
fn is_user(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.@\\".contains(&b))
        && text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.matches(['@', '\\']).count() <= 1
        && text.ends_with(|last: char| last != '\\' && last != '@')
}

fn check_value(value: &Value, depth: usize) -> Result<(), &'static str> {
    if depth > MAX_DEPTH {
        return Err("is nested more than 32 deep");
    }
    match value {
        Value::String(text) if text.contains('\0') => {
            Err("contains the character U+0000, which cannot be stored")
        }
        Value::Array(items) => items.iter().try_for_each(|item| check_value(item, depth + 1)),
        Value::Object(fields) => fields.iter().try_for_each(|(key, field)| {
            if key.contains('\0') {
                return Err("contains the character U+0000, which cannot be stored");
            }
            if MARKERS.contains(&key.as_str()) {
                return Err(
                    "contains a key that Ansible reads as a marker (`__ansible_unsafe`, `__ansible_vault`)",
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
    fn services_are_names_and_never_options_of_systemctl() {
        assert_eq!(faults_of(json!({ "services": ["nginx", "postgresql@15-main.service"] })), None);
        assert_eq!(faults_of(json!({ "services": [] })), None);
        for (services, place) in [
            (json!(["nginx", "--host=evil"]), "/attributes/services/1"),
            (json!(["-H"]), "/attributes/services/0"),
            (json!(["a b"]), "/attributes/services/0"),
            (json!([7]), "/attributes/services/0"),
            (json!([["nginx"]]), "/attributes/services/0"),
            (json!("nginx"), "/attributes/services"),
            (json!({ "nginx": true }), "/attributes/services"),
            (json!(vec!["nginx"; 101]), "/attributes/services"),
        ] {
            let fault = faults_of(json!({ "services": services })).expect("it is refused");
            assert!(fault.contains(place), "{services}: {fault}");
        }
    }

    #[test]
    fn attributes_the_platform_acts_upon_have_their_kind_of_value() {
        let good = json!({"driver": "model", "address": "127.0.0.1", "port": 22, "user": "ops", "criticality": 5, "min_up": "50%"});
        assert_eq!(faults_of(good), None);
        let reached = json!({"host_key": "ssh-ed25519 AAAAC3Nz root@web", "python": "/usr/bin/python3.9",
            "jump_host": {"address": "bastion", "user": "ops", "port": 2222, "host_key": "ssh-rsa AAAAB3Nz"}});
        assert_eq!(faults_of(reached), None);
        for user in ["first.last", "svc@corp.example", "CORP\\svc", "Admin"] {
            assert_eq!(faults_of(json!({ "user": user })), None, "{user}");
        }
        for (name, value) in [
            ("driver", json!("telnet")),
            ("address", json!("-oProxyCommand=x")),
            ("port", json!("22")),
            ("port", json!(0)),
            ("user", json!("a b")),
            ("user", json!("CORP\\a\\b")),
            ("user", json!("svc%h")),
            ("user", json!("-oProxyCommand")),
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
