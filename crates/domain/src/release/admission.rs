//! Which customers of a wave may be deployed to now: the decision behind [`crate::run::Action::Admit`].

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    customer::Customer,
    deployment::{Deployment, Direction, WaveStart},
    version::Version,
};
use crate::{
    ids::CiId,
    plan::{Intent, Plan},
};

/// What is known at the moment of the decision.
#[derive(Debug, Clone)]
pub struct Facts {
    pub now: DateTime<Utc>,
    /// When the waves' delays began to count: the end of the demo, or the beginning of the execution.
    pub delays_since: DateTime<Utc>,
    /// When the wave began to wait.
    pub waiting_since: DateTime<Utc>,
    /// By customer of the question.
    pub customers: BTreeMap<CiId, CustomerFacts>,
    /// Customers of this rollout that already run it and are unhealthy now, and why.
    pub unhealthy: BTreeMap<CiId, String>,
    /// Total hours during which customers of this rollout were watched and healthy.
    pub healthy_hours: f64,
    /// Customers of this rollout that failed or were rolled back.
    pub failures: u32,
    /// The promotion was signed off.
    pub signed_off: bool,
}

#[derive(Debug, Clone)]
pub struct CustomerFacts {
    pub version: Version,
    /// Why it must not be deployed to at all: pinned, paused, gone.
    pub held: Option<String>,
    pub freezes: Vec<String>,
    pub noticed_at: Option<DateTime<Utc>>,
}

/// The answer for a wave.
#[derive(Debug, Clone, PartialEq)]
pub enum Admission {
    /// Customers that may start now, and those that never may, each with its reason.
    Admitted {
        customers: BTreeSet<CiId>,
        left_out: BTreeMap<CiId, String>,
    },
    NotYet {
        reason: String,
        retry_at: DateTime<Utc>,
    },
    Never {
        reason: String,
    },
}

/// Interval between checks of a condition without a known time, such as a customer's health.
const CHECK_INTERVAL: TimeDelta = TimeDelta::minutes(1);
/// Interval between checks of a freeze, whose end is not known here.
const FREEZE_CHECK_INTERVAL: TimeDelta = TimeDelta::minutes(5);

/// Decides which of `customers` may start now. Times are compared only with `facts.now`, so a clock that jumps can delay a
/// wave, but never start it twice.
pub fn admit(plan: &Plan, wave: usize, customers: &BTreeSet<CiId>, facts: &Facts) -> Admission {
    let Some((wave, deployment)) = plan.waves.get(wave).zip(deployment_of(plan)) else {
        return Admission::Never { reason: "the plan has no such wave of customers".to_owned() };
    };
    let start = wave.start.clone().unwrap_or_default();
    let left_out = left_out(deployment, customers, facts);
    let candidates: Vec<&CiId> =
        customers.iter().filter(|customer| !left_out.contains_key(*customer)).collect();
    if candidates.is_empty() {
        return Admission::Admitted { customers: BTreeSet::new(), left_out };
    }
    if facts.now >= facts.waiting_since + seconds(start.longest_wait_seconds) {
        let days = start.longest_wait_seconds / 86_400;
        return Admission::Never { reason: format!("`{}` could not start within {days} days", wave.name) };
    }
    if let Some(not_yet) = held_back(&wave.name, &start, facts) {
        return not_yet;
    }
    let waits = candidates.iter().map(|id| (*id, wait_of(deployment, &start, id, facts)));
    let (mut admitted, mut soonest) = (BTreeSet::new(), None::<(DateTime<Utc>, String)>);
    for (id, wait) in waits {
        match wait {
            None => drop(admitted.insert(id.clone())),
            Some(wait) => {
                if soonest.as_ref().is_none_or(|(at, _)| wait.0 < *at) {
                    soonest = Some(wait);
                }
            }
        }
    }
    match (admitted.is_empty(), soonest) {
        (true, Some((retry_at, reason))) => Admission::NotYet { reason, retry_at },
        _ => Admission::Admitted { customers: admitted, left_out },
    }
}

fn deployment_of(plan: &Plan) -> Option<&Deployment> {
    match &plan.intent {
        Intent::Deploy(deployment) => Some(deployment),
        _ => None,
    }
}

/// Why a customer may no longer start: it is too late, or it was taken out after the plan was made.
fn left_out(deployment: &Deployment, customers: &BTreeSet<CiId>, facts: &Facts) -> BTreeMap<CiId, String> {
    let reason = |id: &CiId| {
        let Some(target) = deployment.customers.get(id) else {
            return Some("it is not part of the plan".to_owned());
        };
        let Some(known) = facts.customers.get(id) else {
            return Some("the customer no longer exists".to_owned());
        };
        if let Some(held) = &known.held {
            return Some(held.clone());
        }
        match deployment.direction {
            Direction::Forward if known.version == target.to => {
                Some(format!("another rollout already deployed {}", known.version))
            }
            Direction::Forward if known.version > target.to => {
                Some(format!("it already runs {}: a rollout never downgrades", known.version))
            }
            Direction::RollBack if known.version != target.from => {
                Some(format!("it now runs {}, not {}", known.version, target.from))
            }
            _ => None,
        }
    };
    customers.iter().filter_map(|id| Some((id.clone(), reason(id)?))).collect()
}

/// What the whole wave waits for: delay, evidence, health of the customers before it.
fn held_back(name: &str, start: &WaveStart, facts: &Facts) -> Option<Admission> {
    let not_yet = |reason: String, retry_at: DateTime<Utc>| Some(Admission::NotYet { reason, retry_at });
    let opens = facts.delays_since + seconds(start.delay_seconds);
    match &start.evidence {
        Some(rule) if start.delay_seconds > 0 => {
            let wanted = rule.hours_wanted();
            let limit = facts.delays_since + TimeDelta::hours(i64::from(rule.time_limit_hours));
            let is_proven = facts.failures == 0 && facts.healthy_hours >= wanted;
            if !is_proven && (facts.now < limit || !facts.signed_off) {
                let so_far = format!(
                    "{:.1} of {wanted:.1} healthy customer-hours, {} failures",
                    facts.healthy_hours, facts.failures
                );
                return if facts.now >= limit {
                    not_yet(
                        format!("`{name}` waits for a sign-off: {so_far} after {} h", rule.time_limit_hours),
                        facts.now + CHECK_INTERVAL,
                    )
                } else {
                    not_yet(format!("`{name}` gathers evidence: {so_far}"), facts.now + CHECK_INTERVAL)
                };
            }
        }
        _ if facts.now < opens => {
            return not_yet(
                format!("`{name}` starts {} after the demo", span_text(start.delay_seconds)),
                opens,
            );
        }
        _ => {}
    }
    let (customer, why) = facts.unhealthy.iter().next()?;
    not_yet(format!("`{name}` waits until `{customer}` is healthy: {why}"), facts.now + CHECK_INTERVAL)
}

/// What one customer waits for: until when, and why.
fn wait_of(
    deployment: &Deployment,
    start: &WaveStart,
    id: &CiId,
    facts: &Facts,
) -> Option<(DateTime<Utc>, String)> {
    let (target, known) = (deployment.customers.get(id)?, facts.customers.get(id)?);
    if let Some(notice) = start.notice_seconds {
        let until = known.noticed_at.map_or(facts.now + CHECK_INTERVAL, |at| at + seconds(notice));
        if facts.now < until {
            return Some((until, format!("`{id}` must be notified {} before", span_text(notice))));
        }
    }
    if let Some(freeze) = known.freezes.first() {
        return Some((facts.now + FREEZE_CHECK_INTERVAL, format!("`{id}` is frozen: {freeze}")));
    }
    if target.windows.is_empty() || target.windows.iter().any(|window| window.admits_start(facts.now)) {
        return None;
    }
    let opens = Customer::next_start(&target.windows, facts.now);
    let longest = facts.now + TimeDelta::days(1);
    match opens {
        Some(opens) => Some((opens, format!("the window of `{id}` opens at {}", local(opens, target)))),
        None => Some((longest, format!("no window of `{id}` ever opens"))),
    }
}

/// The time in the customer's time zone.
fn local(at: DateTime<Utc>, target: &super::deployment::CustomerTarget) -> String {
    match target.windows.first() {
        Some(window) => {
            at.with_timezone(&window.fields().time_zone).format("%a %Y-%m-%d %H:%M %Z").to_string()
        }
        None => at.format("%a %Y-%m-%d %H:%M UTC").to_string(),
    }
}

fn seconds(seconds: u32) -> TimeDelta {
    TimeDelta::seconds(i64::from(seconds))
}

/// `90 min`, `12 h`, `3 d`.
pub(super) fn span_text(seconds: u32) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        s if s >= 172_800 && s % 86_400 == 0 => format!("{} d", s / 86_400),
        s if s >= 3600 && s % 3600 == 0 => format!("{} h", s / 3600),
        s => format!("{} min", s / 60),
    }
}
