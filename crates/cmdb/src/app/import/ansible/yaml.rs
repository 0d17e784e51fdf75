//! A static inventory in YAML: groups of `hosts`, `vars` and `children`.

use std::{collections::BTreeMap, rc::Rc};

use serde_json::json;
use yaml_serde::{Mapping, Value};

use super::{Inventory, Variables, hosts::hosts_of};
use crate::app::import::record::{Refusal, shown};

/// YAML is read into many times its size; inventories of ten thousand hosts stay well below.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// Maximum nesting of groups.
const MAX_DEPTH: usize = 50;
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
    let mut list: Value = yaml_serde::from_str(text).map_err(|error| error.to_string())?;
    list.apply_merge().map_err(|error| error.to_string())?;
    let Value::Mapping(groups) = list else { return Err("a mapping of groups is expected".to_owned()) };
    let mut reader = Reader { inventory: Inventory::default(), lines: lines_of_keys(text) };
    for (name, group) in groups {
        reader.add_group(&name, group, 0)?;
    }
    Ok(reader.inventory)
}

struct Reader<'a> {
    inventory: Inventory,
    lines: BTreeMap<&'a str, u64>,
}

impl Reader<'_> {
    fn refuse(&mut self, name: &str, refusal: impl Into<Refusal>) {
        let line = self.lines.get(name).copied();
        self.inventory.refuse(line, Some(name), refusal.into());
    }

    /// Returns the name of the group, if it has one. An error ends the list.
    fn add_group(&mut self, name: &Value, group: Value, depth: usize) -> Result<Option<String>, String> {
        if depth > MAX_DEPTH {
            return Err(format!("groups are nested more than {MAX_DEPTH} deep"));
        }
        let Ok(name) = key(name) else {
            self.refuse("", "a group has a name that is neither a text nor a number");
            return Ok(None);
        };
        let group = match mapping(group) {
            Ok(group) => group,
            Err(why) => {
                self.refuse(&name, format!("is a group that {why}"));
                return Ok(None);
            }
        };
        self.inventory.group(&name);
        for (part, value) in group {
            match key(&part).as_deref() {
                Ok("hosts") => self.add_hosts(&name, value)?,
                Ok("vars") => match variables_of(value) {
                    Ok(variables) => self.inventory.group(&name).variables.extend(variables),
                    Err(why) => self.refuse(&name, format!("is a group whose `vars` {why}")),
                },
                Ok("children") => match mapping(value) {
                    Ok(children) => {
                        for (child, value) in children {
                            if let Some(child) = self.add_group(&child, value, depth + 1)? {
                                self.inventory.group(&name).children.insert(child);
                            }
                        }
                    }
                    Err(why) => self.refuse(&name, format!("is a group whose `children` {why}")),
                },
                other => self.inventory.warnings.push(format!(
                    "the group `{}` has `{}`, which is left out: a group may have `hosts`, `vars` and `children`",
                    shown(&name),
                    shown(other.unwrap_or_default())
                )),
            }
        }
        Ok(Some(name))
    }

    fn add_hosts(&mut self, group: &str, hosts: Value) -> Result<(), String> {
        let hosts = match hosts {
            // A single host may stand there as a text, and people write lists.
            Value::String(host) => vec![(Value::String(host), Value::Null)],
            Value::Sequence(hosts) => hosts.into_iter().map(|host| (host, Value::Null)).collect(),
            hosts => match mapping(hosts) {
                Ok(hosts) => hosts.into_iter().collect(),
                Err(why) => {
                    self.refuse(group, format!("is a group whose `hosts` {why}"));
                    return Ok(());
                }
            },
        };
        for (pattern, variables) in hosts {
            let Ok(pattern) = key(&pattern) else {
                self.refuse(group, "is a group with a host that is neither a text nor a number");
                continue;
            };
            let line = self.lines.get(pattern.as_str()).copied();
            match definition(&pattern, variables) {
                Ok((hosts, variables)) => {
                    for host in hosts {
                        self.inventory.add_host(&host, group, variables.clone(), line)?;
                    }
                }
                Err(why) => self.refuse(&pattern, why),
            }
        }
        Ok(())
    }
}

fn definition(pattern: &str, variables: Value) -> Result<(Vec<String>, Rc<Variables>), String> {
    let (hosts, port) = hosts_of(pattern)?;
    let mut all = Variables::new();
    all.extend(port.map(|port| ("ansible_port".to_owned(), port.into())));
    all.extend(variables_of(variables).map_err(|why| format!("has variables, but it {why}"))?);
    Ok((hosts, Rc::new(all)))
}

/// The first line of each key. Values of other types do not know their places.
fn lines_of_keys(text: &str) -> BTreeMap<&str, u64> {
    let mut lines = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start().trim_start_matches("- ");
        let quoted = ['"', '\''].iter().find_map(|quote| line.strip_prefix(*quote)?.split_once(*quote));
        let key = match quoted {
            Some((key, _)) => key,
            None => line.split_once(": ").map_or(line, |(key, _)| key).trim_end().trim_end_matches(':'),
        };
        lines.entry(key).or_insert(number);
    }
    lines
}

fn variables_of(value: Value) -> Result<Variables, String> {
    mapping(value)?.into_iter().map(|(name, value)| Ok((key(&name)?, to_json(value)?))).collect()
}

fn mapping(value: Value) -> Result<Mapping, String> {
    match value {
        Value::Mapping(mapping) => Ok(mapping),
        Value::Null => Ok(Mapping::new()),
        Value::Tagged(tagged) if tagged.tag == "vault" => Err("is vaulted".to_owned()),
        _ => Err("is not a mapping".to_owned()),
    }
}

/// Keys may be written as numbers: a host `10`, a variable `80`.
fn key(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(word) => Ok(word.to_string()),
        _ => Err("has a key that is neither a text nor a number".to_owned()),
    }
}

fn to_json(value: Value) -> Result<serde_json::Value, String> {
    Ok(match value {
        Value::Tagged(tagged) if tagged.tag == "vault" || tagged.tag == "vault-encrypted" => {
            json!({ "__ansible_vault": "" })
        }
        Value::Tagged(tagged) if tagged.tag == "unsafe" && tagged.value.is_string() => {
            json!({ "__ansible_unsafe": to_json(tagged.value)? })
        }
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
