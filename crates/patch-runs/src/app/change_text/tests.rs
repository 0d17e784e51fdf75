use std::collections::BTreeSet;

use domain::{
    package::{OmitCause, OmittedUpdate, Packaging},
    plan::{Gate, Limits, Wave, WaveKind},
    preflight::{PreflightCheck, PreflightFailure},
    strategy::Strategy,
    transaction::{Foreseen, Transaction},
    workflow::{HostCheck, HostTest, HostWorkflow, MaintenanceHooks, Rollback},
};
use serde_json::Value;

use super::*;

fn id(name: &str) -> CiId {
    CiId::new(name).unwrap()
}

fn update(package: &str, to: &str, cve: &str) -> PackageUpdate {
    PackageUpdate {
        package: package.to_owned(),
        from: "1.0-1".to_owned(),
        to: to.to_owned(),
        advisories: vec![format!("ADV-{package}")],
        cves: vec![cve.to_owned()],
    }
}

fn words(text: &str) -> Command {
    text.split(' ').map(str::to_owned).collect()
}

fn transaction() -> Foreseen {
    let change = |package: &str, from: &str, to: &str| VersionChange {
        package: package.to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        origins: Vec::new(),
    };
    let removal = |package: &str, replaced_by: Option<&str>| Removal {
        package: package.to_owned(),
        version: "0.9-4".to_owned(),
        replaced_by: replaced_by.map(str::to_owned),
    };
    Foreseen::Resolved(Transaction {
        updates: vec![change("curl", "8.5-1", "8.5-2"), change("libcurl4", "8.5-1b", "8.5-2b")],
        installs: vec![NewPackage {
            package: "libnghttp".to_owned(),
            version: "1.52-1".to_owned(),
            origins: vec![],
        }],
        removals: vec![removal("old-plugin", None), removal("old-name", Some("new-name"))],
        download_bytes: Some(12_345_678),
        disk_bytes: Some(45_000),
        ..Transaction::default()
    })
}

/// Two web hosts that are alike, and a database behind a jump host.
fn plan() -> Plan {
    let web = Target {
        os: "debian12".to_owned(),
        packaging: Packaging::Dpkg,
        tags: BTreeMap::new(),
        services: vec![domain::ids::ServiceName::new("nginx").unwrap().into()],
        connection: Connection::Model,
        updates: vec![update("openssl", "1.1-7", "CVE-2026-1001")],
        rollback_mode: RollbackMode::Snapshot,
        omitted: vec![OmittedUpdate::new("linux-image", OmitCause::Held)],
        expected_seconds: 60,
        reboot_pending: false,
        unverified: None,
        transaction: Default::default(),
        owner_email: None,
        bootstrap_python: false,
    };
    let jump = JumpHost {
        address: "bastion.example".to_owned(),
        port: Some(2222),
        user: Some("hopper".to_owned()),
        host_key: None,
    };
    let ssh = Connection::Ssh {
        address: "10.0.0.7".to_owned(),
        port: Some(22),
        user: Some("deployer".to_owned()),
        host_key: None,
        jump: Some(jump),
        python: None,
    };
    let db = Target {
        services: vec![domain::ids::ServiceName::new("postgresql").unwrap().into()],
        connection: ssh,
        updates: vec![update("libxml2", "2.9-9", "CVE-2026-2002"), update("curl", "8.5-2", "CVE-2026-3003")],
        rollback_mode: RollbackMode::None,
        omitted: vec![OmittedUpdate::new("glibc", OmitCause::NotOffered)],
        transaction: transaction(),
        ..web.clone()
    };
    let targets = BTreeMap::from([(id("web-1"), web.clone()), (id("web-2"), web), (id("db-1"), db)]);
    Plan {
        intent: Intent::Patch,
        strategy: Strategy::Rolling,
        waves: vec![Wave {
            name: "batch-1".to_owned(),
            kind: WaveKind::Batch,
            hosts: targets.keys().cloned().collect(),
            gate: Gate { tests: false, soak_seconds: 0 },
            start: None,
            checks: vec![],
        }],
        targets,
        services: BTreeMap::new(),
        limits: Limits {
            max_parallel: 3,
            error_threshold: 1,
            retries: 0,
            forks: None,
            max_unavailable_without_service: None,
        },
        workflow: HostWorkflow {
            pre_downtime_commands: vec![words("/usr/local/bin/announce --soon")],
            pre_update_commands: vec![vec![
                "sh".to_owned(),
                "-c".to_owned(),
                "rm -rf /var/cache/*; sync".to_owned(),
            ]],
            post_update_commands: vec![words("/usr/local/bin/warm-up")],
            drain: Some(Drain::Command(words("/usr/local/bin/is-drained {host}"))),
            maintenance_hooks: MaintenanceHooks {
                on: vec![words("silence.sh {host} on")],
                off: vec![words("silence.sh {host} off")],
            },
            ..HostWorkflow::default()
        },
        reboot: Reboot::Always,
        rollback: Rollback::Auto,
        snapshot_retention_hours: Some(72),
        staging_tests: vec![HostTest { name: "shop answers".to_owned(), check: HostCheck::Reachable }],
        unscanned: BTreeMap::from([(id("old-1"), "connection refused".to_owned())]),
        not_ready: BTreeMap::new(),
        up_to_date: 4,
        pin: Default::default(),
        notes: vec![],
    }
}

/// Every text and number in a part of the plan.
fn leaves(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(found.insert(text.clone())),
        Value::Array(values) => values.iter().for_each(|value| leaves(value, found)),
        Value::Object(members) => members.values().for_each(|value| leaves(value, found)),
        _ => {}
    }
}

#[test]
fn everything_that_will_run_is_in_the_text() {
    let plan = plan();
    let text = describe(&plan, None, "http://platform/patch/runs/1/plan");
    let json = serde_json::to_value(&plan).unwrap();
    let mut wanted = BTreeSet::new();
    for part in
        ["pre_downtime_commands", "pre_update_commands", "post_update_commands", "drain", "maintenance_hooks"]
    {
        leaves(&json["workflow"][part], &mut wanted);
    }
    for (host, target) in json["targets"].as_object().unwrap() {
        wanted.insert(host.clone());
        for part in ["updates", "services"] {
            leaves(&target[part], &mut wanted);
        }
        for part in ["updates", "installs", "removals"] {
            leaves(&target["transaction"][part], &mut wanted);
        }
        for omitted in target["omitted"].as_array().unwrap() {
            leaves(&omitted["package"], &mut wanted);
        }
        for part in ["user", "jump"] {
            leaves(&target["connection"][part], &mut wanted);
        }
    }
    for test in json["staging_tests"].as_array().unwrap() {
        leaves(&test["name"], &mut wanted);
    }
    for (host, reason) in json["unscanned"].as_object().unwrap() {
        wanted.insert(host.clone());
        leaves(reason, &mut wanted);
    }
    assert!(wanted.len() > 30, "the plan has everything: {wanted:?}");
    for part in wanted {
        assert!(text.contains(&part), "`{part}` is missing:\n{text}");
    }
    for consequence in [
        "!! RUNS AS ROOT",
        "reboots     ALWAYS",
        "CANNOT be rolled back",
        "kept for 72 h",
        "port 2222",
        "new         libnghttp 1.52-1",
        "REMOVES     old-plugin 0.9-4\n",
        "REMOVES     old-name 0.9-4, replaced by new-name",
        "downloads   12.3 MB, and needs 45.0 kB of disk",
    ] {
        assert!(text.contains(consequence), "`{consequence}` is missing:\n{text}");
    }
    assert!(text.contains("2 hosts: web-1, web-2"), "hosts that are treated alike are one group:\n{text}");
}

#[test]
fn real_host_that_was_not_asked_is_said_to_be_unknown() {
    let mut plan = plan();
    let text = |plan: &Plan| describe(plan, None, "http://platform/patch/runs/1/plan");
    assert!(!text(&plan).contains("NOT KNOWN"), "a model installs exactly its updates");
    plan.targets.get_mut(&id("db-1")).unwrap().transaction = Foreseen::NotAsked;
    assert!(text(&plan).contains("NOT KNOWN   what is installed and removed along with these: nobody asked"));
    plan.targets.get_mut(&id("db-1")).unwrap().transaction =
        Foreseen::Unknown { reason: "no dnf 4".to_owned() };
    assert!(text(&plan).contains("along with these: no dnf 4"));
    plan.targets.get_mut(&id("db-1")).unwrap().transaction = Foreseen::OwnCommand;
    assert!(text(&plan).contains("NOT KNOWN"), "nobody knows what the policy's own command does");
    assert!(text(&plan).contains("the transaction is not known in advance"));
}

#[test]
fn host_that_is_not_ready_is_named_with_the_checks_that_it_fails() {
    let mut plan = plan();
    let failure = |check, reason: &str| PreflightFailure { check, reason: reason.to_owned() };
    let failures = vec![
        failure(PreflightCheck::Lock, "`apt-get` (process 7) has held the package lock"),
        failure(PreflightCheck::Disk, &"`/` is full ".repeat(100)),
    ];
    plan.not_ready.insert(id("full-1"), failures);
    let text = describe(&plan, None, "http://platform/patch/runs/1/plan");
    assert!(
        text.contains("SKIPPED, because they are not ready: 1 host\n  full-1: lock: `apt-get` (process 7)"),
        "{text}"
    );
    assert!(text.len() < 6_000, "a long reason is cut: {}", text.len());
}

#[test]
fn way_back_is_stated_for_each_kind_of_host() {
    let text = backout(&plan());
    assert_eq!(
        text,
        "2 hosts: return to the snapshot taken before the update, kept for 72 h.\n1 host: CANNOT be rolled back, there is \
         neither a snapshot nor an older version to install."
    );
    let without = Plan { snapshot_retention_hours: None, ..plan() };
    assert!(!backout(&without).contains("return to the snapshot"), "none is taken");
}

#[test]
fn what_does_not_fit_is_counted_and_can_be_found() {
    let mut plan = plan();
    let one = plan.targets[&id("web-1")].clone();
    for number in 0..2000 {
        let updates = vec![update(&format!("package-{number}"), "2", "CVE-2026-1001")];
        plan.targets.insert(id(&format!("host-{number}")), Target { updates, ..one.clone() });
    }
    let text = describe(&plan, None, "http://platform/patch/runs/1/plan");
    assert!(text.chars().count() <= MOST_CHARACTERS + 200);
    assert!(
        text.contains("NOT SHOWN HERE: ") && text.contains("http://platform/patch/runs/1/plan"),
        "{text}"
    );
    assert!(text.contains("!! RUNS AS ROOT"), "commands come first");
}

#[test]
fn conflicts_are_counted_and_leave_room_for_the_plan() {
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let conflict = |number: u32, hosts: u32| Conflict {
        kind: "change".to_owned(),
        with: format!("CHG{number:07}"),
        state: Some(ChangeState::PendingApproval),
        ci_ids: (0..hosts).map(|host| id(&format!("a-host-with-a-rather-long-name-{host}"))).collect(),
        start_at: at("2026-03-08T02:00:00Z"),
        end_at: at("2026-03-08T06:00:00Z"),
    };
    assert_eq!(conflicts(&[]), "");
    let mut one = conflict(1, 0);
    one.ci_ids = vec![id("web-1"), id("web-2")];
    assert_eq!(
        conflicts(&[one]),
        "!! CONFLICTS in the time of this change: 1\n!!   change CHG0000001 (pending_approval), 2026-03-08T02:00:00Z to \
         2026-03-08T06:00:00Z, 2 hosts: web-1, web-2\n"
    );
    let many: Vec<Conflict> = (0..500).map(|number| conflict(number, 500)).collect();
    let text = conflicts(&many);
    assert!(text.starts_with("!! CONFLICTS in the time of this change: 500\n"), "{text}");
    assert!(text.ends_with("!!   and 492 more\n") && text.contains("500 hosts: a-host"), "{text}");
    assert!(text.chars().count() <= 1_400, "{}", text.chars().count());
}

#[test]
fn owner_reads_about_his_own_hosts_only() {
    let plan = plan();
    let (host, unknown) = (id("db-1"), id("elsewhere"));
    let text = describe_hosts(&plan, &BTreeSet::from([&host, &unknown]), "http://platform/1");
    assert!(text.contains("1 host: db-1") && text.contains("libxml2"), "{text}");
    assert!(!text.contains("web-1") && !text.contains("old-1") && !text.contains("elsewhere"), "{text}");
    assert!(text.contains("!! RUNS AS ROOT"), "{text}");
}

#[test]
fn pin_and_the_state_of_repositories_are_stated() {
    let mut plan = plan();
    let text = |plan: &Plan| describe(plan, None, "http://platform/patch/runs/1/plan");
    assert!(!text(&plan).contains("PINNED"));
    plan.pin = pin::Pin::Pilot;
    let mut transaction = transaction();
    if let Foreseen::Resolved(resolved) = &mut transaction {
        resolved.revisions.insert("fleet-security".to_owned(), "1773129600".to_owned());
    }
    plan.targets.get_mut(&id("db-1")).unwrap().transaction = transaction;
    let text = text(&plan);
    assert!(text.contains("PINNED: every host installs exactly the versions below"), "{text}");
    assert!(text.contains("pinned to   fleet-security of 1773129600"), "{text}");
}

#[test]
fn installation_of_python_is_stated_as_a_command_that_runs_as_root() {
    let mut plan = plan();
    let target = plan.targets.get_mut(&id("db-1")).unwrap();
    target.bootstrap_python = true;
    target.updates.clear();
    let text = describe(&plan, None, "http://platform/patch/runs/1/plan");
    let line = python_command(Packaging::Dpkg, "debian12");
    assert!(
        text.contains(&format!("!! RUNS AS ROOT before anything else, because it has no Python: {line}"))
    );
    assert!(text.contains("installs    only Python"), "{text}");
}
