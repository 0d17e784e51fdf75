//! The other playbooks of the catalogue.

use ansible::{End, HostOutcomeKind, HostResult, Playbook};
use serde_json::{Value, json};

use crate::{
    fixture::{Fixture, guests, play, runner},
    stub::Guest,
};

#[tokio::test]
async fn scan_writes_a_file_per_host() {
    let Some(runner) = runner() else { return };
    let fixture = Fixture::new(guests(2));
    let results = fixture.folder.path().join("results");
    std::fs::create_dir(&results).unwrap();
    let mut run = fixture.run(Playbook::ScanCompliance, |_| {});
    run.extra_vars.set("pm_results_dir", results.to_str().unwrap());
    let report = play(&runner, run).await;

    assert_eq!(report.ended.end, End::Succeeded, "{}", fixture.log());
    let scan: Value = serde_json::from_slice(&std::fs::read(results.join("h2.json")).unwrap()).unwrap();
    assert_eq!(scan["host"], "h2");
    assert_eq!(scan["packages"][1]["name"], "openssl");
    assert_eq!(scan["packages"][1]["version"], "3.0.7-16.el9");
    assert_eq!(scan["boot_id"], "00000000-0000-0000-0000-000000000001");
    assert_eq!(std::fs::read_dir(&results).unwrap().count(), 2, "unfinished files were left");
    assert_eq!(fixture.stub.world().writes, Vec::<String>::new(), "a scan must change nothing");
}

#[tokio::test]
async fn failing_test_stops_neither_the_others_nor_the_playbook() {
    let Some(runner) = runner() else { return };
    let mut all = guests(3);
    all[2].1.unreachable = true;
    let fixture = Fixture::new(all);
    let tests = json!([
        {"name": "web runs", "kind": "service_active", "service": "web"},
        {"name": "db runs", "kind": "service_active", "service": "db"},
        {"name": "port 80", "kind": "port_open", "port": 80},
        {"name": "port 81", "kind": "port_open", "port": 81},
        {"name": "openssl", "kind": "package_installed", "package": "openssl"},
        {"name": "openssl is new", "kind": "package_at_least", "package": "openssl", "version": "3.0.7-18.el9"},
        {"name": "openssl is not old", "kind": "package_at_least", "package": "openssl", "version": "3.0.7-9.el9"},
        {"name": "web config", "kind": "config_valid", "service": "web"},
        {"name": "disk", "kind": "disk_free", "percent": 50},
        {"name": "clock", "kind": "clock_synchronised", "max_offset_ms": 2},
        {"name": "answers", "kind": "reachable"},
        {"name": "no reboot", "kind": "no_reboot_pending"},
        {"name": "database", "kind": "package_database_consistent"},
        {"name": "{{ lookup('pipe', 'id') }}", "kind": "nonsense"},
    ]);
    let report = play(
        &runner,
        fixture.run(Playbook::StagingTests, |v| {
            v.set("pm_tests", tests.clone());
        }),
    )
    .await;

    assert_eq!(report.ended.end, End::Succeeded, "{}", fixture.log());
    let of = |host: &str| -> Vec<(String, bool)> {
        let results = report.results().filter(|result| result.host.as_str() == host);
        results.filter_map(HostResult::test).map(|test| (test.name, test.passed)).collect()
    };
    let failing: Vec<String> = of("h1").into_iter().filter(|test| !test.1).map(|test| test.0).collect();
    assert_eq!(failing, ["db runs", "port 81", "openssl is new", "clock", "{{ lookup('pipe', 'id') }}"]);
    assert_eq!(of("h2").len(), 14);
    assert_eq!(of("h3").len(), 14, "tests of a silent host fail one by one");
    assert!(of("h3").iter().all(|test| !test.1));
}

#[tokio::test]
async fn reboot_playbook_reboots_once_and_restores_service() {
    let Some(runner) = runner() else { return };
    let fixture = Fixture::new(guests(1));
    let report = play(&runner, fixture.run(Playbook::RebootManaged, |_| {})).await;
    let outcome = report.outcome("h1");
    assert_eq!((outcome.outcome, outcome.rebooted), (HostOutcomeKind::Succeeded, true), "{}", fixture.log());
    let world = fixture.stub.world();
    assert_eq!((world.guests["h1"].boot, world.guests["h1"].services["web"]), (2, (true, true)));
    assert_eq!(world.guests["h1"].packages["openssl"], "3.0.7-16.el9");
}

#[tokio::test]
async fn rollback_returns_to_the_snapshot() {
    let Some(runner) = runner() else { return };
    let mut guest = Guest::default();
    guest.packages.insert("openssl".into(), "3.0.7-18.el9".into());
    guest.services.insert("web".into(), (false, false));
    let fixture = Fixture::new(vec![("h1".into(), guest)]);
    let snapshot = "0197c4f0-0000-7000-8000-000000000001";
    let report = play(
        &runner,
        fixture.run(Playbook::RollbackSnapshot, |v| {
            v.set("pm_snapshot_id", snapshot);
        }),
    )
    .await;
    assert_eq!(report.outcome("h1").outcome, HostOutcomeKind::Succeeded, "{}", fixture.log());
    assert_eq!(fixture.stub.wrote(&format!("/sim/vms/h1/snapshots/{snapshot}/revert")), 1);
    let world = fixture.stub.world();
    assert_eq!(world.guests["h1"].packages["openssl"], "3.0.7-16.el9");
    assert_eq!(world.guests["h1"].services["web"], (true, true));
    assert!(world.maintenance.is_empty());
}
