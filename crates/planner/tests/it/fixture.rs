//! A request builder: a test states only what it is about.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    ids::CiId,
    package::Packaging,
    plan::{Connection, Intent, Plan, Target},
    quantity::HostCount,
    strategy::Strategy,
    workflow::{HostCheck, HostTest, HostWorkflow, Reboot, Rollback, RollbackMode},
};
use planner::{Compatibility, HostEdge, HostGraph, HostNode, PlanRequest, ServiceNode};

pub fn id(text: &str) -> CiId {
    CiId::new(text).unwrap()
}

pub fn request(strategy: Strategy) -> PlanRequest {
    PlanRequest {
        intent: Intent::Patch,
        strategy,
        targets: BTreeMap::new(),
        staging: BTreeSet::new(),
        pilot_host_count: 0,
        clusters_in_turn: None,
        graph: HostGraph::default(),
        max_parallel: HostCount::Number(10),
        max_unavailable: None,
        error_threshold: HostCount::Number(0),
        retries: 0,
        forks: None,
        unscanned: BTreeMap::new(),
        not_ready: BTreeMap::new(),
        up_to_date: 0,
        pin: Default::default(),
        soak_seconds: 0,
        staging_tests: vec![HostTest { name: "reachable".into(), check: HostCheck::Reachable }],
        workflow: HostWorkflow::default(),
        reboot: Reboot::IfRequired,
        rollback: Rollback::Auto,
        snapshot_retention_hours: Some(72),
    }
}

pub fn target(cluster: &str) -> Target {
    Target {
        os: "debian12".into(),
        packaging: Packaging::Dpkg,
        tags: BTreeMap::from([("cluster".to_owned(), cluster.to_owned())]),
        services: vec![],
        connection: Connection::Model,
        updates: vec![],
        rollback_mode: RollbackMode::Snapshot,
        omitted: Vec::new(),
        expected_seconds: 0,
        reboot_pending: false,
        unverified: None,
        transaction: Default::default(),
        owner_email: None,
        bootstrap_python: false,
    }
}

/// Hosts `name-1..=count` of one service of that name.
pub fn add_service(request: &mut PlanRequest, name: &str, count: u32, min_up: u32, criticality: u8) {
    request.graph.services.insert(id(name), ServiceNode { min_up });
    for number in 1..=count {
        let host = id(&format!("{name}-{number}"));
        let services = BTreeSet::from([id(name)]);
        request.graph.hosts.insert(host.clone(), HostNode { services, criticality, severity: 5.0, up: true });
        request.targets.insert(host, target("one"));
    }
}

pub fn depends(request: &mut PlanRequest, source: &str, target: &str, compatibility: Compatibility) {
    request.graph.edges.push(HostEdge { source: id(source), target: id(target), compatibility });
}

/// `name: hosts` of each wave.
pub fn shape(plan: &Plan) -> Vec<String> {
    plan.waves
        .iter()
        .map(|wave| {
            let hosts: Vec<&str> = wave.hosts.iter().map(CiId::as_str).collect();
            format!("{}: {}", wave.name, hosts.join(" "))
        })
        .collect()
}

pub fn codes(plan: &Plan) -> Vec<&str> {
    let mut codes: Vec<&str> =
        plan.notes.iter().map(|n| n.code.as_str()).filter(|code| *code != "nothing-to-install").collect();
    codes.dedup();
    codes
}
