//! The records of a run as events: the steps of every attempt, the ends of the hosts, the waves.

use std::collections::BTreeMap;

use api_types::patch::{HostStatus, HostStepState};
use chrono::{DateTime, Utc};
use domain::{
    ids::CiId,
    plan::Plan,
    run::{HostState, RunState},
};
use simulator::trace::Happening;

use super::{Told, state_text, wave_text};
use crate::store::{host_steps::TimedStep, runs::RunRow};

/// In the order of time; the end of the run is last.
pub(super) fn told(
    row: &RunRow,
    plan: &Plan,
    started_at: DateTime<Utc>,
    hosts: &[HostStatus],
    steps: Vec<TimedStep>,
) -> Vec<Told> {
    let since = |at: DateTime<Utc>| (at - started_at).num_milliseconds().max(0).unsigned_abs();
    let mut told = waves(plan, &steps, since);
    for step in steps {
        let state = step.step.host_state();
        let name = step.step.name().replace('_', " ");
        let host = step.host;
        // A step that was skipped took no time and changed nothing.
        if step.state == HostStepState::Skipped {
            continue;
        }
        let text = format!("{host}: {name} begins");
        told.push(Told {
            at_ms: since(step.started_at),
            what: Happening::Host { host: host.clone(), state },
            text,
        });
        if let (HostStepState::Failed, Some(ended_at)) = (step.state, step.ended_at) {
            let detail = step.detail.map_or(String::new(), |detail| format!(": {detail}"));
            let text = format!("{host}: {name} fails{detail}");
            let what = Happening::Host { host, state: HostState::Failed };
            told.push(Told { at_ms: since(ended_at), what, text });
        }
    }
    for host in hosts {
        if let Some(ended_at) = host.ended_at {
            let text = format!("{}: {}", host.ci_id, state_text(host.state));
            let what = Happening::Host { host: host.ci_id.clone(), state: host.state };
            told.push(Told { at_ms: since(ended_at), what, text });
        }
    }
    // Stable: what is at the same instant stays in its order, the end of a host behind its steps.
    told.sort_by_key(|told| told.at_ms);
    let ended_at = row.ended_at.unwrap_or(started_at);
    let last = told.last().map_or(0, |last| last.at_ms);
    let text = format!("the run ends: {}", row.state.name().replace('_', " "));
    let what = Happening::Ends { halted: row.state == RunState::Halted };
    told.push(Told { at_ms: since(ended_at).max(last), what, text });
    told
}

/// A wave begins with the first step on one of its hosts.
fn waves(plan: &Plan, steps: &[TimedStep], since: impl Fn(DateTime<Utc>) -> u64) -> Vec<Told> {
    let mut first: BTreeMap<&CiId, DateTime<Utc>> = BTreeMap::new();
    for step in steps {
        let known = first.entry(&step.host).or_insert(step.started_at);
        *known = (*known).min(step.started_at);
    }
    let begin = |(index, wave): (usize, &domain::plan::Wave)| {
        let at = wave.hosts.iter().filter_map(|host| first.get(host)).min()?;
        Some(Told { at_ms: since(*at), what: Happening::WaveBegins(index), text: wave_text(plan, index) })
    };
    plan.waves.iter().enumerate().filter_map(begin).collect()
}
