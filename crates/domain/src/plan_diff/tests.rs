use std::collections::BTreeMap;

use super::*;
use crate::{
    package::PackageUpdate,
    plan::{Gate, Intent, Limits, Wave},
    preflight::{PreflightCheck, PreflightFailure},
    strategy::Strategy,
    workflow::{HostWorkflow, Rollback},
};

pub(super) fn id(name: &str) -> CiId {
    CiId::new(name).unwrap()
}

fn update(package: &str, to: &str) -> PackageUpdate {
    PackageUpdate {
        package: package.to_owned(),
        from: "1".to_owned(),
        to: to.to_owned(),
        advisories: Vec::new(),
        cves: Vec::new(),
    }
}

/// Twenty hosts, the first one as pilot.
pub(crate) fn plan() -> Plan {
    let hosts: Vec<CiId> = (1..=20).map(|number| id(&format!("h-{number}"))).collect();
    let connection = Connection::Ssh {
        address: "192.0.2.1".to_owned(),
        port: None,
        user: None,
        host_key: None,
        jump: None,
        python: None,
    };
    let target = Target {
        os: "debian12".to_owned(),
        packaging: Packaging::Dpkg,
        tags: BTreeMap::new(),
        services: Vec::new(),
        connection,
        updates: vec![update("openssl", "3.0.18")],
        rollback_mode: RollbackMode::Snapshot,
        omitted: Vec::new(),
        expected_seconds: 60,
        reboot_pending: false,
        unverified: None,
        transaction: Default::default(),
        owner_email: None,
        bootstrap_python: false,
    };
    let wave = |name: &str, kind, hosts: &[CiId]| Wave {
        name: name.to_owned(),
        kind,
        hosts: hosts.to_vec(),
        gate: Gate::default(),
        start: None,
        checks: Vec::new(),
    };
    let budget = ServiceBudget { min_up: 18, members: hosts.clone(), max_unavailable: None };
    Plan {
        intent: Intent::Patch,
        strategy: Strategy::Rolling,
        waves: vec![
            wave("pilot", WaveKind::Pilot, &hosts[..1]),
            wave("wave 1", WaveKind::Batch, &hosts[1..10]),
            wave("wave 2", WaveKind::Batch, &hosts[10..]),
        ],
        targets: hosts.into_iter().map(|host| (host, target.clone())).collect(),
        services: BTreeMap::from([(id("web"), budget)]),
        limits: Limits {
            max_parallel: 2,
            error_threshold: 1,
            retries: 0,
            forks: None,
            max_unavailable_without_service: None,
        },
        workflow: HostWorkflow::default(),
        reboot: Reboot::IfRequired,
        rollback: Rollback::Auto,
        snapshot_retention_hours: Some(72),
        staging_tests: Vec::new(),
        unscanned: BTreeMap::new(),
        not_ready: BTreeMap::new(),
        up_to_date: 0,
        pin: Default::default(),
        notes: Vec::new(),
    }
}

fn without(plan: &mut Plan, host: &str) {
    plan.targets.remove(&id(host));
    plan.waves.iter_mut().for_each(|wave| wave.hosts.retain(|id| id.as_str() != host));
}

/// Enough for the versions here.
pub(crate) fn by_text(_: Packaging, one: &str, other: &str) -> Option<Ordering> {
    Some(one.cmp(other))
}

fn compare(change: impl FnOnce(&mut Plan)) -> PlanDrift {
    let (approved, mut now) = (plan(), plan());
    change(&mut now);
    PlanDrift::new(&approved, &now, DriftTolerance::default(), by_text)
}

pub(super) fn kinds(comparison: &PlanDrift) -> Vec<DriftKind> {
    comparison.excess.iter().map(|excess| excess.kind).collect()
}

#[test]
fn equal_plans_differ_in_nothing() {
    // What is only expected, or only noted, is not a promise.
    let same = compare(|now| now.targets.get_mut(&id("h-1")).unwrap().expected_seconds = 90);
    assert_eq!((same.verdict(), same.diff.summary().as_str()), (DriftVerdict::Unchanged, "none"));
    assert_ne!(same.approved, same.now, "the hashes show that the plan was made again");
}

#[test]
fn a_tenth_of_the_hosts_may_be_gone_and_one_more_voids() {
    let two = compare(|now| {
        without(now, "h-19");
        without(now, "h-20");
        now.unscanned.insert(id("h-20"), "no route to host".to_owned());
    });
    assert_eq!(two.verdict(), DriftVerdict::Tolerated);
    assert_eq!(two.diff.hosts_gone[&id("h-19")], HostGone::NotDue);
    let locked = compare(|now| {
        without(now, "h-20");
        let failure = PreflightFailure { check: PreflightCheck::Lock, reason: "held by apt".to_owned() };
        now.not_ready.insert(id("h-20"), vec![failure]);
    });
    assert_eq!(locked.diff.hosts_gone[&id("h-20")].to_string(), "not ready: lock: held by apt");
    assert_eq!(two.diff.hosts_gone[&id("h-20")].to_string(), "could not be scanned: no route to host");
    let three = compare(|now| ["h-18", "h-19", "h-20"].iter().for_each(|host| without(now, host)));
    assert_eq!(kinds(&three), [DriftKind::HostsGone]);
    assert_eq!(three.excess_text(), "3 hosts gone (2 tolerated)");
}

#[test]
fn other_version_and_update_that_is_no_longer_due_void_but_further_updates_wait() {
    let newer =
        compare(|now| now.targets.get_mut(&id("h-7")).unwrap().updates = vec![update("openssl", "3.0.19")]);
    assert_eq!(kinds(&newer), [DriftKind::ChangedVersions]);
    let diff = &newer.diff.packages[&id("h-7")][0];
    assert_eq!((diff.approved.as_deref(), diff.now.as_deref()), (Some("3.0.18"), Some("3.0.19")));
    let replaced =
        compare(|now| now.targets.get_mut(&id("h-7")).unwrap().updates = vec![update("zlib", "2")]);
    assert_eq!(kinds(&replaced), [DriftKind::ChangedVersions]);
    assert_eq!(replaced.diff.packages[&id("h-7")].len(), 2);
    let more = compare(|now| now.targets.get_mut(&id("h-7")).unwrap().updates.push(update("zlib", "2")));
    assert_eq!(more.verdict(), DriftVerdict::Tolerated);
    assert_eq!(more.diff.summary(), "1 hosts with further updates, which are left for the next run");
}

#[test]
fn reboot_counts_only_where_the_approved_plan_has_none() {
    let pending = |plan: &mut Plan| plan.targets.get_mut(&id("h-3")).unwrap().reboot_pending = true;
    assert_eq!(kinds(&compare(pending)), [DriftKind::MoreReboots]);
    let (mut approved, mut now) = (plan(), plan());
    pending(&mut now);
    for reboot in [Reboot::Always, Reboot::Never] {
        (approved.reboot, now.reboot) = (reboot, reboot);
        let same = PlanDrift::new(&approved, &now, DriftTolerance::default(), by_text);
        assert_eq!(same.verdict(), DriftVerdict::Unchanged, "{reboot:?}");
    }
}

#[test]
fn way_back_and_way_in_are_part_of_what_was_approved() {
    let back = compare(|now| now.targets.get_mut(&id("h-2")).unwrap().rollback_mode = RollbackMode::None);
    assert_eq!(kinds(&back), [DriftKind::ChangedWaysBack]);
    let moved = |change: fn(&mut Connection)| {
        compare(|now| change(&mut now.targets.get_mut(&id("h-2")).unwrap().connection))
    };
    let elsewhere = moved(|connection| {
        if let Connection::Ssh { address, .. } = connection {
            *address = "192.0.2.99".to_owned();
        }
    });
    assert_eq!(kinds(&elsewhere), [DriftKind::ChangedWaysIn]);
    let pinned = moved(|connection| {
        if let Connection::Ssh { host_key, .. } = connection {
            *host_key = Some("ssh-ed25519 AAAA".to_owned());
        }
    });
    assert_eq!(pinned.verdict(), DriftVerdict::Unchanged, "the first scan pins the key");
}

#[test]
fn order_is_kept_and_only_recorded() {
    let later = compare(|now| {
        let host = now.waves[1].hosts.pop().unwrap();
        now.waves[2].hosts.push(host);
    });
    assert_eq!(later.verdict(), DriftVerdict::Tolerated);
    assert_eq!(later.diff.later_waves, BTreeMap::from([(id("h-10"), WaveDiff { approved: 1, now: 2 })]));
}

#[test]
fn service_that_can_spare_fewer_members_voids_whatever_is_tolerated() {
    let tighter = compare(|now| now.services.get_mut(&id("web")).unwrap().min_up = 19);
    assert_eq!(kinds(&tighter), [DriftKind::TighterServices]);
    let new = compare(|now| {
        let budget = ServiceBudget { min_up: 1, members: vec![id("h-4"), id("h-5")], max_unavailable: None };
        now.services.insert(id("database"), budget);
    });
    assert_eq!(kinds(&new), [DriftKind::TighterServices], "the approved plan does not protect it");
    // With one more member it can spare as many as before.
    let grown = compare(|now| {
        let web = now.services.get_mut(&id("web")).unwrap();
        web.members.push(id("other"));
        web.min_up = 19;
    });
    assert_eq!(grown.verdict(), DriftVerdict::Unchanged);
}

#[test]
fn gate_without_a_host_protects_nothing() {
    let pilotless = compare(|now| without(now, "h-1"));
    assert_eq!(
        kinds(&pilotless),
        [DriftKind::EmptyGates],
        "one host of twenty may be gone, but not the only pilot"
    );
}

#[test]
fn nothing_left_to_do_voids_even_if_every_host_may_be_gone() {
    let (approved, mut now) = (plan(), plan());
    now.targets.clear();
    now.waves.clear();
    now.services.clear();
    let tolerance = DriftTolerance { hosts_gone: HostCount::Percent(100), ..DriftTolerance::default() };
    let none = PlanDrift::new(&approved, &now, tolerance, by_text);
    assert_eq!(kinds(&none), [DriftKind::EmptyGates, DriftKind::NoHostLeft]);
}

#[test]
fn new_hosts_are_left_for_the_next_run() {
    let grown = |names: &[&str]| {
        compare(|now| {
            let target = now.targets[&id("h-1")].clone();
            now.targets.extend(names.iter().map(|name| (id(name), target.clone())));
        })
    };
    assert_eq!(grown(&["n-1", "n-2"]).verdict(), DriftVerdict::Tolerated);
    assert_eq!(kinds(&grown(&["n-1", "n-2", "n-3"])), [DriftKind::HostsNew]);
}

#[test]
fn every_difference_has_its_line() {
    let compared = compare(|now| {
        without(now, "h-1");
        let target = now.targets.get_mut(&id("h-2")).unwrap();
        target.updates = vec![update("openssl", "3.0.19"), update("zlib", "2")];
        target.rollback_mode = RollbackMode::None;
        target.reboot_pending = true;
        let new = now.targets[&id("h-3")].clone();
        now.targets.insert(id("n-1"), new);
    });
    let lines = compared.diff.lines();
    let text = |line: &DiffLine| {
        let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
        format!("{} | {} | {} | {}", line.subject, line.what, side(&line.approved), side(&line.now))
    };
    let lines: Vec<String> = lines.iter().map(text).collect();
    assert_eq!(
        lines,
        [
            "h-1 | host gone | patched | no longer selected, or misses none of the updates",
            "n-1 | new host | - | left for the next run",
            "h-2 | package openssl | 3.0.18 | 3.0.19",
            "h-2 | package zlib | - | 2",
            "h-2 | reboot | - | waits for a reboot",
            "h-2 | way back | snapshot | none",
            "pilot | gate without a host | - | -",
        ]
    );
}

#[test]
fn comparison_reads_back_as_it_was_stored() {
    let compared = compare(|now| without(now, "h-1"));
    let stored = serde_json::to_value(&compared).unwrap();
    assert_eq!(stored["diff"]["hosts_gone"]["h-1"]["cause"], "not_due");
    assert_eq!(serde_json::from_value::<PlanDrift>(stored).unwrap(), compared);
}
