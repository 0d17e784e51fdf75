//! What ITSM keeps of a run, within its limits however large the run is. What does not fit is counted.

use std::{cmp::Reverse, collections::BTreeMap};

use api_types::{itsm::limits, patch::HostStatus};
use domain::{ids::CiId, plan::Plan};
use serde::Serialize;
use serde_json::{Value, json};

use super::left_out::left_out;
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

/// What the change keeps of the work: hosts, those that failed first, what was installed on them and what was left out.
pub fn work_evidence(row: &RunRow, plan: Option<&Plan>, statuses: &[HostStatus]) -> Value {
    let hosts = &row.machine.hosts;
    let mut by_state: BTreeMap<&str, usize> = BTreeMap::new();
    for host in hosts.values() {
        *by_state.entry(host.state.name()).or_default() += 1;
    }
    let mut ordered: Vec<_> = hosts.iter().collect();
    ordered.sort_by_key(|(_, host)| Reverse(host.has_failed()));
    let changed: Vec<_> = statuses
        .iter()
        .filter(|host| !host.changed.is_empty())
        .map(|host| (&host.ci_id, &host.changed))
        .collect();
    let left_out = left_out(plan, statuses);
    let left_out: Vec<_> = left_out.iter().collect();
    let share = (limits::EVIDENCE - REST_BYTES) / 3;
    json!({
        "run_id": row.id,
        "plan_hash": row.plan_hash,
        "host_states": by_state,
        "hosts": within(&ordered, share),
        "hosts_omitted": omitted(&ordered, share),
        "packages": {
            "changed": within(&changed, share),
            "changed_omitted": omitted(&changed, share),
            "left_out": within(&left_out, share),
            "left_out_omitted": omitted(&left_out, share),
        },
        "report": format!("/patch/runs/{}/report", row.id),
    })
}

/// The first of these that fit into so many bytes of JSON.
fn within<'a, T: Serialize>(items: &[(&'a CiId, &'a T)], bytes: usize) -> BTreeMap<&'a CiId, &'a T> {
    let mut left = bytes;
    let fits = |(id, item): &(&CiId, &T)| {
        let size = json_bytes(id) + json_bytes(item) + 2;
        let fits = size <= left;
        left = left.saturating_sub(size);
        fits
    };
    items.iter().copied().take_while(fits).collect()
}

fn omitted<T: Serialize>(items: &[(&CiId, &T)], bytes: usize) -> usize {
    items.len() - within(items, bytes).len()
}

fn json_bytes(value: &impl Serialize) -> usize {
    // What cannot be written takes up no room.
    serde_json::to_vec(value).map_or(0, |json| json.len())
}

#[cfg(test)]
mod tests {
    use domain::run::{HostRun, HostState};

    use super::*;

    fn hosts(count: usize) -> BTreeMap<CiId, HostRun> {
        let host = |number: usize| {
            let state = HostState::Succeeded;
            (CiId::new(format!("host-{number:05}")).unwrap(), HostRun { state, ..HostRun::default() })
        };
        (0..count).map(host).collect()
    }

    #[test]
    fn evidence_keeps_what_fits_and_counts_the_rest() {
        let hosts = hosts(30_000);
        let items: Vec<_> = hosts.iter().collect();
        let kept = within(&items, 100_000);
        assert!(serde_json::to_vec(&kept).unwrap().len() <= 100_000);
        assert!(kept.len() > 100, "{}", kept.len());
        assert_eq!(kept.len() + omitted(&items, 100_000), 30_000);
        assert_eq!(omitted(&items[..20], 100_000), 0);
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
