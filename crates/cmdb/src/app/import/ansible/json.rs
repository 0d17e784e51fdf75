//! The output of `ansible-inventory --list` and of dynamic inventories.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::{Inventory, Variables};
use crate::app::import::record::{Refusal, shown};

pub fn read(list: Value) -> Result<Inventory, String> {
    let Value::Object(mut groups) = list else { return Err("an object of groups is expected".to_owned()) };
    let mut inventory = Inventory::default();
    if let Some(Value::Object(mut meta)) = groups.remove("_meta")
        && let Some(Value::Object(hostvars)) = meta.remove("hostvars")
    {
        for (host, variables) in hostvars {
            match variables_of(variables) {
                Ok(variables) => inventory.add_host(&host, "all", Rc::new(variables), None)?,
                Err(refusal) => inventory.refuse(None, Some(&host), refusal),
            }
        }
    }
    for (name, group) in groups {
        match group {
            // The short form: a group is the list of its hosts.
            Value::Array(hosts) => add_hosts(&mut inventory, &name, hosts)?,
            Value::Object(group) => add_group(&mut inventory, &name, group)?,
            _ => inventory.refuse(None, Some(&name), "is a group that is not an object".into()),
        }
    }
    Ok(inventory)
}

fn add_group(inventory: &mut Inventory, name: &str, mut group: Map<String, Value>) -> Result<(), String> {
    inventory.group(name);
    let array = |value: Option<Value>, what: &str| match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(Refusal::from(format!("is a group whose `{what}` is not an array"))),
    };
    match array(group.remove("hosts"), "hosts") {
        Ok(hosts) => add_hosts(inventory, name, hosts)?,
        Err(refusal) => inventory.refuse(None, Some(name), refusal),
    }
    match array(group.remove("children"), "children") {
        Ok(children) => {
            let children = children.into_iter().filter_map(|child| child.as_str().map(str::to_owned));
            inventory.group(name).children.extend(children);
        }
        Err(refusal) => inventory.refuse(None, Some(name), refusal),
    }
    match group.remove("vars").map_or(Ok(Variables::new()), variables_of) {
        Ok(variables) => inventory.group(name).variables.extend(variables),
        Err(refusal) => inventory.refuse(None, Some(name), refusal),
    }
    Ok(())
}

fn add_hosts(inventory: &mut Inventory, group: &str, hosts: Vec<Value>) -> Result<(), String> {
    let none = Rc::new(Variables::new());
    for host in hosts {
        match host {
            Value::String(host) => inventory.add_host(&host, group, none.clone(), None)?,
            other => {
                let reason =
                    format!("the group has `{}` as a host, which is not a text", shown(&other.to_string()));
                inventory.refuse(None, Some(group), reason.into());
            }
        }
    }
    Ok(())
}

fn variables_of(value: Value) -> Result<Variables, Refusal> {
    match value {
        Value::Object(fields) => Ok(fields.into_iter().collect()),
        Value::Null => Ok(Variables::new()),
        _ => Err("has variables that are not an object".into()),
    }
}
