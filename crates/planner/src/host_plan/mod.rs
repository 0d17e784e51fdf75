//! Plans of hosts: which go first, which go together, and the gates between them.
//!
//! Every strategy but `bigbang` keeps the same budgets: a wave has at most `max_parallel` hosts, no service loses more
//! members than it can spare or than `max_unavailable`, hosts that are incompatible with each other share a wave if the
//! budgets permit. Staging comes before pilots and pilots before all others: the policy requires it, whatever the
//! strategy. A strategy decides the order in which hosts are offered a place.
//!
//! | strategy | on hosts |
//! | --- | --- |
//! | `bigbang` | all at once, without respect for the budgets; the linter refuses the plan if it breaks one |
//! | `rolling` | most critical first, then most severe: the worst exposure is patched first |
//! | `batch_rolling` | one service after the other, each in batches of `max_unavailable`, in order of ids |
//! | `canary` | the least important member of each service, a pause, then as `rolling` |
//! | `bluegreen` | refused: no driver replaces hosts |
//! | `dep_greedy` | a host after all hosts it depends on; of those ready, the riskiest first |
//! | `hybrid` | riskiest first, with a pause of at least 30 s after each wave |
//!
//! Risk is severity x criticality x (1 + number of dependencies in and out). Ties go by id.

mod fleet;
mod order;

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    ids::CiId,
    pin::Pin,
    plan::{Gate, Intent, Limits, Plan, ServiceBudget, Target, Wave, WaveKind},
    preflight::PreflightFailure,
    quantity::HostCount,
    strategy::Strategy,
    workflow::{HostTest, HostWorkflow, Reboot, Rollback},
};

use self::fleet::Fleet;
use crate::{graph::HostGraph, lint::lint};

/// Seconds of pause after the last canary, however short the policy's soak time is.
const CANARY_PAUSE_SECONDS: u32 = 60;
/// Seconds of pause after each wave of `hybrid`, however short the policy's soak time is.
const GUARDRAIL_PAUSE_SECONDS: u32 = 30;

/// The input of a plan.
#[derive(Debug, Clone)]
pub struct PlanRequest {
    pub intent: Intent,
    pub strategy: Strategy,
    pub targets: BTreeMap<CiId, Target>,
    /// Targets that are patched and tested before all others.
    pub staging: BTreeSet<CiId>,
    /// Hosts of each cluster (tag `cluster`) that go before the rest of it. Hosts without the tag count as one cluster.
    pub pilot_host_count: u32,
    /// One cluster after the other, these first; absent: all together.
    pub clusters_in_turn: Option<Vec<String>>,
    pub graph: HostGraph,
    /// A percentage is relative to the targets.
    pub max_parallel: HostCount,
    /// Members of each service that may be down at once; a percentage is relative to its members. Hosts without a service
    /// count as one service. Absent: as many as `min_up` allows.
    pub max_unavailable: Option<HostCount>,
    /// A percentage is relative to the targets.
    pub error_threshold: HostCount,
    pub retries: u32,
    /// Hosts that one playbook works on at once; absent: no limit.
    pub forks: Option<u32>,
    /// Selected hosts that could not be scanned, and why.
    pub unscanned: BTreeMap<CiId, String>,
    /// Selected hosts that do not pass preflight, and the checks that they fail.
    pub not_ready: BTreeMap<CiId, Vec<PreflightFailure>>,
    /// How many selected hosts have nothing to install.
    pub up_to_date: u32,
    pub pin: Pin,
    pub soak_seconds: u32,
    pub staging_tests: Vec<HostTest>,
    pub workflow: HostWorkflow,
    pub reboot: Reboot,
    pub rollback: Rollback,
    pub snapshot_retention_hours: Option<u32>,
}

impl PlanRequest {
    /// Relative to the targets without a service. Absent if there are none.
    fn max_unavailable_without_service(&self) -> Option<u32> {
        let is_alone = |host: &CiId| self.graph.hosts.get(host).is_none_or(|node| node.services.is_empty());
        let alone = self.targets.keys().filter(|host| is_alone(host)).count();
        self.max_unavailable.filter(|_| alone > 0).map(|most| saturating(most.of(alone)))
    }
}

/// Makes the plan and lints it: its `notes` are the findings, and an `error` among them forbids its execution.
pub fn host_plan(request: &PlanRequest) -> Plan {
    let total = request.targets.len();
    let limits = Limits {
        max_parallel: saturating(request.max_parallel.of(total).max(1)),
        error_threshold: saturating(request.error_threshold.of(total)),
        retries: request.retries,
        forks: request.forks,
        max_unavailable_without_service: request.max_unavailable_without_service(),
    };
    let mut plan = Plan {
        intent: request.intent.clone(),
        strategy: request.strategy,
        waves: waves(request, limits.max_parallel as usize),
        targets: request.targets.clone(),
        services: service_budgets(request),
        limits,
        workflow: request.workflow.clone(),
        reboot: request.reboot,
        rollback: request.rollback,
        snapshot_retention_hours: request.snapshot_retention_hours,
        staging_tests: request.staging_tests.clone(),
        unscanned: request.unscanned.clone(),
        not_ready: request.not_ready.clone(),
        up_to_date: request.up_to_date,
        pin: request.pin,
        notes: Vec::new(),
    };
    plan.notes = lint(&plan, &request.graph);
    plan
}

fn waves(request: &PlanRequest, max_parallel: usize) -> Vec<Wave> {
    let fleet = Fleet::new(request, max_parallel);
    let (staging, production): (Vec<usize>, Vec<usize>) =
        (0..fleet.hosts.len()).partition(|host| request.staging.contains(fleet.hosts[*host]));
    let mut builder = Builder { request, fleet: &fleet, waves: Vec::new() };

    builder.add("staging", WaveKind::Staging, order::by_strategy(&fleet, request.strategy, &staging));

    match &request.clusters_in_turn {
        None => builder.add_production("", production),
        Some(first) => {
            for (cluster, hosts) in order::clusters_in_turn(&fleet, &production, first) {
                let prefix =
                    if cluster.is_empty() { "no-cluster-".to_owned() } else { format!("{cluster}-") };
                builder.add_production(&prefix, hosts);
            }
        }
    }
    builder.finish()
}

struct Builder<'a> {
    request: &'a PlanRequest,
    fleet: &'a Fleet<'a>,
    waves: Vec<Wave>,
}

impl Builder<'_> {
    /// Pilots, then the others. `prefix` begins the names of the waves.
    fn add_production(&mut self, prefix: &str, hosts: Vec<usize>) {
        let (request, fleet) = (self.request, self.fleet);
        let pilots = order::pilots(fleet, &hosts, request.pilot_host_count as usize);
        let waves = |hosts: &[usize]| order::by_strategy(fleet, request.strategy, hosts);
        self.add(&format!("{prefix}pilot"), WaveKind::Pilot, waves(&pilots));
        let mut rest = without(hosts, &pilots);
        if request.strategy == Strategy::Canary {
            let canaries = order::canaries(fleet, &rest, &pilots);
            self.add(&format!("{prefix}canary"), WaveKind::Pilot, waves(&canaries));
            if let Some(last) = self.waves.last_mut().filter(|_| !canaries.is_empty()) {
                last.gate.soak_seconds = last.gate.soak_seconds.max(CANARY_PAUSE_SECONDS);
            }
            rest = without(rest, &canaries);
        }
        self.add(&format!("{prefix}batch"), WaveKind::Batch, waves(&rest));
    }

    fn add(&mut self, name: &str, kind: WaveKind, waves: Vec<Vec<usize>>) {
        let soak_seconds = match self.request.strategy {
            Strategy::Hybrid => self.request.soak_seconds.max(GUARDRAIL_PAUSE_SECONDS),
            _ => self.request.soak_seconds,
        };
        let tests = kind == WaveKind::Staging && !self.request.staging_tests.is_empty();
        for (number, hosts) in waves.into_iter().enumerate() {
            let hosts = hosts.into_iter().map(|host| self.fleet.hosts[host].clone()).collect();
            let name = format!("{name}-{}", number + 1);
            let gate = Gate { tests, soak_seconds };
            self.waves.push(Wave { name, kind, hosts, gate, start: None, checks: Vec::new() });
        }
    }

    /// Nothing follows the last wave, so there is no wait after it.
    fn finish(mut self) -> Vec<Wave> {
        if let Some(last) = self.waves.last_mut() {
            last.gate.soak_seconds = 0;
        }
        self.waves
    }
}

/// Services with at least one target among their members; the plan does not affect the others.
fn service_budgets(request: &PlanRequest) -> BTreeMap<CiId, ServiceBudget> {
    let members = request.graph.members();
    let touched =
        members.into_iter().filter(|(_, hosts)| hosts.iter().any(|host| request.targets.contains_key(*host)));
    touched
        .map(|(service, hosts)| {
            let members: Vec<CiId> = hosts.into_iter().cloned().collect();
            let max_unavailable = request.max_unavailable.map(|most| saturating(most.of(members.len())));
            (
                service.clone(),
                ServiceBudget { min_up: request.graph.min_up(service), members, max_unavailable },
            )
        })
        .collect()
}

fn without(hosts: Vec<usize>, taken: &[usize]) -> Vec<usize> {
    let taken: BTreeSet<usize> = taken.iter().copied().collect();
    hosts.into_iter().filter(|host| !taken.contains(host)).collect()
}

fn saturating(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
