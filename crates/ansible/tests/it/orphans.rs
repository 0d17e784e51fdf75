//! Runs whose owner is gone.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use ansible::{Orphan, OrphanEnd, Playbook};

use crate::{
    fixture::{Fixture, guests, runner},
    stub::Guest,
};

const ROLE: &str = "ANSIBLE_TEST_OWNER";

#[tokio::test]
async fn orphan_is_ended_by_its_pid_and_start_time() {
    let Some(runner) = runner() else { return };
    let fixture =
        Fixture::new(vec![("h1".into(), Guest { patch: Duration::from_secs(60), ..Guest::default() })]);
    let mut running = runner.start(fixture.run(Playbook::PatchRhel, |_| {})).await.unwrap();
    let orphan = running.process();
    crate::fixture::next(&mut running).await;
    let stranger = Orphan { start_time: orphan.start_time + 1, ..orphan };
    assert_eq!(stranger.end(Duration::from_secs(5)).await, OrphanEnd::Gone);
    assert!(orphan.is_alive());
    assert_eq!(orphan.end(Duration::from_secs(10)).await, OrphanEnd::Terminated);
    assert_eq!(orphan.end(Duration::from_secs(10)).await, OrphanEnd::Gone);
}

#[tokio::test]
async fn stopped_orphan_is_ended_too() {
    let Some(runner) = runner() else { return };
    let fixture =
        Fixture::new(vec![("h1".into(), Guest { patch: Duration::from_secs(60), ..Guest::default() })]);
    let mut running = runner.start(fixture.run(Playbook::PatchRhel, |_| {})).await.unwrap();
    crate::fixture::next(&mut running).await;
    let orphan = running.process();
    let pid = nix::unistd::Pid::from_raw(orphan.pid as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();
    assert_ne!(orphan.end(Duration::from_secs(5)).await, OrphanEnd::Stuck);
    assert!(!orphan.is_alive());
}

/// The owner is this test program, started once more and killed without a chance to clean up.
#[test]
fn run_ends_when_its_owner_is_killed() {
    if runner().is_none() {
        return;
    }
    let folder = tempfile::TempDir::new().unwrap();
    let note = folder.path().join("process.json");
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "orphans::owner_of_a_run", "--nocapture"])
        .env(ROLE, &note)
        // What it cannot clean up goes with this test's own folder.
        .env("TMPDIR", folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let orphan: Orphan = loop {
        assert!(Instant::now() < deadline, "the run did not start");
        std::thread::sleep(Duration::from_millis(50));
        if let Some(orphan) = std::fs::read(&note).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
            break orphan;
        }
    };
    assert!(orphan.is_alive());
    owner.kill().unwrap();
    owner.wait().unwrap();
    while orphan.is_alive() {
        assert!(Instant::now() < deadline + Duration::from_secs(15), "the run outlived its owner");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test]
async fn owner_of_a_run() {
    let Some(note) = std::env::var_os(ROLE) else { return };
    let Some(runner) = runner() else { return };
    let mut all = guests(1);
    all[0].1.patch = Duration::from_secs(60);
    let fixture = Fixture::new(all);
    let mut running = runner.start(fixture.run(Playbook::PatchRhel, |_| {})).await.unwrap();
    crate::fixture::next(&mut running).await;
    std::fs::write(note, serde_json::to_vec(&running.process()).unwrap()).unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
}
