//! The groups of an inventory.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::{graph::Node, inventory::Groups};

/// One group per tag and value. Names that are equal after cleaning, or that a host has, get a suffix: a group must never
/// gain hosts because two names look alike.
pub fn groups_of(hosts: &[Node]) -> Groups {
    let mut by_tag: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for host in hosts {
        for (key, value) in &host.tags {
            by_tag.entry((key, value)).or_default().push(host.id.to_string());
        }
    }
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    for (key, value) in by_tag.keys() {
        *taken.entry(group_name(key, value)).or_default() += 1;
    }
    let names: BTreeSet<&str> = hosts.iter().map(|host| host.id.as_str()).collect();
    let mut groups = Groups::new();
    for ((key, value), members) in by_tag {
        let name = group_name(key, value);
        let is_exact = name == format!("{key}_{value}");
        let is_ambiguous = !is_exact && taken.get(&name).is_some_and(|groups| *groups > 1);
        let name = if is_ambiguous || names.contains(name.as_str()) {
            format!("{name}_{:08x}", fingerprint(&format!("{key}={value}")))
        } else {
            name
        };
        groups.entry(name).or_default().extend(members);
    }
    for members in groups.values_mut() {
        members.sort_unstable();
        members.dedup();
    }
    groups
}

/// `<tag>_<value>` in the characters that a group's name may have.
fn group_name(key: &str, value: &str) -> String {
    let text = format!("{key}_{value}");
    let clean: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if clean.starts_with(|c: char| c.is_ascii_digit()) { format!("_{clean}") } else { clean }
}

/// FNV-1a: the same on every machine and in every version, which a group's name must be.
fn fingerprint(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use api_types::cmdb::CiType;
    use domain::ids::CiId;

    use super::*;

    fn host(id: &str, tags: &[(&str, &str)]) -> Node {
        Node {
            id: CiId::new(id).unwrap(),
            ci_type: CiType::Host,
            name: id.to_owned(),
            tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            attributes: BTreeMap::new(),
        }
    }

    #[test]
    fn values_that_look_alike_after_cleaning_stay_apart() {
        let hosts = [
            host("a", &[("env", "pre-prod")]),
            host("b", &[("env", "pre_prod")]),
            host("c", &[("env", "pre.prod")]),
            host("d", &[("9", "x y")]),
        ];
        let groups = groups_of(&hosts);
        assert_eq!(groups["env_pre_prod"], ["b"]);
        assert_eq!(groups["_9_x_y"], ["d"]);
        assert_eq!(groups.len(), 4, "{groups:?}");
    }

    #[test]
    fn a_group_never_has_the_name_of_a_host() {
        let groups = groups_of(&[host("env_prod", &[("env", "dev")]), host("b", &[("env", "prod")])]);
        assert_eq!(groups["env_dev"], ["env_prod"]);
        assert!(!groups.contains_key("env_prod"), "{groups:?}");
        assert!(groups.values().any(|hosts| hosts == &["b"]), "{groups:?}");
    }
}
