//! Tags from groups: what the operator maps, and what is proposed.

use std::collections::{BTreeMap, BTreeSet};

use api_types::cmdb::{MappingProposal, ProposedGroup};
use domain::package::Packaging;

use super::record::{List, Outcome, shown};
use crate::app::rules::is_tag_key;

const MAX_MAPPED_GROUPS: usize = 1000;
/// Usual names of environments.
const ENVIRONMENTS: [&str; 25] = [
    "prod",
    "production",
    "prd",
    "live",
    "preprod",
    "pre-prod",
    "pre_prod",
    "preproduction",
    "staging",
    "stage",
    "stg",
    "uat",
    "acceptance",
    "acc",
    "qa",
    "test",
    "testing",
    "tst",
    "dev",
    "development",
    "devel",
    "integration",
    "int",
    "sandbox",
    "demo",
];
/// Usual names of roles.
const ROLES: [&str; 36] = [
    "web",
    "webserver",
    "webservers",
    "www",
    "frontend",
    "backend",
    "app",
    "apps",
    "appserver",
    "appservers",
    "api",
    "db",
    "dbs",
    "database",
    "databases",
    "dbserver",
    "dbservers",
    "cache",
    "redis",
    "queue",
    "lb",
    "loadbalancer",
    "loadbalancers",
    "proxy",
    "mail",
    "dns",
    "monitoring",
    "logging",
    "storage",
    "bastion",
    "worker",
    "workers",
    "k8s",
    "kubernetes",
    "ci",
    "build",
];

/// Which groups become the values of which tag, as the operator wrote it: `env=prod,staging,dev`.
#[derive(Debug, Clone, Default)]
pub struct Mapping(Vec<(String, Vec<String>)>);

impl Mapping {
    /// The error says which text is wrong.
    pub fn parse(texts: &[String]) -> Result<Self, String> {
        let mut mapping = Vec::new();
        for text in texts {
            let fail =
                || format!("`{}` is not `KEY=GROUP,GROUP`, such as `env=prod,staging,dev`", shown(text));
            let (key, groups) = text.split_once('=').ok_or_else(fail)?;
            let groups: Vec<String> = groups
                .split(',')
                .map(|group| group.trim().to_owned())
                .filter(|group| !group.is_empty())
                .collect();
            if !is_tag_key(key) || groups.is_empty() {
                return Err(fail());
            }
            mapping.push((key.to_owned(), groups));
        }
        if mapping.iter().map(|(_, groups)| groups.len()).sum::<usize>() > MAX_MAPPED_GROUPS {
            return Err(format!("names more than {MAX_MAPPED_GROUPS} groups"));
        }
        Ok(Self(mapping))
    }

    fn keys(&self) -> BTreeSet<&str> {
        self.0.iter().map(|(key, _)| key.as_str()).collect()
    }

    /// Sets the tags of the records in mapped groups. A group that the list does not have is an error: it may be misspelt.
    pub fn apply(&self, list: &mut List) -> Result<(), String> {
        let mut values: BTreeMap<&str, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
        for (key, groups) in &self.0 {
            for group in groups {
                let Some(hosts) = list.groups.get(group) else { return Err(unknown(group, list)) };
                for host in hosts {
                    values.entry(host).or_default().entry(key).or_default().insert(group);
                }
            }
        }
        for record in &mut list.records {
            let Some(of_host) = record.name.as_deref().and_then(|name| values.get(name)) else { continue };
            let Outcome::Wanted(wanted) = &mut record.outcome else { continue };
            for (key, groups) in of_host {
                let mut names = groups.iter();
                match (names.next(), names.next()) {
                    (Some(group), None) => {
                        wanted.tags.insert((*key).to_owned(), (*group).to_owned());
                    }
                    (Some(first), Some(second)) => record.left_out.push(format!(
                        "the tag `{key}` is not set: the host is in the mapped groups `{}` and `{}`",
                        shown(first),
                        shown(second)
                    )),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Groups that look like values of a tag which their hosts do not have and which is not mapped.
    pub fn proposals(&self, list: &List) -> Vec<MappingProposal> {
        let mapped = self.keys();
        let is_of = |of: &[&str], group: &str| of.contains(&group.to_ascii_lowercase().as_str());
        let is_system =
            |group: &str| Packaging::of_os(group).is_some() && group.contains(|c: char| c.is_ascii_digit());
        let mut proposals = Vec::new();
        for key in ["env", "role", "os"].into_iter().filter(|key| !mapped.contains(key)) {
            let lacking: BTreeSet<&str> = list
                .records
                .iter()
                .filter(|record| record.wanted().is_some_and(|wanted| !wanted.tags.contains_key(key)))
                .filter_map(|record| record.name.as_deref())
                .collect();
            let mut candidates: Vec<(&String, BTreeSet<&str>)> = list
                .groups
                .iter()
                .filter(|(group, _)| match key {
                    "env" => is_of(&ENVIRONMENTS, group),
                    "role" => is_of(&ROLES, group),
                    _ => is_system(group),
                })
                .map(|(group, hosts)| {
                    (group, hosts.iter().map(String::as_str).filter(|host| lacking.contains(host)).collect())
                })
                .collect();
            candidates.sort_by_key(|(group, hosts)| (std::cmp::Reverse(hosts.len()), *group));
            // A host has one value of a tag, so groups that share hosts are not proposed together.
            let mut taken: BTreeSet<&str> = BTreeSet::new();
            let mut groups = Vec::new();
            for (group, hosts) in candidates {
                if !hosts.is_empty() && taken.is_disjoint(&hosts) {
                    groups.push(ProposedGroup { name: group.clone(), hosts: hosts.len() as u64 });
                    taken.extend(hosts);
                }
            }
            if !groups.is_empty() {
                let names: Vec<&str> = groups.iter().map(|group| group.name.as_str()).collect();
                let map = format!("{key}={}", names.join(","));
                proposals.push(MappingProposal { key: key.to_owned(), groups, map });
            }
        }
        proposals
    }
}

fn unknown(group: &str, list: &List) -> String {
    let known: Vec<String> = list.groups.keys().take(20).map(|name| shown(name)).collect();
    if known.is_empty() {
        format!("maps the group `{}`, but the list has no groups", shown(group))
    } else {
        format!(
            "maps the group `{}`, which the list does not have; it has {}",
            shown(group),
            known.join(", ")
        )
    }
}
