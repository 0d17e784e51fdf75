//! An existing Ansible inventory, in any of its three forms.
//!
//! Groups named after a usual tag (`env_prod`) become that tag, and all groups but those a list in the attribute
//! `inventory_groups`. Variables become attributes; how a host is reached becomes `address`, `port`, `user` and `python`.
//! Other settings of Ansible, secrets, vaulted values and templates are omitted and reported. Nothing is evaluated.

mod hosts;
mod ini;
mod json;
mod literal;
mod variables;
mod yaml;

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use api_types::cmdb::CiType;
use serde_json::Value;

pub use ini::looks_like_ini;
pub use yaml::looks_like_yaml;

use super::{
    MAX_RECORDS,
    record::{KNOWN_TAGS, List, Outcome, Record, Refusal, Wanted, shown},
};
use variables::{approximate_size, take_variable};

/// Maximum nesting of groups; deeper ones are cycles.
const MAX_DEPTH: usize = 50;
/// Variables of groups count once for each host in it.
const MAX_VARIABLE_BYTES: usize = 256 * 1024 * 1024;

pub fn read_json(list: Value) -> Result<List, String> {
    json::read(list)?.into_list()
}

pub fn read_yaml(text: &str) -> Result<List, String> {
    yaml::read(text)?.into_list()
}

pub fn read_ini(text: &str) -> Result<List, String> {
    ini::read(text)?.into_list()
}

type Variables = BTreeMap<String, Value>;

/// An inventory as its forms have it in common.
#[derive(Debug, Default)]
struct Inventory {
    /// In the order of their appearance, which numbers them when there are no lines to count.
    order: Vec<String>,
    hosts: BTreeMap<String, Host>,
    groups: BTreeMap<String, Group>,
    faults: Vec<Fault>,
    /// What is omitted from the list as a whole.
    warnings: Vec<String>,
}

#[derive(Debug, Default)]
struct Host {
    line: Option<u64>,
    /// Shared by the hosts of a pattern; later ones overrule.
    variables: Vec<Rc<Variables>>,
}

#[derive(Debug, Default)]
struct Group {
    hosts: BTreeSet<String>,
    children: BTreeSet<String>,
    variables: Variables,
}

/// A part of the list that is refused on its own.
#[derive(Debug)]
struct Fault {
    line: Option<u64>,
    name: Option<String>,
    refusal: Refusal,
}

impl Group {
    fn set(&mut self, name: &str, value: Value) {
        self.variables.insert(name.to_owned(), value);
    }
}

impl Inventory {
    fn add_host(
        &mut self,
        name: &str,
        group: &str,
        variables: Rc<Variables>,
        line: Option<u64>,
    ) -> Result<(), String> {
        if !self.hosts.contains_key(name) {
            if self.order.len() >= MAX_RECORDS {
                return Err(format!("it has more than {MAX_RECORDS} hosts; split it"));
            }
            self.order.push(name.to_owned());
        }
        let host = self.hosts.entry(name.to_owned()).or_default();
        host.line = host.line.or(line);
        if !variables.is_empty() {
            host.variables.push(variables);
        }
        self.group(group).hosts.insert(name.to_owned());
        Ok(())
    }

    fn group(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_owned()).or_default()
    }

    fn refuse(&mut self, line: impl Into<Option<u64>>, name: Option<&str>, refusal: Refusal) {
        let name = name.map(shown).filter(|name| !name.is_empty());
        self.faults.push(Fault { line: line.into(), name, refusal });
    }

    fn into_list(mut self) -> Result<List, String> {
        let groups_of = self.groups_of_hosts()?;
        let none = BTreeMap::new();
        let mut left = MAX_VARIABLE_BYTES;
        let mut records = Vec::with_capacity(self.order.len());
        for (index, name) in (1..).zip(&self.order) {
            let line = self.hosts.get(name).and_then(|host| host.line);
            let groups = groups_of.get(name.as_str()).unwrap_or(&none);
            let mut left_out = Vec::new();
            let outcome = self.outcome(name, groups, &mut left_out, &mut left)?;
            records.push(Record {
                number: line.unwrap_or(index),
                is_line: line.is_some(),
                name: Some(name.clone()),
                outcome,
                left_out,
            });
        }
        let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (host, of_host) in groups_of {
            for group in of_host.into_keys().filter(|group| is_named(group)) {
                groups.entry(group.to_owned()).or_default().insert(host.to_owned());
            }
        }
        let hosts = records.len() as u64;
        records.extend((hosts + 1..).zip(std::mem::take(&mut self.faults)).map(|(index, fault)| Record {
            number: fault.line.unwrap_or(index),
            is_line: fault.line.is_some(),
            ..Record::new(index, fault.name, Err(fault.refusal))
        }));
        records.sort_by_key(|record| record.number);
        Ok(List { records, groups, warnings: self.warnings, total: None })
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

    /// The error ends the list.
    fn outcome(
        &self,
        host: &str,
        groups: &BTreeMap<&str, usize>,
        left_out: &mut Vec<String>,
        left: &mut usize,
    ) -> Result<Outcome, String> {
        let mut variables = self.variables_of(host, groups);
        let size: usize = variables.iter().map(|(name, value)| name.len() + approximate_size(value)).sum();
        *left = left.checked_sub(size).ok_or_else(|| {
            format!(
                "the variables of all hosts together are larger than {} MB; split the list or import fewer variables",
                MAX_VARIABLE_BYTES >> 20
            )
        })?;
        let own_export = variables.get("cmdb_tags").is_some_and(|tags| tags.is_object());
        let connection = variables.get("ansible_connection").and_then(|value| value.as_str()).map(local_name);
        let is_local = connection == Some("local");
        let is_windows = matches!(connection, Some("winrm" | "psrp"));
        let is_network = matches!(connection, Some("network_cli" | "netconf" | "httpapi"));
        if own_export && is_local {
            // In an export of this platform, this means that the host is reached from the controller, as `driver` also says.
            variables.remove("ansible_connection");
        } else if is_local || matches!(host, "localhost" | "127.0.0.1" | "::1") {
            let reason = Refusal::from("is the machine that runs Ansible, so it is left out")
                .remedy("to manage it, add it under its host name, with the address it has for others");
            return Ok(Outcome::LeftOut { reason, wanted: None });
        }
        if is_windows {
            let reason =
                "is reached over WinRM, so it is left out: only Linux hosts are patched, over SSH".into();
            return Ok(Outcome::LeftOut { reason, wanted: None });
        }
        let mut wanted = match Wanted::named(host) {
            Ok(wanted) => wanted,
            Err(refusal) => return Ok(Outcome::Refused(refusal)),
        };
        if is_network {
            wanted.ci_type = Some(CiType::Network);
        }
        if !own_export {
            take_groups(&mut wanted, groups.keys().copied());
        }
        for (name, value) in variables {
            take_variable(&mut wanted, name, value, own_export, left_out);
        }
        Ok(Outcome::Wanted(Box::new(wanted)))
    }

    fn variables_of(&self, host: &str, groups: &BTreeMap<&str, usize>) -> BTreeMap<&str, &Value> {
        let mut outer_first: Vec<(usize, &str)> =
            groups.iter().map(|(name, depth)| (*depth, *name)).collect();
        outer_first.sort_unstable();
        let outer_first = std::iter::once("all").chain(outer_first.into_iter().map(|(_, name)| name));
        let of_groups = outer_first.filter_map(|name| self.groups.get(name)).map(|group| &group.variables);
        let of_host = self.hosts.get(host).into_iter().flat_map(|host| host.variables.iter().map(Rc::as_ref));
        of_groups.chain(of_host).flatten().map(|(name, value)| (name.as_str(), value)).collect()
    }
}

/// `ansible.builtin.local` is `local`.
fn local_name(connection: &str) -> &str {
    connection.rsplit('.').next().unwrap_or(connection)
}

/// Every host is in `all`, so these groups say nothing about it.
fn is_named(group: &str) -> bool {
    !matches!(group, "all" | "ungrouped")
}

fn take_groups<'a>(wanted: &mut Wanted, groups: impl Iterator<Item = &'a str>) {
    let mut others = Vec::new();
    for group in groups.filter(|group| is_named(group)) {
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
