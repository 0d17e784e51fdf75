//! An existing Ansible inventory, in any of its three forms.
//!
//! Groups named after a usual tag (`env_prod`) become that tag, other groups a list in the attribute `inventory_groups`.
//! Variables become attributes; how a host is reached becomes `address`, `port` and `user`. Other settings of Ansible and
//! vaulted values are omitted and reported.

mod hosts;
mod ini;
mod json;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use domain::selector::Tags;
use serde_json::{Map, Value};

pub use ini::looks_like_ini;
pub use yaml::looks_like_yaml;

use super::record::{self, KNOWN_TAGS, Record, Wanted};
use crate::app::rules::check_attribute_name;

/// Maximum nesting of groups; deeper ones are cycles.
const MAX_DEPTH: usize = 50;

pub fn read_json(list: Value) -> Result<Vec<Record>, String> {
    json::read(list)?.into_records()
}

pub fn read_yaml(text: &str) -> Result<Vec<Record>, String> {
    yaml::read(text)?.into_records()
}

pub fn read_ini(text: &str) -> Result<Vec<Record>, String> {
    ini::read(text)?.into_records()
}

type Variables = BTreeMap<String, Value>;

/// An inventory as its forms have it in common.
#[derive(Debug, Default)]
struct Inventory {
    /// In the order of their appearance, which numbers them when there are no lines to count.
    order: Vec<String>,
    lines: BTreeMap<String, u64>,
    hosts: BTreeMap<String, Variables>,
    groups: BTreeMap<String, Group>,
}

#[derive(Debug, Default)]
struct Group {
    hosts: BTreeSet<String>,
    children: BTreeSet<String>,
    variables: Variables,
}

impl Inventory {
    fn add_host(&mut self, name: &str, group: &str, variables: Variables) {
        if !self.hosts.contains_key(name) {
            self.order.push(name.to_owned());
        }
        self.hosts.entry(name.to_owned()).or_default().extend(variables);
        self.group(group).hosts.insert(name.to_owned());
    }

    fn group(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_owned()).or_default()
    }

    fn into_records(self) -> Result<Vec<Record>, String> {
        let groups_of = self.groups_of_hosts()?;
        let none = BTreeMap::new();
        let mut records = Vec::with_capacity(self.order.len());
        for (index, host) in (1..).zip(&self.order) {
            let number = self.lines.get(host).copied().unwrap_or(index);
            let groups = groups_of.get(host.as_str()).unwrap_or(&none);
            let mut left_out = Vec::new();
            let wanted = self.wanted(host, groups, &mut left_out);
            records.push(Record { number, wanted, left_out });
        }
        Ok(records)
    }

    /// For each host its groups, those that hold its groups included, with their depth: deeper ones overrule.
    fn groups_of_hosts(&self) -> Result<BTreeMap<&str, BTreeMap<&str, usize>>, String> {
        let mut depths: BTreeMap<&str, usize> = BTreeMap::new();
        let mut parents: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (name, group) in &self.groups {
            depths.insert(name, usize::from(name != "all"));
            for child in &group.children {
                parents.entry(child).or_default().insert(name);
            }
        }
        for round in 0.. {
            let mut changed = false;
            for (child, above) in &parents {
                let deepest = above.iter().filter_map(|name| depths.get(name)).max().copied().unwrap_or(0);
                let depth = depths.entry(*child).or_insert(1);
                if *depth <= deepest {
                    *depth = deepest + 1;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
            if round > MAX_DEPTH {
                return Err(format!("groups contain each other in a cycle or deeper than {MAX_DEPTH}"));
            }
        }
        let mut found: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for (name, group) in &self.groups {
            let mut above = BTreeSet::from([name.as_str()]);
            let mut open = vec![name.as_str()];
            while let Some(next) = open.pop() {
                for parent in parents.get(next).into_iter().flatten() {
                    if above.insert(parent) {
                        open.push(parent);
                    }
                }
            }
            for host in &group.hosts {
                let groups = found.entry(host).or_default();
                groups.extend(above.iter().map(|name| (*name, depths.get(name).copied().unwrap_or(1))));
            }
        }
        Ok(found)
    }

    fn wanted(
        &self,
        host: &str,
        groups: &BTreeMap<&str, usize>,
        left_out: &mut Vec<String>,
    ) -> Result<Wanted, String> {
        let mut wanted = Wanted::new(record::id(host)?);
        let mut outer_first: Vec<(usize, &str)> =
            groups.iter().map(|(name, depth)| (*depth, *name)).collect();
        outer_first.sort_unstable();
        let mut variables = Variables::new();
        variables.extend(self.groups.get("all").map(|all| all.variables.clone()).unwrap_or_default());
        for (_, group) in &outer_first {
            variables
                .extend(self.groups.get(*group).map(|group| group.variables.clone()).unwrap_or_default());
        }
        variables.extend(self.hosts.get(host).cloned().unwrap_or_default());

        let own_export = variables.get("cmdb_tags").is_some_and(Value::is_object);
        // In an export of this platform, this means that the host is reached from the controller, as `driver` also says.
        if own_export && variables.get("ansible_connection").is_some_and(|connection| connection == "local") {
            variables.remove("ansible_connection");
        }
        if !own_export {
            take_groups(&mut wanted, groups.keys().copied());
        }
        for (name, value) in variables {
            take_variable(&mut wanted, &name, value, left_out);
        }
        Ok(wanted)
    }
}

fn take_groups<'a>(wanted: &mut Wanted, groups: impl Iterator<Item = &'a str>) {
    let mut others = Vec::new();
    for group in groups.filter(|group| !matches!(*group, "all" | "ungrouped")) {
        let tag = KNOWN_TAGS.iter().find_map(|key| {
            let value = group.strip_prefix(*key)?.strip_prefix('_').filter(|value| !value.is_empty())?;
            Some(((*key).to_owned(), value.to_owned()))
        });
        match tag {
            Some((key, value)) => {
                wanted.tags.insert(key, value);
            }
            None => others.push(Value::from(group)),
        }
    }
    if !others.is_empty() {
        wanted.attributes.insert("inventory_groups".to_owned(), others.into());
    }
}

fn take_variable(wanted: &mut Wanted, name: &str, value: Value, left_out: &mut Vec<String>) {
    let Some(value) = plain(value) else {
        left_out.push(format!("`{}` is vaulted and is not imported", shown(name)));
        return;
    };
    match (name, &value) {
        ("ansible_host" | "ansible_ssh_host", Value::String(_)) => {
            wanted.attributes.insert("address".to_owned(), value);
        }
        ("ansible_port" | "ansible_ssh_port", _) => {
            let value = value.as_str().map_or(value.clone(), |text| record::attribute_value("port", text));
            wanted.attributes.insert("port".to_owned(), value);
        }
        ("ansible_user" | "ansible_ssh_user", Value::String(_)) => {
            wanted.attributes.insert("user".to_owned(), value);
        }
        ("cmdb_tags", Value::Object(tags)) => wanted.tags.extend(texts(tags)),
        ("cmdb_display_name", Value::String(name)) => wanted.name = Some(name.clone()),
        ("cmdb_type", Value::String(text)) if record::ci_type(text).is_ok() => {
            wanted.ci_type = record::ci_type(text).ok();
        }
        (tag, Value::String(text)) if KNOWN_TAGS.contains(&tag) => {
            wanted.tags.insert(tag.to_owned(), text.clone());
        }
        _ => {
            let own = name.strip_prefix("cmdb_").unwrap_or(name);
            match check_attribute_name(own) {
                Ok(()) => {
                    wanted.attributes.insert(own.to_owned(), value);
                }
                Err(why) => left_out.push(format!("`{}` {why}", shown(name))),
            }
        }
    }
}

fn texts(tags: &Map<String, Value>) -> Tags {
    tags.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// The value without the markers of Ansible's JSON; `None` when part of it is vaulted.
fn plain(value: Value) -> Option<Value> {
    match value {
        Value::Object(mut fields) => {
            if fields.contains_key("__ansible_vault") {
                return None;
            }
            if let Some(text) = fields.remove("__ansible_unsafe") {
                return Some(text);
            }
            let fields: Option<Map<String, Value>> =
                fields.into_iter().map(|(key, field)| Some((key, plain(field)?))).collect();
            fields.map(Value::Object)
        }
        Value::Array(items) => items.into_iter().map(plain).collect::<Option<Vec<_>>>().map(Value::Array),
        other => Some(other),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_default).collect()
}
