//! What becomes weaker when a customer or the table of release policies changes: pure rules, one for each. A change that cannot
//! be compared counts as weaker.

use super::{
    customer::Customer,
    delay::Delay,
    deployment::Check,
    health::{Baseline, HealthRules},
    policy::{
        Approval, Notice, NoticeTime, ReleasePolicies, RollbackProcess, RollbackRule, Timing, Trigger,
        TypePolicy,
    },
};
use crate::quantity::HostCount;

/// Sentences about one object.
struct Weaker<'a> {
    of: &'a str,
    found: Vec<String>,
}

impl Weaker<'_> {
    fn note(&mut self, is_weaker: bool, what: impl std::fmt::Display) {
        if is_weaker {
            self.found.push(format!("{}: {what}", self.of));
        }
    }

    fn fewer(&mut self, what: &str, before: u32, after: u32) {
        self.note(after < before, format_args!("`{what}` falls from {before} to {after}"));
    }

    fn more(&mut self, what: &str, before: u32, after: u32) {
        self.note(after > before, format_args!("`{what}` rises from {before} to {after}"));
    }
}

impl ReleasePolicies {
    /// What is weaker in `after`, one sentence each.
    pub fn weakened_by(&self, after: &Self) -> Vec<String> {
        let (before, after) = (self.clone().with_all_rows(), after.clone().with_all_rows());
        let mut weaker = Weaker { of: "release policies", found: Vec::new() };
        health(&mut weaker, &before.health, &after.health);
        weaker.more("max_parallel", before.max_parallel, after.max_parallel);
        weaker.fewer("settle_seconds", before.settle_seconds, after.settle_seconds);
        let tolerates_more = match (before.halt_after, after.halt_after) {
            (HostCount::Number(old), HostCount::Number(new)) => new > old,
            (HostCount::Percent(old), HostCount::Percent(new)) => new > old,
            _ => true,
        };
        weaker.note(tolerates_more, "`halt_after` may tolerate more failures");
        checks(&mut weaker, "validation", &before.validation, &after.validation);
        checks(&mut weaker, "smoke_tests", &before.smoke_tests, &after.smoke_tests);
        weaker.note(before.evidence != after.evidence, "`evidence`, which replaces the delays, changes");
        let mut found = weaker.found;
        for (kind, policy) in &before.types {
            if let Some(wanted) = after.types.get(kind) {
                found.extend(row(&format!("releases of type {kind}"), policy, wanted));
            }
        }
        for (urgency, old) in &before.urgencies {
            if let Some(new) = after.urgencies.get(urgency) {
                let of = format!("releases of urgency {urgency}");
                let mut weaker = Weaker { of: &of, found: Vec::new() };
                timing(&mut weaker, old, new);
                found.extend(weaker.found);
            }
        }
        found
    }
}

fn row(of: &str, before: &TypePolicy, after: &TypePolicy) -> Vec<String> {
    let mut weaker = Weaker { of, found: Vec::new() };
    weaker.note(after.urgency < before.urgency, format_args!("become more urgent: {}", after.urgency));
    timing(&mut weaker, &before.timing, &after.timing);
    weaker.note(strictness(after.approval) < strictness(before.approval), "need less of an approval");
    notice(&mut weaker, &before.notice, &after.notice);
    rollback(&mut weaker, &before.rollback, &after.rollback);
    weaker.fewer("monitoring_hours", before.monitoring_hours, after.monitoring_hours);
    for item in before.checklist.iter().filter(|item| !after.checklist.contains(item)) {
        weaker.note(true, format_args!("the checklist loses `{item}`"));
    }
    weaker.found
}

fn strictness(approval: Approval) -> u8 {
    match approval {
        Approval::Automatic => 0,
        Approval::AutomaticNotified => 1,
        Approval::InWindows => 2,
        Approval::Manual => 3,
    }
}

fn timing(weaker: &mut Weaker<'_>, before: &Timing, after: &Timing) {
    let tiers = [
        ("startup", before.startup, after.startup),
        ("standard", before.standard, after.standard),
        ("enterprise", before.enterprise, after.enterprise),
    ];
    for (tier, old, new) in tiers {
        let is_earlier = match (old, new) {
            (Delay::Minutes(old), Delay::Minutes(new)) => new < old,
            (Delay::NextWindow, Delay::Minutes(_)) => true,
            (_, Delay::NextWindow) => false,
        };
        weaker.note(is_earlier, format_args!("the delay of `{tier}` falls from {old} to {new}"));
    }
    weaker.note(before.in_windows && !after.in_windows, "are no longer limited to windows");
}

fn notice(weaker: &mut Weaker<'_>, before: &Notice, after: &Notice) {
    let earliness = |when| match when {
        NoticeTime::Never => 0,
        NoticeTime::Weekly => 1,
        NoticeTime::After => 2,
        NoticeTime::Before => 3,
    };
    weaker.note(earliness(after.when) < earliness(before.when), "are announced later or never");
    if before.when == NoticeTime::Before {
        weaker.fewer("notice/hours", before.hours, after.hours);
    }
    weaker.note(!after.tiers.is_superset(&before.tiers), "are announced to fewer tiers");
}

fn rollback(weaker: &mut Weaker<'_>, before: &RollbackRule, after: &RollbackRule) {
    weaker.fewer("rollback/window_hours", before.window_hours, after.window_hours);
    let is_by_hand = before.trigger == Trigger::Automatic && after.trigger == Trigger::Manual;
    weaker.note(is_by_hand, "are rolled back only by hand");
    let slowness = |process| match process {
        RollbackProcess::Immediate => 0,
        RollbackProcess::WithinTwoHours => 1,
        RollbackProcess::Scheduled => 2,
    };
    weaker.note(slowness(after.process) > slowness(before.process), "are rolled back later");
}

fn health(weaker: &mut Weaker<'_>, before: &HealthRules, after: &HealthRules) {
    weaker.more("health/poll_seconds", before.poll_seconds, after.poll_seconds);
    weaker.more("health/failures", before.failures, after.failures);
    weaker.more("health/deviations", before.deviations, after.deviations);
    weaker.note(after.error_rate_points > before.error_rate_points, "`health/error_rate_points` rises");
    weaker.note(after.slower_percent > before.slower_percent, "`health/slower_percent` rises");
}

fn checks(weaker: &mut Weaker<'_>, list: &str, before: &[Check], after: &[Check]) {
    for check in before.iter().filter(|check| !after.contains(check)) {
        weaker.note(true, format_args!("the check `{}` of `{list}` is removed or changed", check.name));
    }
}

impl Customer {
    /// What is weaker in `after`, one sentence each.
    pub fn weakened_by(&self, after: &Self) -> Vec<String> {
        let of = format!("customer `{}`", self.slug);
        let mut weaker = Weaker { of: &of, found: Vec::new() };
        weaker.note(after.tier < self.tier, format_args!("gets releases earlier, as `{}`", after.tier));
        let moves = self.time_zone != after.time_zone && !self.windows.is_empty();
        let widens = after.windows.iter().any(|window| !self.windows.contains(window));
        weaker.note(moves || widens, "gets other windows");
        weaker
            .note(self.always_in_windows && !after.always_in_windows, "is no longer limited to its windows");
        let is_dropped = self.contacts.iter().any(|contact| !after.contacts.contains(contact));
        weaker.note(is_dropped, "loses a contact");
        weaker.note(self.health != after.health, "has its health read elsewhere");
        weaker.note(self.deployer != after.deployer, "is deployed to in another way");
        weaker.note(!is_as_strict(self.baseline.as_ref(), after.baseline.as_ref()), "gets another baseline");
        let is_unpinned = match (self.pinned_to, after.pinned_to) {
            (Some(old), Some(new)) => new > old,
            (Some(_), None) => true,
            (None, _) => false,
        };
        weaker.note(is_unpinned, "is pinned no longer, or to a later version");
        weaker.note(self.paused.is_some() && after.paused.is_none(), "is no longer paused");
        let loses_tag = self.tags.iter().any(|(key, value)| after.tags.get(key) != Some(value));
        weaker.note(loses_tag, "loses a tag, which freezes may select");
        weaker.found
    }

    /// What is weaker without the customer: it can be created again, with other settings.
    pub fn weakened_by_deletion(&self) -> Vec<String> {
        vec![format!("customer `{}`: its windows, pins, contacts and health rules are lost", self.slug)]
    }
}

/// Whether every value of the baseline is at least as demanding. What would be measured instead of a missing one is not known.
fn is_as_strict(before: Option<&Baseline>, after: Option<&Baseline>) -> bool {
    let (before, after) = match (before, after) {
        (None, None) => return true,
        (Some(before), Some(after)) => (before, after),
        _ => return false,
    };
    let at_most = |old: Option<f64>, new: Option<f64>| match (old, new) {
        (Some(old), Some(new)) => new <= old,
        (None, _) => true,
        (Some(_), None) => false,
    };
    let negated = |value: Option<f64>| value.map(|value| -value);
    at_most(before.error_rate_percent, after.error_rate_percent)
        && at_most(before.latency_ms, after.latency_ms)
        && at_most(negated(before.throughput), negated(after.throughput))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn policies(fields: Value) -> ReleasePolicies {
        serde_json::from_value(fields).unwrap()
    }

    fn customer(fields: Value) -> Customer {
        let mut whole = json!({
            "slug": "acme", "name": "Acme", "tier": "standard", "current_version": "v1.0.0",
            "windows": [{ "opens": "0 2 * * 0", "duration_minutes": 240 }],
            "contacts": ["ops@acme.example"], "health": { "kind": "sim" }, "deployer": { "kind": "sim" },
            "pinned_to": "v1.0.3", "paused": "they move", "tags": { "env": "prod" },
            "baseline": { "latency_ms": 100.0, "throughput": 50.0 },
        });
        for (field, value) in fields.as_object().unwrap() {
            match value {
                Value::Null => drop(whole.as_object_mut().unwrap().remove(field)),
                value => whole[field] = value.clone(),
            }
        }
        serde_json::from_value(whole).unwrap()
    }

    fn changed_row(field: &str, value: Value) -> ReleasePolicies {
        let mut table = serde_json::to_value(ReleasePolicies::default()).unwrap();
        table["types"]["bug_fix"][field] = value;
        policies(table)
    }

    #[test]
    fn table_is_weaker_in_one_direction_only() {
        let default = ReleasePolicies::default();
        assert_eq!(default.weakened_by(&default), Vec::<String>::new());
        let table = |fields: Value| {
            let mut table = serde_json::to_value(ReleasePolicies::default()).unwrap();
            for (field, value) in fields.as_object().unwrap() {
                table[field] = value.clone();
            }
            policies(table)
        };
        let check = json!([{ "name": "healthy", "kind": "smoke_test", "run": { "by": "health" } }]);
        for strict in [
            table(json!({ "max_parallel": 3 })),
            table(json!({ "settle_seconds": 900 })),
            table(json!({ "halt_after": "5%" })),
            table(json!({ "smoke_tests": check })),
            table(json!({ "health": { "failures": 2 } })),
            changed_row("approval", json!("manual")),
            changed_row("urgency", json!("low")),
            changed_row("startup", json!("3h")),
            changed_row("standard", json!("next_window")),
            changed_row("in_windows", json!(true)),
            changed_row("monitoring_hours", json!(48)),
            changed_row(
                "notice",
                json!({ "when": "before", "hours": 9, "tiers": ["standard", "enterprise"] }),
            ),
            changed_row(
                "rollback",
                json!({ "window_hours": 48, "trigger": "automatic", "process": "within_two_hours" }),
            ),
        ] {
            assert_eq!(default.weakened_by(&strict), Vec::<String>::new());
            let weaker = strict.weakened_by(&default);
            assert_eq!(weaker.len(), 1, "{weaker:?}");
        }
        let evidence = json!({ "failures_per_customer_hour": 1.0, "time_limit_hours": 2 });
        assert_eq!(default.weakened_by(&table(json!({ "evidence": evidence }))).len(), 1);
        assert_eq!(default.weakened_by(&table(json!({ "halt_after": 1 }))).len(), 1);
        let without = changed_row("checklist", json!([]));
        assert_eq!(default.weakened_by(&without).len(), 6);
        // A row that is left out keeps its default, and is not removed.
        assert_eq!(default.weakened_by(&policies(json!({ "types": {} }))), Vec::<String>::new());
    }

    #[test]
    fn customer_is_weaker_in_one_direction_only() {
        let acme = customer(json!({}));
        assert_eq!(acme.weakened_by(&acme), Vec::<String>::new());
        for strict in [
            json!({ "tier": "enterprise" }),
            json!({ "windows": [] }),
            json!({ "always_in_windows": true }),
            json!({ "contacts": ["ops@acme.example", "more@acme.example"] }),
            json!({ "pinned_to": "v1.0.2" }),
            json!({ "tags": { "env": "prod", "region": "eu" } }),
            json!({ "baseline": { "latency_ms": 90.0, "throughput": 60.0, "error_rate_percent": 1.0 } }),
        ] {
            let strict = customer(strict);
            assert_eq!(acme.weakened_by(&strict), Vec::<String>::new());
            assert_eq!(strict.weakened_by(&acme).len(), 1, "{:?}", strict.weakened_by(&acme));
        }
        for (loose, said) in [
            (json!({ "paused": null }), "no longer paused"),
            (json!({ "pinned_to": null }), "pinned no longer"),
            (json!({ "baseline": null }), "another baseline"),
            (json!({ "time_zone": "Europe/Berlin" }), "other windows"),
            (
                json!({ "health": { "kind": "http", "url": "https://acme.example/ok" } }),
                "health read elsewhere",
            ),
            (json!({ "deployer": { "kind": "webhook", "url": "https://acme.example/" } }), "in another way"),
            (json!({ "tags": { "env": "test" } }), "loses a tag"),
        ] {
            let found = acme.weakened_by(&customer(loose));
            assert!(found.len() == 1 && found[0].contains(said), "{said}: {found:?}");
        }
        assert_eq!(acme.weakened_by(&customer(json!({ "name": "Acme Corp" }))), Vec::<String>::new());
    }
}
