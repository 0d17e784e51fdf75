//! Plans of hosts, as a run would carry them out.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    ids::CiId,
    package::Packaging,
    plan::{Connection, Intent, Target},
    quantity::HostCount,
    strategy::Strategy,
    workflow::{HostWorkflow, Reboot, Rollback, RollbackMode},
};
use planner::{HostGraph, HostNode, PlanRequest, ServiceNode, host_plan};
use simulator::{DurationModel, forecast};

use super::{Failure, SEED};

pub const SIZES: [usize; 4] = [24, 200, 1_000, 10_000];
/// Plays of one measured forecast.
pub const PLAYS: u32 = 100;
const SERVICE_SIZE: usize = 10;
const MIN_UP: u32 = 8;

/// A plan with the graph that its forecast plays on.
pub struct Planned {
    plan: domain::plan::Plan,
    graph: HostGraph,
}

impl Planned {
    /// `hosts` hosts in services of ten, eight of which must be up, patched as a rolling update.
    pub fn new(hosts: usize) -> Result<Self, Failure> {
        let mut graph = HostGraph::default();
        let mut targets = BTreeMap::new();
        for number in 0..hosts {
            let service = CiId::new(format!("service-{:04}", number / SERVICE_SIZE))?;
            let host = CiId::new(format!("host-{number:05}"))?;
            graph.services.insert(service.clone(), ServiceNode { min_up: MIN_UP });
            let criticality = u8::try_from(1 + number % 5)?;
            let services = BTreeSet::from([service]);
            graph.hosts.insert(host.clone(), HostNode { services, criticality, severity: 7.5, up: true });
            targets.insert(host, target());
        }
        let request = request(graph, targets);
        Ok(Self { plan: host_plan(&request), graph: request.graph })
    }

    pub fn forecast(&self) -> simulator::Forecast {
        forecast(&self.plan, &self.graph, &DurationModel::default(), PLAYS, SEED)
    }
}

fn request(graph: HostGraph, targets: BTreeMap<CiId, Target>) -> PlanRequest {
    PlanRequest {
        intent: Intent::Patch,
        strategy: Strategy::Rolling,
        targets,
        staging: BTreeSet::new(),
        pilot_host_count: 2,
        clusters_in_turn: None,
        pin: Default::default(),
        graph,
        max_parallel: HostCount::Percent(25),
        max_unavailable: None,
        error_threshold: HostCount::Percent(20),
        retries: 1,
        forks: None,
        unscanned: BTreeMap::new(),
        not_ready: BTreeMap::new(),
        up_to_date: 0,
        soak_seconds: 0,
        staging_tests: Vec::new(),
        workflow: HostWorkflow::default(),
        reboot: Reboot::IfRequired,
        rollback: Rollback::Auto,
        snapshot_retention_hours: Some(72),
    }
}

fn target() -> Target {
    Target {
        os: "debian12".into(),
        packaging: Packaging::Dpkg,
        tags: BTreeMap::new(),
        services: Vec::new(),
        connection: Connection::Model,
        updates: Vec::new(),
        rollback_mode: RollbackMode::Snapshot,
        omitted: Vec::new(),
        expected_seconds: 0,
        reboot_pending: false,
        unverified: None,
        transaction: Default::default(),
        bootstrap_python: false,
        owner_email: None,
    }
}
