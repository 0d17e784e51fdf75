//! From a release, its policy and the customers to a plan.

use std::collections::BTreeMap;

use super::{
    customer::Customer,
    deployment::{CustomerTarget, Deployment, Direction, WaveStart},
    kinds::{ReleaseKind, Tier, Urgency},
    policy::{NoticeTime, ReleasePolicies, RollbackProcess},
    version::Version,
};
use crate::{
    ids::CiId,
    plan::{Gate, Intent, Limits, Note, NoteSeverity, Plan, Wave, WaveKind},
    strategy::Strategy,
    time::WindowError,
    workflow::{HostWorkflow, Reboot, Rollback},
};

/// The input of the planning.
#[derive(Debug, Clone)]
pub struct PlanRelease<'a> {
    pub version: Version,
    pub kind: ReleaseKind,
    pub urgency: Urgency,
    pub artefact: Option<String>,
    pub rollback_artefact: Option<String>,
    pub direction: Direction,
    /// All tiers at once after validation and demo; no windows, delays or notices.
    pub emergency: bool,
    /// A rollback now, even if its process would wait for a window.
    pub at_once: bool,
    pub policies: &'a ReleasePolicies,
    pub customers: &'a [Customer],
    /// For a rollback: the version that each customer returns to.
    pub previous: BTreeMap<CiId, Version>,
}

/// A customer that the plan does not touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    pub customer: CiId,
    pub reason: String,
}

#[derive(Debug, Clone)]
pub struct Planned {
    pub plan: Plan,
    pub left_out: Vec<LeftOut>,
}

/// Makes the plan: validation, demo, then a wave per tier.
pub fn plan_release(request: &PlanRelease<'_>) -> Result<Planned, WindowError> {
    let policy = request.policies.of(request.kind);
    let back = request.direction == Direction::RollBack;
    let mut left_out = Vec::new();
    let mut customers = BTreeMap::new();
    for customer in request.customers {
        match target(request, customer)? {
            Ok(target) => drop(customers.insert(customer.slug.clone(), target)),
            Err(reason) => left_out.push(LeftOut { customer: customer.slug.clone(), reason }),
        }
    }
    let waves = waves(request, &customers);
    let total = customers.len();
    let parallel = request.policies.max_parallel.max(1);
    let plan = Plan {
        strategy: Strategy::Canary,
        waves,
        targets: BTreeMap::new(),
        services: BTreeMap::new(),
        limits: Limits {
            max_parallel: parallel,
            // A rollback continues whatever happens: a customer that
            // could not be rolled back raises an alert and does not delay the others.
            error_threshold: if back {
                u32::MAX
            } else {
                u32::try_from(request.policies.halt_after.of(total)).unwrap_or(u32::MAX)
            },
            retries: 0,
            forks: None,
            max_unavailable_without_service: None,
        },
        workflow: HostWorkflow {
            host_timeout_seconds: request.policies.deployment_timeout_seconds,
            ..HostWorkflow::default()
        },
        reboot: Reboot::Never,
        // A customer that the run counts as failed is rolled back. Whether bad health by itself is a failure depends on the
        // release type's trigger, which the health watch applies.
        rollback: if back { Rollback::Never } else { Rollback::Auto },
        snapshot_retention_hours: None,
        staging_tests: Vec::new(),
        unscanned: BTreeMap::new(),
        not_ready: BTreeMap::new(),
        up_to_date: 0,
        pin: Default::default(),
        notes: notes(&left_out),
        intent: Intent::Deploy(Box::new(Deployment {
            version: request.version,
            direction: request.direction,
            release_kind: request.kind,
            urgency: request.urgency,
            emergency: request.emergency,
            artefact: request.artefact.clone(),
            rollback_artefact: request.rollback_artefact.clone(),
            customers,
            health: request.policies.health.clone(),
            monitoring_hours: policy.monitoring_hours,
            rollback: policy.rollback,
            notice: policy.notice.clone(),
            deployment_timeout_seconds: request.policies.deployment_timeout_seconds,
        })),
    };
    Ok(Planned { plan, left_out })
}

/// The customer as a target of the plan, or why it is left out.
fn target(
    request: &PlanRelease<'_>,
    customer: &Customer,
) -> Result<Result<CustomerTarget, String>, WindowError> {
    let (from, version) = (customer.current_version, request.version);
    let to = match request.direction {
        Direction::RollBack => match request.previous.get(&customer.slug) {
            Some(previous) => *previous,
            None => return Ok(Err("its previous version is not known".to_owned())),
        },
        Direction::Forward => version,
    };
    if request.direction == Direction::Forward
        && let Some(reason) = why_not(customer, version)
    {
        return Ok(Err(reason));
    }
    let windows =
        if keeps_to_windows(request, customer) { customer.maintenance_windows()? } else { Vec::new() };
    Ok(Ok(CustomerTarget {
        name: customer.name.clone(),
        tier: customer.tier,
        from,
        to,
        deployer: customer.deployer.clone(),
        health: customer.health.clone(),
        baseline: customer.baseline,
        windows,
        contacts: customer.contacts.clone(),
        tags: customer.tags.clone(),
    }))
}

fn why_not(customer: &Customer, version: Version) -> Option<String> {
    let current = customer.current_version;
    if let Some(why) = &customer.paused {
        return Some(format!("it is paused: {why}"));
    }
    if let Some(pin) = customer.pinned_to.filter(|pin| *pin < version) {
        return Some(format!("it is pinned to {pin}"));
    }
    if !current.same_line(version) {
        return Some(format!("it runs {current}, which is of another line"));
    }
    match current.cmp(&version) {
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Equal => Some(format!("it already runs {current}")),
        std::cmp::Ordering::Greater => Some(format!("it runs {current}: a rollout never downgrades")),
    }
}

/// Demo installations have no windows: the vendor may change its own installations at any time.
fn keeps_to_windows(request: &PlanRelease<'_>, customer: &Customer) -> bool {
    if request.emergency || customer.tier == Tier::Demo {
        return false;
    }
    if request.direction == Direction::RollBack {
        let process = request.policies.of(request.kind).rollback.process;
        return process == RollbackProcess::Scheduled && !request.at_once;
    }
    let asks_for_windows = request.policies.timing(request.kind, request.urgency).in_windows;
    asks_for_windows || customer.always_in_windows && request.urgency != Urgency::Critical
}

fn waves(request: &PlanRelease<'_>, customers: &BTreeMap<CiId, CustomerTarget>) -> Vec<Wave> {
    let policies = request.policies;
    let timing = policies.timing(request.kind, request.urgency);
    let longest_wait_seconds = policies.longest_wait_days * 86_400;
    let of_tiers = |tiers: &[Tier]| -> Vec<CiId> {
        customers.iter().filter(|(_, c)| tiers.contains(&c.tier)).map(|(id, _)| id.clone()).collect()
    };
    let wave = |name: &str, kind, hosts, start: WaveStart| Wave {
        name: name.to_owned(),
        kind,
        hosts,
        gate: Gate { tests: false, soak_seconds: 0 },
        start: Some(start),
        checks: Vec::new(),
    };
    let plain = || WaveStart { longest_wait_seconds, ..WaveStart::default() };
    let mut waves = Vec::new();
    if request.direction == Direction::RollBack {
        waves.push(wave("rollback", WaveKind::Batch, of_tiers(&Tier::ALL), plain()));
        return waves;
    }
    if !policies.validation.is_empty() || customers.is_empty() {
        let mut validation = wave("validation", WaveKind::Staging, Vec::new(), plain());
        validation.checks = policies.validation.clone();
        waves.push(validation);
    }
    let demo = of_tiers(&[Tier::Demo]);
    if !demo.is_empty() {
        let mut demo = wave("demo", WaveKind::Staging, demo, plain());
        demo.checks = policies.smoke_tests.clone();
        waves.push(demo);
    }
    if request.emergency {
        let everybody = of_tiers(&[Tier::Startup, Tier::Standard, Tier::Enterprise]);
        if !everybody.is_empty() {
            waves.push(wave("all tiers", WaveKind::Batch, everybody, plain()));
        }
    } else {
        let notice = &policies.of(request.kind).notice;
        for tier in Tier::ALL.iter().copied().filter(|tier| *tier != Tier::Demo) {
            let hosts = of_tiers(&[tier]);
            if hosts.is_empty() {
                continue;
            }
            let is_told_before = notice.when == NoticeTime::Before && notice.tiers.contains(&tier);
            let delay = timing.delay(tier).span().num_seconds();
            let start = WaveStart {
                delay_seconds: u32::try_from(delay).unwrap_or(u32::MAX),
                notice_seconds: is_told_before.then_some(notice.hours * 3600),
                evidence: policies.evidence,
                longest_wait_seconds,
            };
            waves.push(wave(tier.name(), WaveKind::Batch, hosts, start));
        }
    }
    // The delays give problems of the earlier tiers time to appear; the last tier is watched by its gate.
    if let Some(last) = waves.last_mut().filter(|wave| !wave.hosts.is_empty()) {
        last.gate.soak_seconds = policies.settle_seconds;
    }
    waves
}

fn notes(left_out: &[LeftOut]) -> Vec<Note> {
    let note = |left: &LeftOut| Note {
        severity: NoteSeverity::Info,
        code: "customer-left-out".to_owned(),
        text: format!("`{}` is left out: {}", left.customer, left.reason),
    };
    left_out.iter().map(note).collect()
}
