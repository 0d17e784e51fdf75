//! The output of `ansible-inventory --list` and of dynamic inventories.

use serde_json::{Map, Value};

use super::{Inventory, Variables};

pub fn read(list: Value) -> Result<Inventory, String> {
    let Value::Object(mut groups) = list else { return Err("an object of groups is expected".to_owned()) };
    let mut inventory = Inventory::default();
    if let Some(Value::Object(mut meta)) = groups.remove("_meta")
        && let Some(Value::Object(hostvars)) = meta.remove("hostvars")
    {
        for (host, variables) in hostvars {
            inventory.add_host(&host, "all", variables_of(&host, variables)?);
        }
    }
    for (name, group) in groups {
        match group {
            // The short form: a group is the list of its hosts.
            Value::Array(hosts) => add_hosts(&mut inventory, &name, hosts)?,
            Value::Object(group) => add_group(&mut inventory, &name, group)?,
            _ => return Err(format!("the group `{}` is not an object", super::shown(&name))),
        }
    }
    Ok(inventory)
}

fn add_group(inventory: &mut Inventory, name: &str, mut group: Map<String, Value>) -> Result<(), String> {
    let array = |value: Option<Value>, what: &str| match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(format!("`{what}` of the group `{}` is not an array", super::shown(name))),
    };
    add_hosts(inventory, name, array(group.remove("hosts"), "hosts")?)?;
    for child in array(group.remove("children"), "children")? {
        if let Value::String(child) = child {
            inventory.group(name).children.insert(child);
        }
    }
    if let Some(variables) = group.remove("vars") {
        let variables = variables_of(name, variables)?;
        inventory.group(name).variables.extend(variables);
    }
    Ok(())
}

fn add_hosts(inventory: &mut Inventory, group: &str, hosts: Vec<Value>) -> Result<(), String> {
    for host in hosts {
        let Value::String(host) = host else {
            return Err(format!("a host of the group `{}` is not a text", super::shown(group)));
        };
        inventory.add_host(&host, group, Variables::new());
    }
    Ok(())
}

fn variables_of(whose: &str, value: Value) -> Result<Variables, String> {
    match value {
        Value::Object(fields) => Ok(fields.into_iter().collect()),
        Value::Null => Ok(Variables::new()),
        _ => Err(format!("the variables of `{}` are not an object", super::shown(whose))),
    }
}
