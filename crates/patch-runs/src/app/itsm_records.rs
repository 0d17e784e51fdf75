//! What ITSM keeps of a run, within its limits however large the run is. What does not fit is counted.

use std::{cmp::Reverse, collections::BTreeMap};

use api_types::itsm::limits;
use domain::{
    ids::CiId,
    plan::Plan,
    run::{HostRun, HostState},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::store::runs::RunRow;

/// Services and remarks of a plan that its change keeps.
const MOST_KEPT: usize = 500;
/// Room for the count of what is left out, and for the rest of the evidence.
const REST_CHARACTERS: usize = 100;
const REST_BYTES: usize = 16 * 1024;

/// A subject: one line.
pub fn line(text: &str) -> String {
    text.chars().take(limits::LINE).collect()
}

/// Parts of a text, as many as fit.
pub fn prose(parts: impl IntoIterator<Item = String>, separator: &str) -> String {
    let mut parts = parts.into_iter();
    let (mut text, mut length) = (String::new(), 0);
    while let Some(part) = parts.next() {
        let added = part.chars().count() + separator.len();
        if length + added > limits::TEXT - REST_CHARACTERS {
            return format!("{text}{separator}and {} more", parts.count() + 1);
        }
        if length > 0 {
            text += separator;
        }
        text += &part;
        length += added;
    }
    text
}

/// What an approver's tools read of a plan beside its text.
pub fn plan_evidence(row: &RunRow, plan: &Plan) -> Value {
    let services: BTreeMap<_, _> = plan
        .services
        .iter()
        .take(MOST_KEPT)
        .map(|(id, service)| (id, json!({ "min_up": service.min_up, "members": service.members.len() })))
        .collect();
    json!({
        "run_id": row.id,
        "strategy": plan.strategy,
        "prediction": row.prediction,
        "services": services,
        "services_omitted": plan.services.len() - services.len(),
        "notes": plan.notes.iter().take(MOST_KEPT).collect::<Vec<_>>(),
        "notes_omitted": plan.notes.len().saturating_sub(MOST_KEPT),
    })
}

/// What the change keeps of the work.
pub fn work_evidence(row: &RunRow) -> Value {
    let hosts = &row.machine.hosts;
    let mut by_state: BTreeMap<HostState, usize> = BTreeMap::new();
    for host in hosts.values() {
        *by_state.entry(host.state).or_default() += 1;
    }
    let by_state: BTreeMap<_, _> = by_state.into_iter().map(|(state, count)| (state.name(), count)).collect();
    let kept = hosts_within(hosts, limits::EVIDENCE - REST_BYTES);
    json!({
        "run_id": row.id,
        "plan_hash": row.plan_hash,
        "host_states": by_state,
        "hosts": kept,
        "hosts_omitted": hosts.len() - kept.len(),
        "report": format!("/patch/runs/{}/report", row.id),
    })
}

/// As many hosts as fit into so many bytes of JSON, those that failed first.
fn hosts_within(hosts: &BTreeMap<CiId, HostRun>, bytes: usize) -> BTreeMap<&CiId, &HostRun> {
    let mut ordered: Vec<_> = hosts.iter().collect();
    ordered.sort_by_key(|(_, host)| Reverse(host.has_failed()));
    let mut left = bytes;
    let fits = |(id, host): &(&CiId, &HostRun)| {
        let size = json_bytes(id) + json_bytes(host) + 2;
        let fits = size <= left;
        left = left.saturating_sub(size);
        fits
    };
    ordered.into_iter().take_while(fits).collect()
}

fn json_bytes(value: &impl Serialize) -> usize {
    // What cannot be written takes up no room.
    serde_json::to_vec(value).map_or(0, |json| json.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(count: usize, failed: &[usize]) -> BTreeMap<CiId, HostRun> {
        let host = |number: usize| {
            let state = if failed.contains(&number) { HostState::Failed } else { HostState::Succeeded };
            (CiId::new(format!("host-{number:05}")).unwrap(), HostRun { state, ..HostRun::default() })
        };
        (0..count).map(host).collect()
    }

    #[test]
    fn hosts_that_fit_are_all_kept() {
        let hosts = hosts(20, &[3]);
        assert_eq!(hosts_within(&hosts, limits::EVIDENCE).len(), 20);
    }

    #[test]
    fn failed_hosts_are_kept_before_others() {
        let hosts = hosts(30_000, &[29_000, 29_999]);
        let kept = hosts_within(&hosts, 100_000);
        assert!(serde_json::to_vec(&kept).unwrap().len() <= 100_000);
        assert!(kept.len() > 100, "{}", kept.len());
        for host in ["host-29000", "host-29999", "host-00000"] {
            assert!(kept.contains_key(&CiId::new(host).unwrap()), "{host}");
        }
    }

    #[test]
    fn text_that_does_not_fit_counts_the_rest() {
        assert_eq!(prose(["a".to_owned(), "b".to_owned()], "; "), "a; b");
        let text = prose((0..5_000).map(|number| format!("wave-{number}: 7 hosts")), "; ");
        assert!(text.chars().count() <= limits::TEXT);
        let shown = text.matches("7 hosts").count();
        assert!(text.ends_with(&format!("; and {} more", 5_000 - shown)), "{}", &text[text.len() - 60..]);
    }
}
