//! For all tests: hosts of the `model` driver, a run, and its events.

use std::{fs, path::PathBuf, time::Duration};

use ansible::{
    AnsibleRunner, Connection, Ended, Event, HostOutcome, HostResult, Inventory, Playbook, PlaybookRun,
    RunningPlaybook, Secret, Variables,
};
use domain::ids::CiId;
use serde_json::json;
use tempfile::TempDir;
use test_skip::{Reason, skip};

use crate::stub::{Guest, Stub};

/// No test waits longer for one event.
const EVENT_DEADLINE: Duration = Duration::from_secs(60);

/// The runner, or `None` on a machine without Ansible, which is reported.
pub fn runner() -> Option<AnsibleRunner> {
    match AnsibleRunner::locate() {
        Ok(runner) => Some(runner),
        Err(error) => {
            skip(Reason::MissingTool, error);
            None
        }
    }
}

pub fn id(name: &str) -> CiId {
    CiId::new(name).unwrap()
}

/// Hosts `h1`, `h2`, ... as default guests.
pub fn guests(count: usize) -> Vec<(String, Guest)> {
    (1..=count).map(|number| (format!("h{number}"), Guest::default())).collect()
}

pub struct Fixture {
    pub stub: Stub,
    pub folder: TempDir,
}

impl Fixture {
    pub fn new(guests: Vec<(String, Guest)>) -> Self {
        Self { stub: Stub::start(guests), folder: TempDir::new().unwrap() }
    }

    pub fn run_dir(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// A run on all guests that brings `openssl` to its fixed version; `adjust` may change the variables.
    pub fn run(&self, playbook: Playbook, adjust: impl Fn(&mut Variables)) -> PlaybookRun {
        let mut inventory = Inventory::new();
        for name in self.stub.world().guests.keys() {
            let mut variables = Variables::new();
            variables
                .set("pm_driver", "model")
                .set("pm_updates", json!({"openssl": "3.0.7-18.el9"}))
                .set("pm_services", json!(["web"]));
            adjust(&mut variables);
            inventory.add_host(id(name), Connection::Controller, variables).unwrap();
            inventory.add_to_group("packaging_rpm", &id(name)).unwrap();
        }
        let mut run = PlaybookRun::new(playbook, inventory, self.run_dir());
        run.timeout = Duration::from_secs(120);
        run.api_token = Some(Secret::new("token-of-the-test"));
        self.stub.world().token = Some("token-of-the-test".into());
        run.extra_vars
            .set("pm_sim_url", self.stub.url.as_str())
            .set("pm_cmdb_url", self.stub.url.as_str())
            .set("pm_run_id", "r1")
            .set("pm_unreachable_seconds", 1)
            .set("pm_health_timeout_seconds", 3)
            .set("pm_health_stable_seconds", 0.1);
        run
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.run_dir().join("output.log")).unwrap_or_default()
    }
}

/// Everything a run reported.
pub struct Report {
    pub events: Vec<Event>,
    pub ended: Ended,
}

impl Report {
    pub fn results(&self) -> impl Iterator<Item = &HostResult> {
        self.events.iter().filter_map(|event| match event {
            Event::HostResult(result) => Some(result),
            _ => None,
        })
    }

    pub fn outcome(&self, host: &str) -> HostOutcome {
        let outcomes: Vec<_> = self
            .results()
            .filter(|result| result.host.as_str() == host)
            .filter_map(HostResult::outcome)
            .collect();
        assert_eq!(outcomes.len(), 1, "{host} must have one outcome: {:#?}", self.events);
        outcomes.into_iter().next().unwrap()
    }
}

pub async fn next(running: &mut RunningPlaybook) -> Option<Event> {
    tokio::time::timeout(EVENT_DEADLINE, running.next_event()).await.expect("an event in time")
}

pub async fn listen(mut running: RunningPlaybook) -> Report {
    let mut events = Vec::new();
    while let Some(event) = next(&mut running).await {
        if let Event::Ended(ended) = event {
            assert!(next(&mut running).await.is_none(), "`Ended` must be the last event");
            return Report { events, ended };
        }
        events.push(event);
    }
    panic!("the stream ended without `Ended`: {events:#?}");
}

pub async fn play(runner: &AnsibleRunner, run: PlaybookRun) -> Report {
    listen(runner.start(run).await.unwrap()).await
}

/// Patches one guest, `h1`; `None` on a machine without Ansible.
pub async fn patch_one(guest: Guest) -> Option<(Fixture, Report)> {
    let runner = runner()?;
    let fixture = Fixture::new(vec![("h1".into(), guest)]);
    let report = play(&runner, fixture.run(Playbook::PatchRhel, |_| {})).await;
    Some((fixture, report))
}

/// Reads events until one of them is what the test waits for.
pub async fn until(running: &mut RunningPlaybook, wanted: impl Fn(&Event) -> bool) {
    while let Some(event) = next(running).await {
        if wanted(&event) {
            return;
        }
        assert!(!matches!(event, Event::Ended(_)), "the run ended before the expected event: {event:?}");
    }
}
