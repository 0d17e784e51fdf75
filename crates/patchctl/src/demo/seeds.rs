//! The fleet and the advisories of the demo, which are compiled in from `seeds/`.

use std::collections::BTreeMap;

use api_types::{
    cmdb::CreateRelationship,
    sim::{CreateVms, Repository},
};
use domain::policy::Policy;
use serde::de::DeserializeOwned;

use crate::arguments::DemoHosts;
use terminal::Failure;

macro_rules! seed {
    ($path:literal) => {
        include_bytes!(concat!("../../../../seeds/", $path)) as &[u8]
    };
}

macro_rules! advisories {
    ($($name:literal)+) => { [$(include_bytes!(concat!("../../../../seeds/advisories/", $name, ".json"))),+] };
}

pub(super) const CIS: &[u8] = seed!("demo/cis.json");
pub(super) const REAL_CIS: &[u8] = seed!("fleet/cis.json");

/// What is known before the evening: the advisories of the vendor, and the exploited vulnerabilities.
pub(super) const ADVISORIES: [&[u8]; 22] = advisories! {
    "DCOS-2025-0001" "DCOS-2025-0002" "DCOS-2025-0003" "DCOS-2025-0004" "DCOS-2025-0005" "DCOS-2025-0006"
    "DCOS-2025-0007" "DCOS-2025-0008" "DCOS-2025-0009" "DCOS-2026-0010" "DCOS-2026-0011" "DCOS-2026-0012"
    "DCOS-2026-0013" "DCOS-2026-0014" "DCOS-2026-0015" "DCOS-2026-0016" "DCOS-2026-0017" "DCOS-2026-0018"
    "DCOS-2026-0019" "DCOS-2026-0020" "DCOS-2026-0021" "known-exploited"
};

/// What arrives during the evening.
pub(super) const INCOMING: [&[u8]; 2] = advisories! { "incoming/DCOS-2026-0100" "incoming/known-exploited" };

pub(super) fn vms(hosts: DemoHosts) -> Result<CreateVms, Failure> {
    match hosts {
        DemoHosts::Model => read("demo/vms.json", seed!("demo/vms.json")),
        DemoHosts::Real | DemoHosts::Brownfield => read("fleet/vms.json", seed!("fleet/vms.json")),
    }
}

pub(super) fn relationships(hosts: DemoHosts) -> Result<Vec<CreateRelationship>, Failure> {
    match hosts {
        DemoHosts::Model => read("demo/relationships.json", seed!("demo/relationships.json")),
        DemoHosts::Real | DemoHosts::Brownfield => {
            read("fleet/relationships.json", seed!("fleet/relationships.json"))
        }
    }
}

pub(super) fn policies(hosts: DemoHosts) -> Result<Vec<Policy>, Failure> {
    match hosts {
        DemoHosts::Model => read("demo/policies.json", seed!("demo/policies.json")),
        DemoHosts::Real | DemoHosts::Brownfield => read("fleet/policies.json", seed!("fleet/policies.json")),
    }
}

pub(super) fn repositories() -> Result<BTreeMap<String, Repository>, Failure> {
    read("repositories.json", seed!("demo/repositories.json"))
}

pub(super) fn repositories_after_advisory() -> Result<BTreeMap<String, Repository>, Failure> {
    read("repositories-after-advisory.json", seed!("demo/repositories-after-advisory.json"))
}

fn read<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::new(format!("the seed `{name}` cannot be read: {error}")))
}
