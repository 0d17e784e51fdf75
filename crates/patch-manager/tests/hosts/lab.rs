//! Five hosts, and playbook runs on them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use ansible::{
    AnsibleRunner, Connection, Ended, Event, HostKeyRule, HostOutcome, HostOutcomeKind, HostResult,
    Inventory, Playbook, PlaybookRun, RunningPlaybook, Secret, SshConnection, SshKey, Variables,
};
use domain::{ids::CiId, workflow::WorkflowStep};
use serde_json::{Value, json};
use sim_engine::{SimEngine, SimSettings};
use tempfile::TempDir;
use test_support::{Http, TestDatabase, TestFleet, TestService};

pub const DEBIAN: [&str; 2] = ["deb-01", "deb-02"];
pub const ROCKY: [&str; 2] = ["rpm-01", "rpm-02"];
/// The host with zypper; most scenarios are about the others.
pub const LEAP: &str = "leap-01";
pub const ALL: [&str; 4] = ["deb-01", "deb-02", "rpm-01", "rpm-02"];
/// The first and the second host of each family, for two scenarios at the same time.
pub const FIRST: [&str; 2] = ["deb-01", "rpm-01"];
pub const SECOND: [&str; 2] = ["deb-02", "rpm-02"];
const EVENT_DEADLINE: Duration = Duration::from_secs(180);

pub struct Lab {
    pub runner: AnsibleRunner,
    pub operator: Http,
    vms: BTreeMap<String, Value>,
    _service: TestService,
    fleet: TestFleet,
    _database: TestDatabase,
    pub folder: TempDir,
    runs: AtomicU32,
}

impl Lab {
    pub async fn open() -> Option<Self> {
        let fleet = TestFleet::new()?;
        let runner = match AnsibleRunner::locate() {
            Ok(runner) => runner,
            Err(error) => {
                test_support::skip(test_support::Reason::MissingTool, error);
                return None;
            }
        };
        let database = TestDatabase::create().await;
        let settings = SimSettings {
            laboratory: true,
            fleet_dir: Some(fleet.folder().to_path_buf()),
            fleet_images: Some(fleet.images().to_path_buf()),
        };
        let service = TestService::start::<SimEngine>(database.url(), settings).await;
        let operator = service.operator().await;
        let mut lab = Self {
            runner,
            operator,
            vms: BTreeMap::new(),
            _service: service,
            fleet,
            _database: database,
            folder: TempDir::new().unwrap(),
            runs: AtomicU32::new(0),
        };
        lab.create_hosts().await;
        Some(lab)
    }

    async fn create_hosts(&mut self) {
        let vm = |id: &str| {
            let os = match id {
                LEAP => "leap15.6",
                _ if DEBIAN.contains(&id) => "debian12",
                _ => "rocky9",
            };
            json!({ "id": id, "driver": "linux", "os": os, "guest": { "services": [{ "name": "nginx", "port": 443 }] } })
        };
        for host in hosts() {
            let until = Instant::now() + Duration::from_secs(120);
            let created = loop {
                let answer = self.operator.post("/sim/vms", &vm(host)).await;
                let is_opening = answer.status == 503 && answer.json["type"] == "/problems/fleet-opening";
                if !is_opening || Instant::now() > until {
                    break answer.expect(201);
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            };
            self.vms.insert(host.to_owned(), created);
        }
    }

    pub async fn close(&self) {
        for id in hosts() {
            self.operator.delete(&format!("/sim/vms/{id}")).await.expect(204);
        }
    }

    /// A unique id for a run and its transactions on the hosts.
    pub fn run_id(&self) -> String {
        format!("run-{}", self.runs.fetch_add(1, Ordering::Relaxed))
    }

    pub fn access(&self, host: &str, field: &str) -> String {
        self.vms[host]["ssh"][field].as_str().unwrap().to_owned()
    }

    /// The key of a host, passed as a secret.
    pub fn key(&self, host: &str) -> SshKey {
        SshKey::Secret(Secret::new(std::fs::read_to_string(self.access(host, "key_file")).unwrap()))
    }

    pub fn connection(&self, host: &str, host_key: HostKeyRule) -> SshConnection {
        let address = self.access(host, "address").parse().unwrap();
        SshConnection::new(address, 22, &self.access(host, "user"), self.key(host), host_key).unwrap()
    }

    /// A playbook run over hosts with known keys; `adjust` may change their variables.
    pub fn run(
        &self,
        playbook: Playbook,
        hosts: &[&str],
        run_id: &str,
        adjust: impl Fn(&str, &mut Variables),
    ) -> PlaybookRun {
        let known = |host: &str| HostKeyRule::Known(self.access(host, "host_key").parse().unwrap());
        let connections = hosts.iter().map(|host| (*host, self.connection(host, known(host))));
        self.run_by(playbook, connections, run_id, adjust)
    }

    pub fn run_by<'a>(
        &self,
        playbook: Playbook,
        connections: impl IntoIterator<Item = (&'a str, SshConnection)>,
        run_id: &str,
        adjust: impl Fn(&str, &mut Variables),
    ) -> PlaybookRun {
        let mut inventory = Inventory::new();
        for (host, connection) in connections {
            let mut variables = Variables::new();
            variables
                .set("pm_driver", "ssh")
                .set("pm_vm_id", host)
                .set("pm_services", json!(["nginx"]))
                .set("pm_updates", openssl(host));
            adjust(host, &mut variables);
            inventory.add_host(id(host), Connection::Ssh(Box::new(connection)), variables).unwrap();
            let group = if DEBIAN.contains(&host) { "packaging_dpkg" } else { "packaging_rpm" };
            inventory.add_to_group(group, &id(host)).unwrap();
        }
        let folder = format!("{run_id}-{}", self.runs.fetch_add(1, Ordering::Relaxed));
        let mut run = PlaybookRun::new(playbook, inventory, self.folder.path().join(folder));
        run.timeout = Duration::from_secs(300);
        run.extra_vars.set("pm_run_id", run_id).set("pm_health_stable_seconds", 0.5);
        run
    }

    pub async fn play(&self, run: PlaybookRun) -> Recording {
        let log = run.run_dir.join("output.log");
        let mut recording = record(self.runner.start(run).await.unwrap()).await;
        recording.log = log;
        recording
    }

    /// Runs a command on a host, which must succeed. Returns its output.
    pub async fn ssh(&self, host: &str, line: &str) -> String {
        let mut command = self.fleet.ssh(&self.access(host, "address"), &self.access(host, "host_key"));
        command.arg(line);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "`{line}` on {host}: {error}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Makes a folder of a host a copy of `folder`.
    pub async fn send(&self, host: &str, folder: &Path, target: &str) {
        let mut tar = Command::new("tar");
        let mut packed =
            tar.arg("-cz").arg("-C").arg(folder).arg(".").stdout(Stdio::piped()).spawn().unwrap();
        let mut ssh = self.fleet.ssh(&self.access(host, "address"), &self.access(host, "host_key"));
        ssh.arg(format!("rm -rf {target} && mkdir -p {target} && tar -xz -C {target}"));
        ssh.stdin(packed.stdout.take().unwrap());
        let output = tokio::task::spawn_blocking(move || ssh.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{host}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(packed.wait().unwrap().success());
    }

    pub async fn version(&self, host: &str, package: &str) -> String {
        let line = if DEBIAN.contains(&host) {
            format!("dpkg-query -W -f '${{Version}}' {package}")
        } else {
            format!("rpm -q --qf '%|EPOCH?{{%{{EPOCH}}:}}:{{}}|%{{VERSION}}-%{{RELEASE}}' {package}")
        };
        self.ssh(host, &line).await
    }

    pub async fn until(&self, host: &str, line: &str) {
        let until = Instant::now() + Duration::from_secs(90);
        let line = format!("{line} && echo yes || true");
        while !self.ssh(host, &line).await.ends_with("yes") {
            assert!(Instant::now() < until, "`{line}` does not succeed on {host}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    pub async fn inject(&self, kind: &str, body: Value) -> Value {
        self.operator.post(&format!("/sim/inject/{kind}"), &body).await.expect(201)
    }

    pub async fn end(&self, fault: &Value) {
        let fault = fault["id"].as_str().unwrap();
        self.operator.delete(&format!("/sim/inject/{fault}")).await.expect(204);
    }

    /// Downgrades to the older versions, with the services running.
    pub async fn roll_back(&self, hosts: &[&str]) {
        let run = self.run(Playbook::RollbackSnapshot, hosts, &self.run_id(), |host, variables| {
            variables.set("pm_downgrades", old_openssl(host));
        });
        let recording = self.play(run).await;
        for host in hosts {
            assert_eq!(recording.outcome(host).outcome, HostOutcomeKind::Succeeded, "{}", recording.output());
        }
    }
}

fn hosts() -> impl Iterator<Item = &'static str> {
    ALL.into_iter().chain([LEAP])
}

pub fn id(name: &str) -> CiId {
    CiId::new(name).unwrap()
}

/// The update that every run here installs.
pub fn openssl(host: &str) -> Value {
    json!({ "openssl": if DEBIAN.contains(&host) { "3.0.18-1~deb12u2" } else { "1:3.2.2-7.el9_7" } })
}

pub fn old_openssl(host: &str) -> Value {
    json!({ "openssl": if DEBIAN.contains(&host) { "3.0.17-1~deb12u3" } else { "1:3.2.2-6.el9_6.2" } })
}

/// All events of a playbook run.
pub struct Recording {
    pub events: Vec<Event>,
    pub ended: Ended,
    pub log: PathBuf,
}

impl Recording {
    pub fn results<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a HostResult> {
        self.events.iter().filter_map(move |event| match event {
            Event::HostResult(result) if result.host.as_str() == host => Some(result),
            _ => None,
        })
    }

    /// The only outcome of a host.
    pub fn outcome(&self, host: &str) -> HostOutcome {
        let outcomes: Vec<_> = self.results(host).filter_map(HostResult::outcome).collect();
        assert_eq!(outcomes.len(), 1, "{host} must have one outcome: {}", self.output());
        outcomes.into_iter().next().unwrap()
    }

    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

pub async fn next(running: &mut RunningPlaybook) -> Option<Event> {
    tokio::time::timeout(EVENT_DEADLINE, running.next_event()).await.expect("an event in time")
}

pub async fn record(mut running: RunningPlaybook) -> Recording {
    let log = running.log().clone();
    let mut events = Vec::new();
    while let Some(event) = next(&mut running).await {
        if let Event::Ended(ended) = event {
            return Recording { events, ended, log };
        }
        events.push(event);
    }
    panic!("the stream ended without `Ended`: {events:#?}");
}

/// Reads events until the step starts on a host.
pub async fn until_step(running: &mut RunningPlaybook, step: WorkflowStep) {
    while let Some(event) = next(running).await {
        assert!(!matches!(event, Event::Ended(_)), "the run ended before `{}`", step.name());
        if matches!(&event, Event::HostStarted { step: Some(begun), .. } if *begun == step) {
            return;
        }
    }
}
