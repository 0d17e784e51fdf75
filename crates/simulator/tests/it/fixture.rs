//! A small fleet: web (3, needs 2) on db (2, needs 1), every duration fixed, nothing ever fails.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    ids::CiId,
    package::Packaging,
    plan::{Connection, Intent, Target},
    quantity::HostCount,
    strategy::Strategy,
    workflow::{HostWorkflow, Reboot, Rollback, RollbackMode},
};
use planner::{Compatibility, HostEdge, HostGraph, HostNode, PlanRequest, ServiceNode};
use simulator::{Distribution, DurationModel, HostModel};

pub fn id(text: &str) -> CiId {
    CiId::new(text).unwrap()
}

pub fn request(strategy: Strategy) -> PlanRequest {
    let mut graph = HostGraph::default();
    let mut targets = BTreeMap::new();
    for (service, count, min_up, criticality) in [("web", 3, 2, 2), ("db", 2, 1, 5)] {
        graph.services.insert(id(service), ServiceNode { min_up });
        for number in 1..=count {
            let host = id(&format!("{service}-{number}"));
            let node =
                HostNode { services: BTreeSet::from([id(service)]), criticality, severity: 10.0, up: true };
            graph.hosts.insert(host.clone(), node);
            targets.insert(host, target());
        }
    }
    let edge = HostEdge { source: id("web-1"), target: id("db-1"), compatibility: Compatibility::Compatible };
    graph.edges.push(edge);
    PlanRequest {
        intent: Intent::Patch,
        strategy,
        targets,
        staging: BTreeSet::new(),
        pilot_host_count: 0,
        clusters_in_turn: None,
        graph,
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
        staging_tests: vec![],
        workflow: HostWorkflow::default(),
        reboot: Reboot::Always,
        rollback: Rollback::Auto,
        snapshot_retention_hours: Some(72),
    }
}

fn target() -> Target {
    Target {
        os: "debian12".into(),
        packaging: Packaging::Dpkg,
        tags: BTreeMap::new(),
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

/// Snapshots 10 s, update 100 s, reboot 50 s, rollback 20 s, tests and verification 5 s.
pub fn exact() -> DurationModel {
    let fixed = Distribution::fixed;
    DurationModel {
        host: HostModel {
            update: fixed(100.0),
            reboot: fixed(50.0),
            reboot_probability: 1.0,
            failure_probability: 0.0,
            lost_probability: 0.0,
            rollback: fixed(20.0),
            rollback_failure_probability: 0.0,
        },
        by_kind: BTreeMap::new(),
        by_host: BTreeMap::new(),
        forks: 24,
        snapshots: fixed(10.0),
        tests: fixed(5.0),
        verification: fixed(5.0),
        unpatched_exposure_seconds: 1000,
    }
}
