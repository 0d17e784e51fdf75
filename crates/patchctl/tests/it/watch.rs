//! Follows a run across a restart of the platform, until its end, which the exit status reports.

use std::io::{BufRead, BufReader};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::program::Up;

const INVENTORY: &str =
    "ci_id: web-01\nos: 'rocky:9'\npackages:\n  - { name: kernel, version: 5.14.0-100.el9 }\n";

/// A platform with one host that lacks a fix.
pub fn with_a_host_to_patch(up: &Up) {
    let ci = ["ci", "create", "web-01", "--type", "vm", "--tag", "env=prod", "--tag", "os=rocky9"];
    up.run(&[&ci[..], &["--attribute", "driver=model"]].concat()).expect(0);
    up.run(&["vm", "create", "web-01", "--os", "rocky9"]).expect(0);
    let feed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../seeds/advisories/DCOS-2026-0020.json");
    up.run(&["advisory", "import", feed]).expect(0);
    up.run_with_input(&["inventory", "push", "-"], INVENTORY).expect(0);
    let lacking = up.run(&["compliance", "show", "web-01", "--all", "-o", "csv"]).expect(0).stdout;
    assert!(
        lacking.contains("kernel,5.14.0-100.el9,5.14.0-611.24.1.el9_7,DCOS-2026-0020,medium"),
        "{lacking}"
    );
}

pub fn start_run(up: &Up) -> String {
    let started = up.run(&["run", "start", "--ci", "web-01", "-o", "json"]).expect(0).stdout;
    let started: Value = serde_json::from_str(&started).unwrap();
    started["id"].as_str().unwrap().to_owned()
}

#[test]
fn watcher_survives_a_restart_and_reports_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    with_a_host_to_patch(&up);
    let id = &start_run(&up);

    let mut watcher = up.spawn(&["run", "watch", id]);
    let mut lines = BufReader::new(watcher.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.ends_with("run awaiting_approval")));

    let port_base = up.port_base.clone();
    assert!(up.stop(Signal::SIGTERM).0.success());
    let up = Up::start_at(&folder, &port_base, |command| command);
    up.run(&["run", "cancel", id, "--reason", "not today"]).expect(0);

    let rest: Vec<String> = lines.collect();
    assert!(rest.last().unwrap().starts_with("run cancelled"), "{rest:#?}");
    assert!(!rest.iter().any(|line| line.ends_with("run planning")), "printed once: {rest:#?}");
    assert_eq!(watcher.0.wait().unwrap().code(), Some(1));
}

#[test]
fn watcher_prints_events_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    with_a_host_to_patch(&up);
    let watched = up.run(&["run", "start", "--ci", "web-01", "--dry-run", "--watch", "-o", "json"]).expect(0);
    let events: Vec<Value> = watched.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(events.iter().all(|event| event["specversion"] == "1.0"));
    assert!(events.iter().any(|event| event["data"]["state"] == "succeeded"), "{events:#?}");
}

#[test]
fn paused_run_shows_its_reason_and_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    with_a_host_to_patch(&up);
    let id = &start_run(&up);
    until_state(&up, id, "awaiting_approval");
    up.run(&["run", "pause", id, "--reason", "lunch"]).expect(0);
    until_state(&up, id, "paused");
    assert!(up.run(&["run", "show", id]).expect(0).stdout.contains("lunch"));
    up.run(&["run", "resume", id]).expect(0);
    until_state(&up, id, "awaiting_approval");
    up.run(&["run", "cancel", id]).expect(0);
    until_state(&up, id, "cancelled");
    assert_eq!(up.run(&["run", "watch", id]).status, 1);
    assert_eq!(up.run(&["run", "cancel", id]).status, 1);
}

pub fn until_state(up: &Up, id: &str, wanted: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let run: Value =
            serde_json::from_str(&up.run(&["run", "show", id, "-o", "json"]).expect(0).stdout).unwrap();
        if run["state"] == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "it is {} instead of {wanted}", run["state"]);
        sleep(Duration::from_millis(100));
    }
}
