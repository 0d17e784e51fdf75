//! Finds errors in a plan, whatever its origin.
//!
//! The linter does not trust the planner: it recounts from the plan and the graph. An `error` forbids the plan's execution;
//! the approver decides about a `warning`; an `info` is worth knowing.

mod order;
mod schedule;
mod shape;

use std::collections::BTreeSet;

use domain::{
    ids::CiId,
    plan::{Intent, Note, NoteSeverity, Plan},
    workflow::{Rollback, RollbackMode},
};

use crate::{graph::HostGraph, schedule::Schedule};

/// How many names a note lists before it counts the rest.
const NAMES_LISTED: usize = 5;

/// Findings, most severe first, then by code and text.
pub fn lint(plan: &Plan, graph: &HostGraph) -> Vec<Note> {
    let mut findings = Findings(Vec::new());
    shape::check(plan, &mut findings);
    strategy(plan, &mut findings);
    services(plan, graph, &mut findings);
    order::check(plan, graph, &mut findings);
    hosts(plan, graph, &mut findings);
    sorted(findings.0)
}

/// Findings about the time of a plan's run, in the same order.
pub fn lint_schedule(plan: &Plan, schedule: &Schedule) -> Vec<Note> {
    let mut findings = Findings(Vec::new());
    schedule::check(plan, schedule, &mut findings);
    sorted(findings.0)
}

/// Most severe first, then by code and text.
pub fn sorted(mut notes: Vec<Note>) -> Vec<Note> {
    notes.sort_by(|a, b| {
        b.severity.cmp(&a.severity).then_with(|| a.code.cmp(&b.code)).then_with(|| a.text.cmp(&b.text))
    });
    notes
}

struct Findings(Vec<Note>);

impl Findings {
    fn error(&mut self, code: &str, text: String) {
        self.add(NoteSeverity::Error, code, text);
    }

    fn warning(&mut self, code: &str, text: String) {
        self.add(NoteSeverity::Warning, code, text);
    }

    fn info(&mut self, code: &str, text: String) {
        self.add(NoteSeverity::Info, code, text);
    }

    fn add(&mut self, severity: NoteSeverity, code: &str, text: String) {
        self.0.push(Note { severity, code: code.to_owned(), text });
    }
}

fn strategy(plan: &Plan, findings: &mut Findings) {
    if plan.intent == Intent::Patch
        && let Some(reason) = plan.strategy.refusal_for_hosts()
    {
        findings.error("strategy-not-for-hosts", reason.to_owned());
    }
}

/// Each service keeps `min_up` members through every wave; the first wave that breaks this is named.
fn services(plan: &Plan, graph: &HostGraph, findings: &mut Findings) {
    for (service, budget) in &plan.services {
        let up: BTreeSet<&CiId> = budget.members.iter().filter(|host| graph.is_up(host)).collect();
        let down = budget.members.len() - up.len();
        if down > 0 {
            let text = format!("{down} of {} members of `{service}` are already down", budget.members.len());
            findings.info("service-members-down", text);
        }
        // Only members that serve are lost to the service.
        let taken = |hosts: &[CiId]| hosts.iter().collect::<BTreeSet<_>>().intersection(&up).count();
        let worst = plan.waves.iter().map(|wave| (taken(&wave.hosts), wave)).max_by_key(|(taken, _)| *taken);
        let Some((lost, wave)) = worst.filter(|(lost, _)| *lost > 0) else { continue };
        let left = up.len() - lost;
        if left < budget.min_up as usize {
            let text = format!(
                "`{service}` would keep {left} of {} members up in wave `{}`, but needs {}; add a member, lower its \
                 min_up, or leave {} out",
                budget.members.len(),
                wave.name,
                budget.min_up,
                named(wave.hosts.iter().filter(|host| up.contains(host))),
            );
            findings.error("service-cannot-keep-min-up", text);
        } else if left < budget.must_stay_up() {
            let text = format!(
                "`{service}` would have {} of {} members down in wave `{}`, but at most {} may be unavailable; raise \
                 `max_unavailable`, or choose another strategy",
                down + lost,
                budget.members.len(),
                wave.name,
                budget.max_unavailable.unwrap_or_default(),
            );
            findings.error("more-than-max-unavailable", text);
        } else if left == 0 {
            let text = format!("`{service}` has no member up during wave `{}`", wave.name);
            findings.warning("service-goes-down", text);
        }
    }
    without_service(plan, graph, findings);
}

/// Hosts without a service have a limit of their own.
fn without_service(plan: &Plan, graph: &HostGraph, findings: &mut Findings) {
    let Some(most) = plan.limits.max_unavailable_without_service else { return };
    let members: BTreeSet<&CiId> = plan.services.values().flat_map(|budget| &budget.members).collect();
    let goes_down = |host: &&CiId| !members.contains(host) && graph.is_up(host);
    let is_down = |host: &&CiId| !members.contains(host) && !graph.is_up(host);
    let already = plan.targets.keys().filter(is_down).count();
    for wave in &plan.waves {
        let down = wave.hosts.iter().filter(goes_down).count();
        if down > 0 && down + already > most as usize {
            let text = format!(
                "wave `{}` has {down} hosts without a service, and {already} are down already, but at most {most} may be \
                 unavailable; raise `max_unavailable`, or choose another strategy",
                wave.name
            );
            return findings.error("more-than-max-unavailable", text);
        }
    }
}

/// Findings about each host by itself.
fn hosts(plan: &Plan, graph: &HostGraph, findings: &mut Findings) {
    let unknown = plan.targets.keys().filter(|host| !graph.hosts.contains_key(*host));
    if let Some(hosts) = some_named(unknown) {
        let text = format!("the graph does not know {hosts}; their services cannot be protected");
        findings.warning("host-not-in-graph", text);
    }
    if plan.intent != Intent::Patch {
        return;
    }
    let no_way_back = plan.targets.iter().filter(|(_, target)| target.rollback_mode == RollbackMode::None);
    if let Some(hosts) = some_named(no_way_back.map(|(host, _)| host)) {
        let consequence = match plan.rollback {
            Rollback::Auto => "a failure leaves them as they are, although the policy requires rollback",
            Rollback::Manual | Rollback::Never => "a failure leaves them as they are",
        };
        findings.warning("no-rollback", format!("{hosts} cannot be rolled back; {consequence}"));
    }
    let idle = plan.targets.iter().filter(|(_, target)| target.updates.is_empty());
    if let Some(hosts) = some_named(idle.map(|(host, _)| host)) {
        findings.info("nothing-to-install", format!("there is nothing to install on {hosts}"));
    }
}

/// `a, b and 3 more`; `None` if empty.
fn some_named<'a>(hosts: impl Iterator<Item = &'a CiId>) -> Option<String> {
    let text = named(hosts);
    (!text.is_empty()).then_some(text)
}

fn named<'a>(hosts: impl Iterator<Item = &'a CiId>) -> String {
    let hosts: Vec<String> = hosts.map(|host| format!("`{host}`")).collect();
    match hosts.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [few @ .., last] if few.len() < NAMES_LISTED => format!("{} and {last}", few.join(", ")),
        many => format!("{} and {} more", many[..NAMES_LISTED].join(", "), many.len() - NAMES_LISTED),
    }
}
