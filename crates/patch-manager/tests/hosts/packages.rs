//! Packages of apt and dnf: scanned, updated to a version or a level, and rolled back.

use ansible::{End, HostOutcomeKind, HostResult, Playbook};
use domain::workflow::WorkflowStep;
use serde_json::{Value, json};

use crate::lab::{ALL, DEBIAN, Lab, ROCKY, old_openssl, openssl};

pub async fn scan_reports_installed_and_offered_packages(lab: &Lab) {
    let results = lab.folder.path().join("scans");
    std::fs::create_dir(&results).unwrap();
    lab.ssh("deb-02", "apt-mark hold demo-tools").await;
    let mut run = lab.run(Playbook::ScanCompliance, &ALL, &lab.run_id(), |_, _| {});
    run.extra_vars.set("pm_results_dir", results.to_str().unwrap());
    let recording = lab.play(run).await;
    assert_eq!(recording.ended.end, End::Succeeded, "{}", recording.output());
    for host in ALL {
        let text = std::fs::read(results.join(format!("{host}.json"))).unwrap();
        let scan: Value = serde_json::from_slice(&text).unwrap();
        let package = |name: &str| {
            let mut packages = scan["packages"].as_array().unwrap().iter();
            packages.find(|package| package["name"] == name).unwrap().clone()
        };
        assert_eq!(scan["os"], if DEBIAN.contains(&host) { "debian12" } else { "rocky9" });
        assert_eq!(package("openssl")["version"], old_openssl(host)["openssl"], "{host}");
        assert_eq!(package("openssl")["candidate"], openssl(host)["openssl"], "{host}");
        assert_eq!(package("openssl")["returnable"], true, "{host}");
        assert_eq!(package("curl")["candidate"], Value::Null, "{host}");
        assert_eq!(package("demo-tools")["held"], host == "deb-02", "{host}");
        assert_eq!((&scan["package_lock"], &scan["package_database_problem"]), (&Value::Null, &Value::Null));
        let facts = serde_json::from_value(scan["reboot_facts"].clone()).unwrap();
        let packaging = serde_json::from_value(scan["packaging"].clone()).unwrap();
        let verdict = advisories::reboot::judge(packaging, &facts);
        assert!(!verdict.is_needed() && verdict.to_string().contains("container"), "{host}: {verdict}");
    }
    lab.ssh("deb-02", "apt-mark unhold demo-tools").await;
}

pub async fn staging_tests_pass_on_every_host(lab: &Lab) {
    let mut tests = vec![
        json!({ "name": "answers", "kind": "reachable" }),
        json!({ "name": "web runs", "kind": "service_active", "service": "nginx" }),
        json!({ "name": "web configuration", "kind": "config_valid", "service": "nginx" }),
        json!({ "name": "port 443", "kind": "port_open", "port": 443 }),
        json!({ "name": "port 22", "kind": "port_open", "port": 22 }),
        json!({ "name": "disk", "kind": "disk_free", "percent": 1 }),
        json!({ "name": "clock", "kind": "clock_synchronised", "max_offset_ms": 2000 }),
        json!({ "name": "no reboot", "kind": "no_reboot_pending" }),
        json!({ "name": "package database", "kind": "package_database_consistent" }),
    ];
    for number in 0..20 {
        let package = ["openssl", "curl", "nginx", "haproxy", "demo-tools"][number % 5];
        let name = format!("{package} {number}");
        tests.push(json!({ "name": name, "kind": "package_installed", "package": package }));
    }
    assert_eq!(tests.len(), 29);
    let run = lab.run(Playbook::StagingTests, &ALL, &lab.run_id(), |_, variables| {
        variables.set("pm_tests", tests.clone());
    });
    let recording = lab.play(run).await;
    for host in ALL {
        let results: Vec<_> = recording.results(host).filter_map(HostResult::test).collect();
        let failed: Vec<_> = results.iter().filter(|test| !test.passed).collect();
        assert_eq!((results.len(), failed.len()), (29, 0), "{host}: {failed:?} {}", recording.output());
    }
}

pub async fn hosts_are_patched_once_rebooted_and_rolled_back(lab: &Lab) {
    let run_id = lab.run_id();
    let with_kernel = |host: &str| {
        let mut updates = openssl(host);
        updates["demo-kernel"] = if DEBIAN.contains(&host) { "6.1.147-1" } else { "6.1.147-1.el9" }.into();
        updates
    };
    let run = || {
        lab.run(Playbook::PatchMixed, &ALL, &run_id, |host, variables| {
            variables.set("pm_updates", with_kernel(host)).set("pm_reboot", "always");
        })
    };
    let recording = lab.play(run()).await;
    assert_eq!(recording.ended.end, End::Succeeded, "{}", recording.output());
    for host in ALL {
        let outcome = recording.outcome(host);
        assert!(outcome.rebooted, "{host}");
        let changed = outcome.changed.iter().map(|change| change.package.as_str()).collect::<Vec<_>>();
        assert!(changed.contains(&"openssl") && changed.contains(&"demo-kernel"), "{host}: {changed:?}");
        assert_eq!(lab.version(host, "openssl").await, openssl(host)["openssl"], "{host}");
        assert_eq!(lab.ssh(host, "systemctl is-active nginx").await, "active");
        let steps: Vec<_> = recording.results(host).filter_map(|result| result.step).collect();
        assert_eq!(steps, WorkflowStep::ALL, "{host}");
    }

    // The same run again, as after a crash: what was done is reported and not repeated.
    let count = |host: &'static str| async move {
        let line = if DEBIAN.contains(&host) {
            "grep -c '^Commandline:.*PatchManager' /var/log/apt/history.log"
        } else {
            "dnf history list | grep -c patch-ma"
        };
        lab.ssh(host, line).await
    };
    let recording = lab
        .play({
            let mut run = run();
            run.extra_vars.set("pm_reboot", "if_required");
            run
        })
        .await;
    for host in ALL {
        let outcome = recording.outcome(host);
        assert_eq!(outcome.outcome, HostOutcomeKind::Succeeded, "{}", recording.output());
        assert_eq!(count(host).await, "1", "{host} was patched twice");
        assert!(
            outcome.changed.iter().any(|change| change.package == "openssl"),
            "{host} does not report what was done"
        );
    }

    let back = lab.run(Playbook::RollbackSnapshot, &ALL, &run_id, |host, variables| {
        variables.set("pm_downgrades", old_openssl(host));
    });
    let recording = lab.play(back).await;
    for host in ALL {
        assert_eq!(recording.outcome(host).outcome, HostOutcomeKind::Succeeded, "{}", recording.output());
        assert_eq!(lab.version(host, "openssl").await, old_openssl(host)["openssl"], "{host}");
        assert!(
            lab.version(host, "demo-kernel").await.starts_with("6.1.140"),
            "packages that changed with it are rolled back with it"
        );
    }
}

pub async fn level_is_chosen_by_security_and_advisory(lab: &Lab) {
    let hosts = ["deb-01", "rpm-01", "rpm-02"];
    let run = lab.run(Playbook::PatchMixed, &hosts, &lab.run_id(), |host, variables| {
        variables.set("pm_updates", json!({})).set("pm_reboot", "never");
        match host {
            "rpm-02" => {
                variables.set("pm_selection", "advisories").set("pm_advisories", json!(["FLSA-2026:0001"]))
            }
            _ => variables.set("pm_selection", "security"),
        };
    });
    let recording = lab.play(run).await;
    for host in hosts {
        assert_eq!(recording.outcome(host).outcome, HostOutcomeKind::Succeeded, "{}", recording.output());
        assert_eq!(lab.version(host, "openssl").await, openssl(host)["openssl"], "{host}");
        assert!(
            lab.version(host, "demo-tools").await.starts_with("2.0"),
            "{host}: that is not a security update"
        );
    }
    assert!(lab.version(ROCKY[0], "demo-kernel").await.starts_with("6.1.147"));
    assert!(
        lab.version(ROCKY[1], "demo-kernel").await.starts_with("6.1.140"),
        "another advisory was installed"
    );
    lab.roll_back(&hosts).await;
}
