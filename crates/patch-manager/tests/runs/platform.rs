//! A platform of four services in this process, with a small fleet.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use api_types::access::Role;
use cmdb::Cmdb;
use itsm::Itsm;
use patch_manager::PatchManager;
use serde_json::{Value, json};
use service_kit::Clock;
use sim_engine::SimEngine;
use test_support::{Http, TestDatabase, TestService};
use tokio::net::TcpListener;

/// Where `ansible-playbook` is, or `None` with a message.
pub fn ansible_playbook() -> Option<PathBuf> {
    let named = std::env::var_os("PATCH_ANSIBLE_PLAYBOOK").map(PathBuf::from);
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.patch/venv/bin/ansible-playbook");
    let found = named.into_iter().chain([own]).find(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: ansible-playbook is not installed; `cargo xtask bootstrap` installs it");
    }
    found
}

pub struct Platform {
    pub database: Option<TestDatabase>,
    pub database_url: String,
    pub cmdb: Option<TestService>,
    pub itsm: Option<TestService>,
    pub sim: Option<TestService>,
    pub patch: Option<TestService>,
    pub addresses: Addresses,
    pub clock: Clock,
    work_dir: tempfile::TempDir,
    ansible: PathBuf,
    people: Vec<(String, String)>,
}

#[derive(Clone, Copy)]
pub struct Addresses {
    pub cmdb: SocketAddr,
    pub itsm: SocketAddr,
    pub sim: SocketAddr,
    pub patch: SocketAddr,
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}")
}

impl Platform {
    /// Starts everything, or gives `None` where Ansible is missing.
    pub async fn start() -> Option<Self> {
        let database = TestDatabase::create().await;
        let url = database.url().to_owned();
        let mut platform = Self::start_at(url, Clock::system()).await?;
        platform.database = Some(database);
        Some(platform)
    }

    pub async fn start_at(database_url: String, clock: Clock) -> Option<Self> {
        let ansible = ansible_playbook()?;
        let mut listeners = Vec::new();
        for _ in 0..4 {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let address = |index: usize| listeners[index].local_addr().unwrap();
        let addresses = Addresses { cmdb: address(0), itsm: address(1), sim: address(2), patch: address(3) };
        let mut platform = Self {
            database: None,
            database_url,
            cmdb: None,
            itsm: None,
            sim: None,
            patch: None,
            addresses,
            clock,
            work_dir: tempfile::tempdir().unwrap(),
            ansible,
            people: Vec::new(),
        };
        drop(listeners);
        platform.start_sim().await;
        platform.start_cmdb().await;
        platform.start_itsm().await;
        platform.start_patch().await;
        let patch = platform.patch.as_ref().unwrap();
        for (name, roles) in [
            ("olivia", vec![Role::Operator]),
            ("arjun", vec![Role::Approver]),
            ("service", vec![Role::Service]),
        ] {
            let token = patch.as_role(name, &roles).await.token().unwrap().to_owned();
            platform.people.push((name.to_owned(), token));
        }
        Some(platform)
    }

    pub async fn start_cmdb(&mut self) {
        let settings = cmdb::Settings { sim_engine_url: url(self.addresses.sim) };
        let listener = TcpListener::bind(self.addresses.cmdb).await.unwrap();
        self.cmdb = Some(
            TestService::start_on::<Cmdb>(&self.database_url, settings, listener, self.clock.clone()).await,
        );
    }

    pub async fn start_itsm(&mut self) {
        let listener = TcpListener::bind(self.addresses.itsm).await.unwrap();
        let settings = itsm::Settings::default();
        self.itsm = Some(
            TestService::start_on::<Itsm>(&self.database_url, settings, listener, self.clock.clone()).await,
        );
    }

    pub async fn start_sim(&mut self) {
        let listener = TcpListener::bind(self.addresses.sim).await.unwrap();
        // The guests' time is real: what they do takes real seconds.
        let settings = sim_engine::SimSettings {};
        self.sim = Some(
            TestService::start_on::<SimEngine>(&self.database_url, settings, listener, Clock::system()).await,
        );
    }

    pub async fn start_patch(&mut self) {
        let listener = TcpListener::bind(self.addresses.patch).await.unwrap();
        self.patch = Some(self.another_patch(listener).await);
    }

    /// One more patch-manager on the same database.
    pub async fn another_patch(&self, listener: TcpListener) -> TestService {
        let settings = patch_manager::Settings {
            cmdb_url: url(self.addresses.cmdb),
            itsm_url: url(self.addresses.itsm),
            sim_engine_url: url(self.addresses.sim),
            ansible_playbook: Some(self.ansible.clone()),
            playbooks: Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../playbooks")),
            work_dir: self.work_dir.path().to_owned(),
            ssh_key_file: None,
            ssh_user: "root".to_owned(),
            forks: 8,
            public_url: url(self.addresses.patch),
        };
        TestService::start_on::<PatchManager>(&self.database_url, settings, listener, self.clock.clone())
            .await
    }

    fn http(&self, address: SocketAddr, who: &str) -> Http {
        let token = self.people.iter().find(|(name, _)| name == who).map(|(_, token)| token.clone());
        Http::new(&url(address), token)
    }

    pub fn patch(&self) -> Http {
        self.http(self.addresses.patch, "olivia")
    }

    pub fn cmdb(&self) -> Http {
        self.http(self.addresses.cmdb, "olivia")
    }

    pub fn itsm(&self) -> Http {
        self.http(self.addresses.itsm, "olivia")
    }

    pub fn sim(&self) -> Http {
        self.http(self.addresses.sim, "olivia")
    }

    pub fn approver(&self) -> Http {
        self.http(self.addresses.itsm, "arjun")
    }

    /// `count` production hosts `h-1`... that all lack the fix of `DCOS-2026-0100`, in a service that needs `min_up`.
    pub async fn fleet(&self, count: usize, min_up: usize) {
        let repository = json!({ "packages": { "openssl": [OLD, NEW] } });
        self.sim().put("/sim/repositories/debian12", &repository).await.expect(200);
        let names: Vec<String> = (1..=count).map(|n| format!("h-{n}")).collect();
        let tags = json!({ "env": "prod", "os": "debian12", "cluster": "c-1" });
        let vm = |name: &String| {
            json!({ "id": name, "driver": "model", "os": "debian12", "tags": tags, "guest": {
                "packages": { "openssl": OLD }, "services": [{ "name": "nginx", "port": 443, "sessions": 3 }],
                "patch_seconds": 0.6, "reboot_seconds": 0.5, "drain_seconds": 0.2 } })
        };
        let vms: Vec<Value> = names.iter().map(vm).collect();
        self.sim().post("/sim/vms/bulk", &json!({ "vms": vms })).await.expect(201);
        let service = json!({ "id": "svc-web", "type": "service", "attributes": { "min_up": min_up } });
        self.cmdb().post("/cmdb/cis", &service).await.expect(201);
        for name in &names {
            let ci = json!({ "id": name, "type": "vm", "tags": tags, "attributes": { "driver": "model", "services": ["nginx"] } });
            self.cmdb().post("/cmdb/cis", &ci).await.expect(201);
            let runs = json!({ "source": name, "target": "svc-web", "type": "runs" });
            self.cmdb().post("/cmdb/relationships", &runs).await.expect(201);
        }
        let advisory = json!({ "schema_version": "1.7.0", "id": "TEST-2026-0001", "modified": "2026-03-10T09:00:00Z",
            "published": "2026-03-10T09:00:00Z", "upstream": ["CVE-2026-91000"], "summary": "openssl: a hole",
            "affected": [{ "package": { "ecosystem": "Debian:12", "name": "openssl" },
                "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": NEW }] }] }],
            "database_specific": { "kind": "security", "severity": "CRITICAL" } });
        self.patch().post("/patch/advisories/import", &advisory).await.expect(200);
        self.policy(json!({})).await;
    }

    /// The policy `p` for the fleet, with `more` over its defaults.
    pub async fn policy(&self, more: Value) {
        let mut policy = json!({ "id": "p", "name": "p", "target_ci_tags": { "env": "prod" }, "max_parallel": 2,
            "error_threshold": 1, "workflow": { "health_timeout_seconds": 30, "drain_timeout_seconds": 10, "host_timeout_seconds": 300 } });
        policy.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        let made = self.patch().post("/patch/policies", &policy).await;
        if made.status == 409 {
            self.patch().patch("/patch/policies/p", &more).await.expect(200);
        } else {
            made.expect(201);
        }
    }

    /// Starts a run of the policy and gives its id.
    pub async fn run(&self) -> String {
        let run = self.patch().post("/patch/runs", &json!({ "policy_id": "p" })).await.expect(202);
        run["id"].as_str().unwrap().to_owned()
    }

    pub async fn get(&self, run: &str) -> Value {
        self.patch().get(&format!("/patch/runs/{run}")).await.expect(200)
    }

    /// Waits until the run is as wanted; fails with the run when it is not in time.
    pub async fn until(&self, run: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = tokio::time::Instant::now() + Duration::from_secs(120);
        let mut last = Value::Null;
        while tokio::time::Instant::now() < until {
            let answer = self.patch().get(&format!("/patch/runs/{run}")).await;
            if answer.status == 200 {
                last = answer.json;
                if wanted(&last) {
                    return last;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the run is not {what}: {last:#}");
    }

    pub async fn until_state(&self, run: &str, state: &str) -> Value {
        self.until(run, state, |run| run["state"] == state).await
    }

    /// Waits for the end, whatever it is.
    pub async fn until_ended(&self, run: &str) -> Value {
        self.until(run, "ended", |run| !run["ended_at"].is_null()).await
    }

    pub async fn approve(&self, run: &str) -> String {
        let run = self
            .until(run, "awaiting approval", |run| {
                run["state"] == "awaiting_approval" && run["change_id"].is_string()
            })
            .await;
        let change = run["change_id"].as_str().unwrap().to_owned();
        self.approver().post(&format!("/itsm/changes/{change}/approve"), &json!({})).await.expect(200);
        change
    }

    /// What must hold after the end of any run: one transaction per host that was patched, no host in maintenance,
    /// services running, no change at work, every snapshot with an owner and an expiry.
    pub async fn assert_settled(&self, run: &str) {
        let run = self.get(run).await;
        for host in run["host_states"].as_array().unwrap() {
            let id = host["ci_id"].as_str().unwrap();
            let ci = self.cmdb().get(&format!("/cmdb/cis/{id}")).await.expect(200);
            assert!(ci["maintenance"].is_null(), "{id} is in maintenance after the run: {ci:#}");
            let history = self.sim().get(&format!("/sim/vms/{id}/guest/transactions")).await;
            if history.status == 200 {
                let items = history.json["items"].as_array().cloned().unwrap_or_default();
                let done = items
                    .iter()
                    .filter(|t| t["state"] == "completed" && !t["changed"].as_array().unwrap().is_empty());
                assert!(done.count() <= 1, "{id} was patched twice: {items:#?}");
                let guest = self.sim().get(&format!("/sim/vms/{id}/guest")).await.expect(200);
                assert!(
                    guest["services"].as_array().unwrap().iter().all(|s| s["active"] == true),
                    "{id}: {guest:#}"
                );
            }
            let snapshots = self.sim().get(&format!("/sim/vms/{id}/snapshots")).await;
            if snapshots.status == 200 {
                let own = format!("run:{}", run["id"].as_str().unwrap());
                let of_run = snapshots.json["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|s| s["owner"] == own.as_str())
                    .count();
                assert!(of_run <= 1, "{id} has {of_run} snapshots of one run");
            }
        }
        if let Some(change) = run["change_id"].as_str() {
            let change = self.itsm().get(&format!("/itsm/changes/{change}")).await.expect(200);
            assert!(
                !["in_progress", "approved", "pending_approval", "draft"]
                    .contains(&change["state"].as_str().unwrap()),
                "{change:#}"
            );
        }
    }
}

pub const OLD: &str = "3.0.17-1~deb12u3";
pub const NEW: &str = "3.0.18-1~deb12u2";

/// Starts a platform or ends the test where Ansible is missing.
macro_rules! platform {
    () => {
        match $crate::platform::Platform::start().await {
            Some(platform) => platform,
            None => return,
        }
    };
}
pub(crate) use platform;
