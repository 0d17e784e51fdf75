//! The CMDB's graph as the planner reads it.

use std::collections::{BTreeMap, BTreeSet};

use api_types::cmdb::{CiType, Compatibility, Graph};
use domain::{ids::CiId, run::DownCause};
use planner::{HostEdge, HostGraph, HostNode, ServiceNode};

/// Converts the CMDB's graph for the planner. A service without `min_up` keeps all but one of its members up.
pub fn host_graph(
    graph: &Graph,
    severities: &BTreeMap<CiId, f64>,
    down: &BTreeMap<CiId, DownCause>,
) -> HostGraph {
    let is_service =
        |ci_type: CiType| matches!(ci_type, CiType::Service | CiType::Application | CiType::Database);
    let mut result = HostGraph::default();
    for node in &graph.nodes {
        if is_service(node.ci_type) {
            let named = node
                .attributes
                .get("min_up")
                .and_then(serde_json::Value::as_u64)
                .and_then(|n| u32::try_from(n).ok());
            let all_but_one = u32::try_from(node.hosts.len().saturating_sub(1)).unwrap_or(u32::MAX);
            result.services.insert(node.id.clone(), ServiceNode { min_up: named.unwrap_or(all_but_one) });
            for member in &node.hosts {
                let host = result.hosts.entry(member.clone()).or_insert_with(|| HostNode {
                    services: BTreeSet::new(),
                    criticality: 3,
                    severity: 0.0,
                    up: true,
                });
                host.services.insert(node.id.clone());
            }
        }
    }
    for node in graph.nodes.iter().filter(|node| !is_service(node.ci_type)) {
        let known = result.hosts.entry(node.id.clone()).or_insert_with(|| HostNode {
            services: BTreeSet::new(),
            criticality: node.criticality,
            severity: 0.0,
            up: true,
        });
        known.criticality = node.criticality;
        known.services.extend(node.services.iter().cloned());
        known.severity = severities.get(&node.id).copied().unwrap_or_default();
    }
    for host in down.keys() {
        if let Some(node) = result.hosts.get_mut(host) {
            node.up = false;
        }
    }
    result.edges = graph
        .edges
        .iter()
        .map(|edge| HostEdge {
            source: edge.source.clone(),
            target: edge.target.clone(),
            compatibility: match edge.compatibility {
                Compatibility::Compatible => planner::Compatibility::Compatible,
                Compatibility::Degraded => planner::Compatibility::Degraded,
                Compatibility::Incompatible => planner::Compatibility::Incompatible,
            },
        })
        .collect();
    result
}
