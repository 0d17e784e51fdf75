//! One machine and its CI: whose word counts for what.

use std::collections::BTreeMap;

use api_types::{
    cmdb::Ci,
    sim::{Driver, Vm},
};
use domain::selector::Tags;
use serde_json::Value;
use service_kit::FieldErrors;

use crate::app::rules;

/// A machine as a CI would describe it.
#[derive(Debug, Clone)]
pub struct Machine {
    pub tags: Tags,
    pub attributes: BTreeMap<String, Value>,
}

impl Machine {
    /// Tags and attributes that a CI may not have are left out, each with a word in the log.
    pub fn of(vm: &Vm) -> Self {
        let mut tags = vm.tags.clone();
        tags.entry("os".to_owned()).or_insert_with(|| vm.os.clone());
        if let Some(cluster) = &vm.cluster {
            tags.entry("cluster".to_owned()).or_insert_with(|| cluster.clone());
        }
        tags.retain(|key, value| {
            let mut errors = FieldErrors::default();
            rules::check_tags(&mut errors, &Tags::from([(key.clone(), value.clone())]));
            let fault = errors.summary();
            if let Some(fault) = &fault {
                tracing::warn!(ci.id = %vm.id, "a tag of machine `{}` is left out: {fault}", vm.id);
            }
            fault.is_none()
        });
        let driver = match vm.driver {
            Driver::Model => "model",
            // A small real Linux is entered as any real server is.
            Driver::Linux => "ssh",
        };
        let mut attributes = BTreeMap::from([("driver".to_owned(), Value::from(driver))]);
        if let Some(address) = vm.address.as_deref().filter(|address| rules::is_address(address)) {
            attributes.insert("address".to_owned(), address.into());
        }
        if let Some(ssh) = &vm.ssh {
            attributes.insert("port".to_owned(), ssh.port.into());
            attributes.insert("user".to_owned(), ssh.user.as_str().into());
            attributes.insert("host_key".to_owned(), ssh.host_key.as_str().into());
        }
        Self { tags, attributes }
    }
}

/// The CI as it is after a synchronisation. How a machine is reached is the sim-engine's word. A tag is its word only while
/// nobody else has said another: one that differs from what the sim-engine named last, or that was removed, stays as it is.
pub fn merge(ci: &Ci, named_last: Option<&Tags>, machine: &Machine) -> Ci {
    let mut merged = ci.clone();
    merged.attributes.extend(machine.attributes.clone());
    let none = Tags::new();
    let named_last = named_last.unwrap_or(&none);
    for (key, value) in &machine.tags {
        if ci.tags.get(key) == named_last.get(key) {
            merged.tags.insert(key.clone(), value.clone());
        }
    }
    for (key, value) in named_last {
        if !machine.tags.contains_key(key) && ci.tags.get(key) == Some(value) {
            merged.tags.remove(key);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use api_types::cmdb::{CiStatus, CiType};
    use chrono::DateTime;
    use domain::ids::CiId;

    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn merged(ours: &[(&str, &str)], last: Option<&[(&str, &str)]>, theirs: &[(&str, &str)]) -> Tags {
        let ci = Ci {
            id: CiId::new("web-01").unwrap(),
            ci_type: CiType::Vm,
            name: "web-01".into(),
            status: CiStatus::Active,
            tags: tags(ours),
            attributes: BTreeMap::new(),
            maintenance: None,
            patch_state: None,
            version: 1,
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        };
        let machine = Machine { tags: tags(theirs), attributes: BTreeMap::new() };
        merge(&ci, last.map(tags).as_ref(), &machine).tags
    }

    #[test]
    fn a_tag_follows_the_machine_until_somebody_sets_it() {
        assert_eq!(
            merged(&[("os", "rocky8")], Some(&[("os", "rocky8")]), &[("os", "rocky9")]),
            tags(&[("os", "rocky9")])
        );
        assert_eq!(
            merged(&[("env", "prod")], Some(&[("env", "dev")]), &[("env", "dev2")]),
            tags(&[("env", "prod")])
        );
        assert_eq!(
            merged(&[("env", "prod")], None, &[("env", "dev"), ("os", "x")]),
            tags(&[("env", "prod"), ("os", "x")])
        );
    }

    #[test]
    fn a_tag_removed_by_either_side_is_gone() {
        assert_eq!(merged(&[], Some(&[("env", "dev")]), &[("env", "dev")]), tags(&[]));
        assert_eq!(merged(&[("env", "dev")], Some(&[("env", "dev")]), &[]), tags(&[]));
        assert_eq!(merged(&[("env", "prod")], Some(&[("env", "dev")]), &[]), tags(&[("env", "prod")]));
    }
}
