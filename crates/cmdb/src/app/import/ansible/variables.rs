//! What becomes of a host's variables.

use domain::selector::Tags;
use serde_json::{Map, Value};

use crate::app::{
    import::record::{self, KNOWN_TAGS, Wanted, shown},
    rules::{check_attribute_name, is_program, services_fault},
};

/// Settings of Ansible that say nothing about the host, and are omitted without a word.
const USUAL: [&str; 6] = [
    "ansible_become",
    "ansible_become_method",
    "ansible_become_user",
    "ansible_ssh_pipelining",
    "ansible_pipelining",
    "ansible_shell_type",
];
const SSH: [&str; 4] = ["ssh", "smart", "paramiko", "paramiko_ssh"];

/// Takes a variable as a tag or an attribute, or names it in `left_out`.
pub fn take_variable(
    wanted: &mut Wanted,
    name: &str,
    value: &Value,
    own_export: bool,
    left_out: &mut Vec<String>,
) {
    let value = match plain(value) {
        Ok(value) => value,
        Err(why) => return left_out.push(format!("`{}` {why}", shown(name))),
    };
    let mut attribute = |name: &str, value: Value| drop(wanted.attributes.insert(name.to_owned(), value));
    match (name, &value) {
        ("ansible_host" | "ansible_ssh_host", Value::String(_)) => attribute("address", value),
        ("ansible_port" | "ansible_ssh_port", _) => {
            let port = value.as_str().map(|text| record::attribute_value("port", text));
            attribute("port", port.unwrap_or(value));
        }
        ("ansible_user" | "ansible_ssh_user", Value::String(_)) => attribute("user", value),
        ("ansible_python_interpreter", Value::String(path)) if is_program(path) => attribute("python", value),
        ("ansible_python_interpreter", Value::String(mode)) if mode.starts_with("auto") => {}
        ("ansible_connection", Value::String(kind)) if SSH.contains(&super::local_name(kind)) => {}
        (usual, _) if USUAL.contains(&usual) => {}
        ("cmdb_tags", Value::Object(tags)) => wanted.tags.extend(texts(tags)),
        ("cmdb_display_name", Value::String(name)) => wanted.name = Some(name.clone()),
        ("cmdb_type", Value::String(text)) if record::ci_type(text).is_ok() => {
            wanted.ci_type = record::ci_type(text).ok();
        }
        (tag, Value::String(_) | Value::Number(_)) if KNOWN_TAGS.contains(&tag) => {
            wanted.tags.insert(tag.to_owned(), text_of(&value));
        }
        // Ansible's plugins for clouds return the tags of a machine so.
        ("tags" | "labels", Value::Object(tags)) if !own_export => {
            take_cloud_tags(wanted, tags);
            attribute_or_note(wanted, name, value, left_out);
        }
        _ if !own_export && record::is_secret(name) => {
            left_out.push(format!("`{}` looks like a secret and is not stored", shown(name)));
        }
        _ => attribute_or_note(wanted, name, value, left_out),
    }
}

fn attribute_or_note(wanted: &mut Wanted, name: &str, value: Value, left_out: &mut Vec<String>) {
    let own = name.strip_prefix("cmdb_").unwrap_or(name);
    match check_attribute_name(own) {
        // A role's variable of that name may be anything.
        Ok(()) if let Some((below, why)) = services_fault(own, &value) => {
            left_out.push(format!("`{}{below}` {why}", shown(name)));
        }
        Ok(()) => drop(wanted.attributes.insert(own.to_owned(), value)),
        Err(why) => left_out.push(format!("`{}` {why}", shown(name))),
    }
}

fn take_cloud_tags(wanted: &mut Wanted, tags: &Map<String, Value>) {
    for (key, value) in tags {
        let key = key.to_ascii_lowercase();
        let key = if key == "environment" { "env" } else { key.as_str() };
        if let (true, Value::String(text)) = (KNOWN_TAGS.contains(&key), value)
            && !text.is_empty()
        {
            wanted.tags.entry(key.to_owned()).or_insert_with(|| text.clone());
        }
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn texts(tags: &Map<String, Value>) -> Tags {
    tags.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// The value without the markers of Ansible's JSON, or why it is omitted. A text that is marked as unsafe is not a template.
fn plain(value: &Value) -> Result<Value, &'static str> {
    Ok(match value {
        Value::Object(fields) if fields.contains_key("__ansible_vault") => return Err(VAULTED),
        Value::Object(fields) => match fields.get("__ansible_unsafe") {
            Some(text) => text.clone(),
            None => {
                let fields = fields.iter().map(|(key, field)| plain(field).map(|field| (key.clone(), field)));
                Value::Object(fields.collect::<Result<_, _>>()?)
            }
        },
        Value::Array(items) => items.iter().map(plain).collect::<Result<Vec<_>, _>>()?.into(),
        Value::String(text) if text.contains("$ANSIBLE_VAULT;") => return Err(VAULTED),
        Value::String(text) if text.contains("{{") || text.contains("{%") => return Err(TEMPLATE),
        other => other.clone(),
    })
}

const VAULTED: &str = "is vaulted and is not imported";
const TEMPLATE: &str = "is a template, which is never evaluated; set the value itself";

/// In bytes, about as in JSON.
pub fn approximate_size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(approximate_size).sum::<usize>(),
        Value::Object(fields) => {
            2 + fields.iter().map(|(key, field)| key.len() + 4 + approximate_size(field)).sum::<usize>()
        }
        _ => 8,
    }
}
