//! The host workflow of the patch playbooks.

use std::time::{Duration, Instant};

use ansible::{End, Event, HostOutcomeKind, HostStatus, PackageChange, Playbook, Secret};
use domain::workflow::WorkflowStep;
use serde_json::json;

use crate::{
    fixture::{Fixture, guests, patch_one, play, runner, until},
    stub::Guest,
};

#[tokio::test]
async fn hosts_are_patched_rebooted_and_put_back_into_service() {
    let Some(runner) = runner() else { return };
    let fixture = Fixture::new(guests(3));
    let report = play(&runner, fixture.run(Playbook::PatchRhel, |_| {})).await;

    assert_eq!(report.ended.end, End::Succeeded, "{}", fixture.log());
    assert!(report.ended.unfinished.is_empty());
    for host in ["h1", "h2", "h3"] {
        let outcome = report.outcome(host);
        assert_eq!(outcome.outcome, HostOutcomeKind::Succeeded);
        assert!(outcome.rebooted);
        assert_eq!(outcome.boot_id.as_deref(), Some("00000000-0000-0000-0000-000000000002"));
        let change = PackageChange {
            package: "openssl".into(),
            from: Some("3.0.7-16.el9".into()),
            to: Some("3.0.7-18.el9".into()),
        };
        assert_eq!(outcome.changed, [change]);
        assert_eq!(outcome.pending, Some(Default::default()));
    }
    let steps: Vec<_> =
        report.results().filter(|result| result.host.as_str() == "h1").filter_map(|r| r.step).collect();
    assert_eq!(steps, WorkflowStep::ALL);
    let world = fixture.stub.world();
    assert!(world.maintenance.is_empty());
    for guest in world.guests.values() {
        assert_eq!(guest.packages["openssl"], "3.0.7-18.el9");
        assert_eq!(guest.packages["curl"], "7.76.1-23.el9", "a package outside of the plan was touched");
        assert_eq!(guest.services["web"], (true, true));
    }
}

#[tokio::test]
async fn failed_transaction_fails_only_its_host_and_leaves_it_in_service() {
    let Some(runner) = runner() else { return };
    let mut all = guests(2);
    all[1].1.failure = Some("E: sub-process returned an error code (1)".into());
    let fixture = Fixture::new(all);
    let report = play(&runner, fixture.run(Playbook::PatchMixed, |_| {})).await;

    assert_eq!(report.ended.end, End::HostsFailed);
    assert_eq!(report.outcome("h1").outcome, HostOutcomeKind::Succeeded);
    let outcome = report.outcome("h2");
    assert_eq!((outcome.outcome, outcome.step), (HostOutcomeKind::Failed, Some(WorkflowStep::Update)));
    assert_eq!(outcome.reason.as_deref(), Some("E: sub-process returned an error code (1)"));
    assert!(!outcome.rebooted);
    let world = fixture.stub.world();
    assert_eq!(world.guests["h2"].services["web"], (true, true), "its service was left stopped");
    assert!(world.maintenance.is_empty(), "it was left in maintenance");
}

#[tokio::test]
async fn silent_host_is_unreachable_and_the_others_go_on() {
    let Some(runner) = runner() else { return };
    let mut all = guests(2);
    all[0].1.unreachable = true;
    let fixture = Fixture::new(all);
    let report = play(&runner, fixture.run(Playbook::PatchRhel, |_| {})).await;

    assert_eq!(report.ended.end, End::HostsFailed);
    let outcome = report.outcome("h1");
    assert_eq!((outcome.outcome, outcome.step), (HostOutcomeKind::Unreachable, Some(WorkflowStep::Precheck)));
    assert_eq!(report.outcome("h2").outcome, HostOutcomeKind::Succeeded);
}

#[tokio::test]
async fn precheck_refuses_before_anything_is_touched() {
    let Some((fixture, report)) = patch_one(Guest { disk_free_percent: 1.0, ..Guest::default() }).await
    else {
        return;
    };

    let outcome = report.outcome("h1");
    assert_eq!((outcome.outcome, outcome.step), (HostOutcomeKind::Failed, Some(WorkflowStep::Precheck)));
    assert!(outcome.reason.unwrap().contains("1.0 % of the disk"));
    assert_eq!(fixture.stub.world().writes, Vec::<String>::new());
}

#[tokio::test]
async fn unhealthy_service_fails_the_verification() {
    let Some((_, report)) = patch_one(Guest { breaks_on_start: true, ..Guest::default() }).await else {
        return;
    };

    let outcome = report.outcome("h1");
    assert_eq!((outcome.outcome, outcome.step), (HostOutcomeKind::Failed, Some(WorkflowStep::Health)));
    assert_eq!(outcome.reason.as_deref(), Some("service `web` runs and is not healthy after 3 s"));
    assert!(outcome.rebooted, "what was done must be reported");
}

#[tokio::test]
async fn transaction_waits_for_the_package_lock() {
    let Some(runner) = runner() else { return };
    let fixture = Fixture::new(guests(1));
    let lock =
        |until: Option<Instant>| fixture.stub.world().guests.get_mut("h1").unwrap().locked_until = until;
    lock(Some(Instant::now() + Duration::from_secs(600)));
    let unlock = async {
        while fixture.stub.wrote("/guest/transactions") == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        lock(None);
    };
    let (report, ()) = tokio::join!(play(&runner, fixture.run(Playbook::PatchRhel, |_| {})), unlock);
    assert_eq!(report.outcome("h1").outcome, HostOutcomeKind::Succeeded, "{}", fixture.log());
    assert!(fixture.stub.wrote("/guest/transactions") > 1, "it was not locked");
}

#[tokio::test]
async fn host_with_an_unhealthy_service_is_not_touched() {
    let mut guest = Guest::default();
    guest.services.insert("web".into(), (true, false));
    let Some((fixture, report)) = patch_one(guest).await else { return };
    let outcome = report.outcome("h1");
    assert_eq!((outcome.outcome, outcome.step), (HostOutcomeKind::Failed, Some(WorkflowStep::Precheck)));
    assert_eq!(fixture.stub.world().writes, Vec::<String>::new());
}

#[tokio::test]
async fn host_that_dies_during_a_step_is_unreachable_at_that_step() {
    let Some((_, report)) = patch_one(Guest { dies_while_patching: true, ..Guest::default() }).await else {
        return;
    };
    let outcome = report.outcome("h1");
    assert_eq!((outcome.outcome, outcome.step), (HostOutcomeKind::Unreachable, Some(WorkflowStep::Update)));
    assert_eq!(report.ended.end, End::HostsFailed);
}

#[tokio::test]
async fn host_that_dies_after_a_failure_keeps_the_reason_of_the_failure() {
    let Some(runner) = runner() else { return };
    let failure = Some("E: no space left on device".into());
    let guest = Guest { failure, needs_reboot: false, ..Guest::default() };
    let fixture = Fixture::new(vec![("h1".into(), guest)]);
    let mut running = runner.start(fixture.run(Playbook::PatchRhel, |_| {})).await.unwrap();
    until(&mut running, |event| {
        matches!(event, Event::HostResult(result) if result.step == Some(WorkflowStep::Update) && result.status == HostStatus::Failed)
    })
    .await;
    fixture.stub.world().guests.get_mut("h1").unwrap().unreachable = true;
    let report = crate::fixture::listen(running).await;
    let outcome = report.outcome("h1");
    assert_eq!(outcome.outcome, HostOutcomeKind::Failed, "{}", fixture.log());
    let reason = outcome.reason.unwrap();
    assert!(reason.starts_with("E: no space left on device; starting its services failed: "), "{reason}");
    assert!(fixture.stub.world().maintenance.is_empty(), "maintenance ends although the guest is silent");
}

#[tokio::test]
async fn repeated_run_neither_patches_nor_reboots_twice() {
    let Some(runner) = runner() else { return };
    let fixture = Fixture::new(guests(1));
    let before = "00000000-0000-0000-0000-000000000001";
    let resumable = |variables: &mut ansible::Variables| {
        variables.set("pm_boot_id_before", before).set("pm_reboot", "always");
    };
    play(&runner, fixture.run(Playbook::PatchRhel, resumable)).await;
    let report = play(&runner, fixture.run(Playbook::PatchRhel, resumable)).await;

    let outcome = report.outcome("h1");
    assert_eq!(outcome.outcome, HostOutcomeKind::Succeeded);
    assert!(outcome.rebooted, "the reboot of the first attempt counts");
    assert_eq!(outcome.changed.len(), 1, "the change of the first attempt counts");
    assert_eq!(fixture.stub.wrote("/guest/reboot"), 1);
    assert_eq!(fixture.stub.world().guests["h1"].boot, 2);
}

#[tokio::test]
async fn policy_can_forbid_the_reboot() {
    let Some(runner) = runner() else { return };
    let fixture = Fixture::new(guests(1));
    let report = play(
        &runner,
        fixture.run(Playbook::PatchRhel, |v| {
            v.set("pm_reboot", "never");
        }),
    )
    .await;
    assert_eq!(report.outcome("h1").outcome, HostOutcomeKind::Succeeded);
    assert_eq!(fixture.stub.wrote("/guest/reboot"), 0);
}

#[tokio::test]
async fn short_outage_of_the_services_fails_no_host() {
    let Some(runner) = runner() else { return };
    let fixture = Fixture::new(guests(2));
    fixture.stub.world().gone_until = Some(Instant::now() + Duration::from_secs(4));
    let report = play(&runner, fixture.run(Playbook::PatchRhel, |_| {})).await;
    assert_eq!(report.ended.end, End::Succeeded, "{}", fixture.log());
}

#[tokio::test]
async fn at_most_as_many_hosts_as_forks_are_in_work() {
    let Some(runner) = runner() else { return };
    let fixture = Fixture::new(guests(6));
    let mut run = fixture.run(Playbook::PatchRhel, |_| {});
    run.forks = 2;
    let report = play(&runner, run).await;
    assert_eq!(report.ended.end, End::Succeeded);
    assert!(
        fixture.stub.world().most_in_work <= 2,
        "{} hosts were in work",
        fixture.stub.world().most_in_work
    );
}

#[tokio::test]
async fn secrets_appear_nowhere_and_leave_no_file() {
    let Some(runner) = runner() else { return };
    let mut all = guests(1);
    all[0].1.failure = Some("login with hunter2-secret refused".into());
    let fixture = Fixture::new(all);
    let mut run = fixture.run(Playbook::PatchRhel, |v| {
        v.set("pm_services", json!(["token-of-the-test"]));
    });
    run.secrets.push(Secret::new("hunter2-secret"));
    let mut second = run.clone();
    second.inventory = fixture.run(Playbook::PatchRhel, |_| {}).inventory;
    for run in [run, second] {
        let report = play(&runner, run).await;
        let shown = format!("{:?}", report.events) + &fixture.log();
        assert!(shown.contains("[redacted]"));
        assert!(!shown.contains("hunter2-secret") && !shown.contains("token-of-the-test"));
        assert!(!fixture.run_dir().join("private").exists());
    }
    assert_eq!(fixture.stub.world().refused_tokens, 0, "the plugins must still know the token");
}

#[tokio::test]
async fn slow_reader_loses_nothing() {
    let Some(runner) = runner() else { return };
    let fixture = Fixture::new(guests(8));
    let tests: Vec<_> =
        (0..80).map(|number| json!({"name": format!("t{number}"), "kind": "reachable"})).collect();
    let run = fixture.run(Playbook::StagingTests, |v| {
        v.set("pm_tests", tests.clone());
    });
    let mut running = runner.start(run).await.unwrap();
    let mut count = 0;
    while let Some(event) = crate::fixture::next(&mut running).await {
        // More events arrive in this time than the channel and the pipe can hold.
        if count == 0 {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        if let Event::HostResult(result) = event {
            assert_ne!(result.status, HostStatus::Failed);
            count += usize::from(result.test().is_some());
        }
    }
    assert_eq!(count, 8 * 80);
}
