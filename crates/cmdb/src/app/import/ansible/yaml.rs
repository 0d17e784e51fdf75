//! A static inventory in YAML: groups of `hosts`, `vars` and `children`.

use serde_json::json;
use yaml_serde::{Mapping, Value};

use super::{Inventory, Variables, hosts::expand};

/// YAML is read into many times its size; inventories of ten thousand hosts stay well below.
const MAX_BYTES: usize = 8 * 1024 * 1024;
const PARTS: [&str; 3] = ["hosts", "vars", "children"];

/// Whether the text is a mapping of groups.
pub fn looks_like_yaml(text: &str) -> bool {
    let names_a_part = PARTS
        .iter()
        .any(|part| text.match_indices(part).any(|(at, _)| text[at + part.len()..].starts_with(':')));
    if !names_a_part {
        return false;
    }
    if text.len() > MAX_BYTES {
        // Recognised all the same, so that the answer says what is wrong.
        return true;
    }
    let Ok(Value::Mapping(groups)) = yaml_serde::from_str::<Value>(text) else { return false };
    groups.values().any(|group| match group {
        Value::Mapping(group) => PARTS.iter().any(|part| group.contains_key(*part)),
        _ => false,
    })
}

pub fn read(text: &str) -> Result<Inventory, String> {
    if text.len() > MAX_BYTES {
        return Err(format!(
            "it is larger than {MAX_BYTES} bytes; split it, or send the output of `ansible-inventory --list`"
        ));
    }
    let groups: Mapping = yaml_serde::from_str(text).map_err(|error| error.to_string())?;
    let mut inventory = Inventory::default();
    for (name, group) in groups {
        add_group(&mut inventory, &key(&name)?, group)?;
    }
    Ok(inventory)
}

fn add_group(inventory: &mut Inventory, name: &str, group: Value) -> Result<(), String> {
    inventory.group(name);
    let group = mapping(group, name)?;
    for (part, value) in group {
        match key(&part)?.as_str() {
            "hosts" => add_hosts(inventory, name, value)?,
            "vars" => {
                let variables = variables_of(value, name)?;
                inventory.group(name).variables.extend(variables);
            }
            "children" => {
                for (child, value) in mapping(value, name)? {
                    let child = key(&child)?;
                    add_group(inventory, &child, value)?;
                    inventory.group(name).children.insert(child);
                }
            }
            other => {
                return Err(format!(
                    "the group `{}` has `{}`; it may have `hosts`, `vars` and `children`",
                    super::shown(name),
                    super::shown(other)
                ));
            }
        }
    }
    Ok(())
}

fn add_hosts(inventory: &mut Inventory, group: &str, hosts: Value) -> Result<(), String> {
    // A single host may stand there as a text.
    if let Value::String(host) = hosts {
        inventory.add_host(&host, group, Variables::new());
        return Ok(());
    }
    for (pattern, variables) in mapping(hosts, group)? {
        let pattern = key(&pattern)?;
        let variables = variables_of(variables, &pattern)?;
        for host in expand(&pattern)? {
            inventory.add_host(&host, group, variables.clone());
        }
    }
    Ok(())
}

fn variables_of(value: Value, whose: &str) -> Result<Variables, String> {
    mapping(value, whose)?.into_iter().map(|(name, value)| Ok((key(&name)?, to_json(value)?))).collect()
}

fn mapping(value: Value, whose: &str) -> Result<Mapping, String> {
    match value {
        Value::Mapping(mapping) => Ok(mapping),
        Value::Null => Ok(Mapping::new()),
        _ => Err(format!("`{}` is not a mapping", super::shown(whose))),
    }
}

/// Keys may be written as numbers: a host `10`, a variable `80`.
fn key(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(word) => Ok(word.to_string()),
        _ => Err("a key is neither a text nor a number".to_owned()),
    }
}

fn to_json(value: Value) -> Result<serde_json::Value, String> {
    Ok(match value {
        Value::Tagged(tagged) if tagged.tag == "vault" => json!({ "__ansible_vault": "" }),
        Value::Tagged(tagged) => to_json(tagged.value)?,
        Value::Sequence(items) => items.into_iter().map(to_json).collect::<Result<Vec<_>, _>>()?.into(),
        Value::Mapping(fields) => {
            let fields: Result<serde_json::Map<_, _>, String> =
                fields.into_iter().map(|(name, field)| Ok((key(&name)?, to_json(field)?))).collect();
            fields?.into()
        }
        plain => serde_json::to_value(plain).map_err(|error| error.to_string())?,
    })
}
