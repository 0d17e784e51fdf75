//! PatchMon's hosts, as its API lists them: `{"hosts": [...]}` or the array alone. Its groups of hosts can be mapped to tags.

use serde_json::Value;

use super::record::{List, Record, Refusal, Wanted, shown};

/// Whether the objects are hosts of PatchMon.
pub fn is_array_of_hosts(items: &[Value]) -> bool {
    items.first().is_some_and(|item| item.get("friendly_name").is_some())
}

pub fn read(export: Value) -> Result<List, String> {
    let hosts = match &export {
        Value::Array(hosts) => Some(hosts),
        other => other.get("hosts").and_then(Value::as_array),
    };
    let hosts = hosts.ok_or("an object with `hosts` is expected")?;
    let mut list = List::default();
    for (number, host) in (1..).zip(hosts) {
        let name = name_of(host).map(shown);
        for group in groups_of(host) {
            list.groups.entry(group.to_owned()).or_default().extend(name.clone());
        }
        list.records.push(Record::new(number, name, wanted(host)));
    }
    Ok(list)
}

/// The name that the host has itself; the friendly one is its display name.
fn name_of(host: &Value) -> Option<&str> {
    ["hostname", "friendly_name"].iter().find_map(|field| text(host, field))
}

fn groups_of(host: &Value) -> impl Iterator<Item = &str> {
    let groups = host.get("host_groups").and_then(Value::as_array).into_iter().flatten();
    groups.filter_map(|group| group.as_str().or_else(|| group.get("name")?.as_str()))
}

fn wanted(host: &Value) -> Result<Wanted, Refusal> {
    let mut wanted = Wanted::displayed(name_of(host).unwrap_or_default())?;
    if let Some(title) = text(host, "friendly_name").filter(|title| *title != wanted.id.as_str()) {
        wanted.title = Some(title.to_owned());
    }
    if let Some(system) = text(host, "os_type") {
        let version = text(host, "os_version").unwrap_or_default();
        wanted.tags.insert("os".to_owned(), format!("{system} {version}").trim().to_owned());
    }
    wanted.attributes.extend(text(host, "ip").map(|ip| ("address".to_owned(), ip.into())));
    let groups: Vec<Value> = groups_of(host).map(Value::from).collect();
    if !groups.is_empty() {
        wanted.attributes.insert("inventory_groups".to_owned(), groups.into());
    }
    Ok(wanted)
}

fn text<'a>(host: &'a Value, field: &str) -> Option<&'a str> {
    host.get(field).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty())
}
