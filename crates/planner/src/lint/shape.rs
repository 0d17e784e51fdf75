//! Checks that the waves are well formed: every target once, none too large, staging before pilots before batches.

use std::collections::BTreeMap;

use domain::{
    ids::CiId,
    plan::{Plan, WaveKind},
};

use super::{Findings, named, some_named};

pub fn check(plan: &Plan, findings: &mut Findings) {
    membership(plan, findings);
    sizes(plan, findings);
    kinds(plan, findings);
    thresholds(plan, findings);
}

fn membership(plan: &Plan, findings: &mut Findings) {
    if plan.targets.is_empty() {
        findings.info("no-targets", "the plan has no targets; there is nothing to do".to_owned());
    }
    let mut places: BTreeMap<&CiId, Vec<&str>> = BTreeMap::new();
    for wave in &plan.waves {
        if wave.hosts.is_empty() {
            findings.error("empty-wave", format!("wave `{}` has no hosts", wave.name));
        }
        wave.hosts.iter().for_each(|host| places.entry(host).or_default().push(&wave.name));
    }
    for (host, waves) in &places {
        if waves.len() > 1 {
            let text = format!("`{host}` would be patched {} times: in {}", waves.len(), waves.join(", "));
            findings.error("host-in-two-waves", text);
        }
    }
    if let Some(hosts) = some_named(plan.targets.keys().filter(|host| !places.contains_key(host))) {
        findings.error("host-without-wave", format!("no wave contains {hosts}"));
    }
    if let Some(hosts) = some_named(places.keys().copied().filter(|host| !plan.targets.contains_key(*host))) {
        findings.error(
            "wave-host-not-a-target",
            format!("{hosts} are in a wave but are not targets of the plan"),
        );
    }
}

fn sizes(plan: &Plan, findings: &mut Findings) {
    for wave in plan.waves.iter().filter(|wave| wave.hosts.len() > plan.limits.max_parallel as usize) {
        let text = format!(
            "wave `{}` has {} hosts, but at most {} may be worked on at once; raise `max_parallel`, or choose another \
             strategy",
            wave.name,
            wave.hosts.len(),
            plan.limits.max_parallel
        );
        findings.error("wave-larger-than-max-parallel", text);
    }
}

fn kinds(plan: &Plan, findings: &mut Findings) {
    let rank = |kind| match kind {
        WaveKind::Staging => 0,
        WaveKind::Pilot => 1,
        WaveKind::Batch => 2,
    };
    for pair in plan.waves.windows(2).filter(|pair| rank(pair[0].kind) > rank(pair[1].kind)) {
        let text = format!(
            "wave `{}` comes before `{}`, but staging must come before pilots and pilots before batches",
            pair[0].name, pair[1].name
        );
        findings.error("waves-out-of-order", text);
    }
    let untested = plan.waves.iter().filter(|wave| wave.kind == WaveKind::Staging && !wave.gate.tests);
    if let Some(hosts) = some_named(untested.flat_map(|wave| &wave.hosts)) {
        let text = format!("{hosts} are staging without a test gate; a regression would not stop production");
        findings.warning("staging-without-tests", text);
    }
}

fn thresholds(plan: &Plan, findings: &mut Findings) {
    let hosts = plan.targets.len();
    if hosts > 1 && plan.limits.error_threshold as usize >= hosts {
        let text = format!(
            "the error threshold of {} never halts a run of {hosts} hosts ({})",
            plan.limits.error_threshold,
            named(plan.targets.keys())
        );
        findings.warning("threshold-never-halts", text);
    }
}
