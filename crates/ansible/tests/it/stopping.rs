//! Ending a run before it completes.

use std::time::Duration;

use ansible::{
    AnsibleRunner, End, Event, ExitKind, HostOutcomeKind, Playbook, Playbooks, RunningPlaybook, StopGraces,
};
use domain::workflow::WorkflowStep;

use crate::{
    fixture::{Fixture, id, listen, play, runner, until},
    stub::Guest,
};

fn slow_guest(patch: Duration) -> Fixture {
    Fixture::new(vec![("h1".into(), Guest { patch, ..Guest::default() })])
}

async fn until_patching(fixture: &Fixture, running: &mut RunningPlaybook) {
    until(running, |event| matches!(event, Event::HostStarted { step: Some(WorkflowStep::Update), .. }))
        .await;
    for _ in 0..200 {
        if fixture.stub.wrote("/guest/transactions") == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the transaction did not begin");
}

#[tokio::test]
async fn stop_lets_the_transaction_finish_and_begins_nothing_else() {
    let Some(runner) = runner() else { return };
    let fixture = slow_guest(Duration::from_secs(2));
    let mut running = runner.start(fixture.run(Playbook::PatchRhel, |_| {})).await.unwrap();
    until_patching(&fixture, &mut running).await;
    running.request_stop();
    let report = listen(running).await;

    assert_eq!(report.ended.end, End::Stopped, "{}", fixture.log());
    let outcome = report.outcome("h1");
    assert_eq!((outcome.outcome, outcome.step), (HostOutcomeKind::Stopped, Some(WorkflowStep::Reboot)));
    assert_eq!(outcome.changed.len(), 1, "the finished transaction must be reported");
    {
        let world = fixture.stub.world();
        assert_eq!(world.guests["h1"].packages["openssl"], "3.0.7-18.el9");
        assert!(world.writes.last().unwrap().ends_with("/guest/transactions"), "{:?}", world.writes);
    }

    // Recovery finishes what a stop leaves open.
    let report = play(&runner, fixture.run(Playbook::RecoverHost, |_| {})).await;
    let outcome = report.outcome("h1");
    assert_eq!(outcome.outcome, HostOutcomeKind::Succeeded, "{}", fixture.log());
    assert_eq!((outcome.changed.len(), outcome.pending), (1, Some(Default::default())));
    let world = fixture.stub.world();
    assert_eq!(world.guests["h1"].services["web"], (true, true));
    assert!(world.maintenance.is_empty());
    assert_eq!(world.guests["h1"].boot, 1, "recovery must not reboot");
}

#[tokio::test]
async fn run_that_does_not_stop_in_time_is_terminated() {
    let Some(runner) = runner() else { return };
    let fixture = slow_guest(Duration::from_secs(60));
    let mut run = fixture.run(Playbook::PatchRhel, |_| {});
    run.stop_graces.finish = Duration::from_millis(200);
    let mut running = runner.start(run).await.unwrap();
    let process = running.process();
    until_patching(&fixture, &mut running).await;
    running.request_stop();
    let report = listen(running).await;

    assert_eq!((report.ended.end, report.ended.exit), (End::Terminated, ExitKind::Signal(15)));
    assert!(report.ended.unfinished.contains(&id("h1")));
    assert!(!process.is_alive());
    assert!(!fixture.run_dir().join("private").exists());
}

#[tokio::test]
async fn timeout_ends_a_run_that_does_not_end() {
    let Some(runner) = runner() else { return };
    let fixture = slow_guest(Duration::from_secs(60));
    let mut run = fixture.run(Playbook::PatchRhel, |_| {});
    // Long enough that the transaction is under way on a busy machine too.
    run.timeout = Duration::from_secs(20);
    run.stop_graces.finish = Duration::from_millis(200);
    let report = listen(runner.start(run).await.unwrap()).await;
    assert_eq!(report.ended.end, End::TimedOut);
    assert!(report.ended.unfinished.contains(&id("h1")));
}

/// A replacement for Ansible, for what Ansible does not do on demand.
fn program(fixture: &Fixture, text: &str) -> AnsibleRunner {
    use std::os::unix::fs::PermissionsExt;
    let path = fixture.folder.path().join("ansible-playbook");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    AnsibleRunner::new(path, Playbooks::locate().unwrap())
}

#[tokio::test]
async fn run_that_ignores_termination_is_killed_with_everything_it_started() {
    let fixture = slow_guest(Duration::ZERO);
    // The second process is a session of its own, as Ansible's workers are.
    let runner =
        program(&fixture, "trap '' TERM\nsetsid sleep 300 &\necho $! > worker\nwhile :; do sleep 0.1; done");
    let mut run = fixture.run(Playbook::PatchRhel, |_| {});
    run.stop_graces =
        StopGraces { finish: Duration::from_millis(100), terminate: Duration::from_millis(300) };
    let running = runner.start(run).await.unwrap();
    let worker_file = fixture.run_dir().join("worker");
    let mut worker = String::new();
    while worker.trim().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        worker = std::fs::read_to_string(&worker_file).unwrap_or_default();
    }
    running.request_stop();
    let report = listen(running).await;
    assert_eq!((report.ended.end, report.ended.exit), (End::Killed, ExitKind::Signal(9)));
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", worker.trim())).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(" Z "), "the worker still lives: {stat}");
}

#[tokio::test]
async fn playbook_that_cannot_be_read_is_refused_by_ansible() {
    let Some(runner) = runner() else { return };
    let fixture = slow_guest(Duration::ZERO);
    let folder = fixture.folder.path().join("playbooks");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("patch-rhel.yml"), "- hosts: all\n  nonsense: true\n").unwrap();
    let runner = AnsibleRunner::new(runner.program(), Playbooks::at(folder));
    let report = play(&runner, fixture.run(Playbook::PatchRhel, |_| {})).await;
    assert_eq!(report.ended.end, End::Refused);
    assert!(fixture.log().contains("nonsense"));
}

/// A paused owner cannot ask its playbook to stop. Another owner may work on the host by then.
#[tokio::test]
async fn no_step_begins_after_the_lease_of_the_owner() {
    let Some(runner) = runner() else { return };
    let fixture = slow_guest(Duration::from_secs(2));
    let mut run = fixture.run(Playbook::PatchRhel, |_| {});
    run.lease = Some(Duration::from_secs(600));
    let mut running = runner.start(run).await.unwrap();
    until_patching(&fixture, &mut running).await;
    running.lease_file().extend(Duration::ZERO).unwrap();
    let report = listen(running).await;

    let outcome = report.outcome("h1");
    assert_eq!((outcome.outcome, outcome.step), (HostOutcomeKind::Stopped, Some(WorkflowStep::Reboot)));
    assert_eq!(outcome.changed.len(), 1, "the transaction that was in progress is finished and reported");
    let world = fixture.stub.world();
    assert!(world.writes.last().unwrap().ends_with("/guest/transactions"), "{:?}", world.writes);
}

#[tokio::test]
async fn playbook_is_ended_when_its_heartbeats_stop_and_not_while_its_hosts_are_slow() {
    let Some(runner) = runner() else { return };
    let fixture = slow_guest(Duration::from_secs(20));
    let with_limit = || {
        let mut run = fixture.run(Playbook::PatchRhel, |_| {});
        run.silent_after = Duration::from_secs(12);
        run.stop_graces.terminate = Duration::from_secs(1);
        run
    };
    let report = play(&runner, with_limit()).await;
    assert_eq!(report.ended.end, End::Succeeded, "{}", fixture.log());

    fixture
        .stub
        .world()
        .guests
        .insert("h1".into(), Guest { patch: Duration::from_secs(60), ..Guest::default() });
    fixture.stub.world().writes.clear();
    let mut running = runner.start(with_limit()).await.unwrap();
    until_patching(&fixture, &mut running).await;
    let process = running.process();
    let paused =
        std::process::Command::new("kill").args(["-STOP", &process.pid.to_string()]).status().unwrap();
    assert!(paused.success());
    let began = std::time::Instant::now();
    let report = listen(running).await;
    assert_eq!(report.ended.end, End::Silent);
    assert!(began.elapsed() >= Duration::from_secs(6), "it had a heartbeat at most 5 s ago");
    assert!(report.ended.unfinished.contains(&id("h1")));
    assert!(!process.is_alive());
}
