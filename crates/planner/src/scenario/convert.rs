//! The CMDB's graph as a scenario.

use std::collections::BTreeMap;

use domain::ids::CiId;

use super::{Edge, Health, Node, NodeKind, Patch, Scenario, Service, UNPATCHED};
use crate::graph::{Compatibility, HostGraph};

/// Each host becomes a node of its own, patchable if it has a patch; each of its memberships becomes an instance that the
/// host contains, so that taking the host down takes its services' members down. Instances are never patched themselves
/// and weigh nothing: the host's criticality says it all.
///
/// The strategies for nodes know nothing of containment: give the scenario the waves of a plan of hosts instead
/// ([`of_waves`](crate::strategy::of_waves)).
pub fn from_graph(name: &str, graph: &HostGraph, patches: &BTreeMap<CiId, Patch>) -> Scenario {
    let mut scenario = Scenario {
        name: name.to_owned(),
        seed: 0,
        metadata: BTreeMap::new(),
        nodes: Vec::new(),
        edges: Vec::new(),
        services: Vec::new(),
    };
    let idle = Patch {
        duration_seconds: 0,
        requires_restart: false,
        requires_reboot: false,
        failure_probability: 0.0,
        rollback_supported: true,
        severity: 0.0,
    };
    let mut index_of: BTreeMap<&CiId, usize> = BTreeMap::new();
    for (id, host) in &graph.hosts {
        let index = scenario.nodes.len();
        index_of.insert(id, index);
        scenario.services.push(Service { name: id.to_string(), min_up: 0, members: vec![index] });
        let patch = patches.get(id);
        scenario.nodes.push(Node {
            id: id.to_string(),
            kind: NodeKind::Host,
            service: scenario.services.len() - 1,
            criticality: host.criticality.clamp(1, 5),
            redundancy: 1,
            min_up: 0,
            patchable: patch.is_some(),
            group: None,
            version: UNPATCHED.to_owned(),
            health: if host.up { Health::Healthy } else { Health::Down },
            patch: Patch { severity: host.severity.clamp(0.0, 10.0), ..*patch.unwrap_or(&idle) },
        });
    }
    for (service, members) in graph.members() {
        let min_up = graph.min_up(service);
        let number = scenario.services.len();
        // A host may bear its service's name; the instance must not bear the host's.
        scenario.services.push(Service { name: format!("service:{service}"), min_up, members: Vec::new() });
        for host in members {
            let index = scenario.nodes.len();
            scenario.services[number].members.push(index);
            scenario.nodes.push(Node {
                id: format!("{service}@{host}"),
                kind: NodeKind::ServiceInstance,
                service: number,
                criticality: 1,
                redundancy: 1,
                min_up,
                patchable: false,
                group: None,
                version: UNPATCHED.to_owned(),
                health: Health::Healthy,
                patch: idle,
            });
            scenario.edges.push(edge(index, index_of[host], Compatibility::Compatible));
        }
    }
    for depends in &graph.edges {
        if let (Some(source), Some(target)) = (index_of.get(&depends.source), index_of.get(&depends.target)) {
            scenario.edges.push(edge(*source, *target, depends.compatibility));
        }
    }
    scenario
}

fn edge(source: usize, target: usize, compatibility: Compatibility) -> Edge {
    Edge { source, target, compatibility, mixed_max_duration_seconds: 0 }
}
