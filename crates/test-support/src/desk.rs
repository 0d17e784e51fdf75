//! A platform as its clients see it, with a small fleet for tests of runs.

use std::time::Duration;

use serde_json::{Value, json};

use crate::Http;

/// The package version of the fleet at first, and the one that fixes it.
pub const OLD: &str = "3.0.17-1~deb12u3";
pub const NEW: &str = "3.0.18-1~deb12u2";

/// Clients of each service as operator, and of ITSM as approver.
#[derive(Clone)]
pub struct Desk {
    pub patch: Http,
    pub cmdb: Http,
    pub itsm: Http,
    pub sim: Http,
    pub approver: Http,
}

impl Desk {
    /// Creates `count` production hosts `h-1`... without the fix of `TEST-2026-0001`, in a service that needs `min_up`.
    pub async fn fleet(&self, count: usize, min_up: usize) {
        let repository = json!({ "packages": { "openssl": [OLD, NEW] } });
        self.sim.put("/sim/repositories/debian12", &repository).await.expect(200);
        let names: Vec<String> = (1..=count).map(|n| format!("h-{n}")).collect();
        let tags = json!({ "env": "prod", "os": "debian12", "cluster": "c-1" });
        let vm = |name: &String| {
            json!({ "id": name, "driver": "model", "os": "debian12", "tags": tags, "guest": {
                "packages": { "openssl": OLD }, "services": [{ "name": "nginx", "port": 443, "sessions": 3 }],
                "patch_seconds": 0.6, "reboot_seconds": 0.5, "drain_seconds": 0.2 } })
        };
        let vms: Vec<Value> = names.iter().map(vm).collect();
        for some in vms.chunks(1000) {
            self.sim.post("/sim/vms/bulk", &json!({ "vms": some })).await.expect(201);
        }
        let service = json!({ "id": "svc-web", "type": "service", "attributes": { "min_up": min_up } });
        self.cmdb.post("/cmdb/cis", &service).await.expect(201);
        for name in &names {
            let ci = json!({ "id": name, "type": "vm", "tags": tags, "attributes": { "driver": "model", "services": ["nginx"] } });
            self.cmdb.post("/cmdb/cis", &ci).await.expect(201);
            let runs = json!({ "source": name, "target": "svc-web", "type": "runs" });
            self.cmdb.post("/cmdb/relationships", &runs).await.expect(201);
        }
        let advisory = json!({ "schema_version": "1.7.0", "id": "TEST-2026-0001", "modified": "2026-03-10T09:00:00Z",
            "published": "2026-03-10T09:00:00Z", "upstream": ["CVE-2026-91000"], "summary": "openssl: a hole",
            "affected": [{ "package": { "ecosystem": "Debian:12", "name": "openssl" },
                "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": NEW }] }] }],
            "database_specific": { "kind": "security", "severity": "CRITICAL" } });
        self.patch.post("/patch/advisories/import", &advisory).await.expect(200);
        self.policy(json!({})).await;
    }

    /// Creates or changes the policy `p` of the fleet. `more` overrides its defaults.
    pub async fn policy(&self, more: Value) {
        let mut policy = json!({ "id": "p", "name": "p", "target_ci_tags": { "env": "prod" }, "max_parallel": 2,
            "error_threshold": 1, "workflow": { "health_timeout_seconds": 30, "drain_timeout_seconds": 10, "host_timeout_seconds": 300 } });
        policy.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        let made = self.patch.post("/patch/policies", &policy).await;
        if made.status == 409 {
            self.patch.patch("/patch/policies/p", &more).await.expect(200);
        } else {
            made.expect(201);
        }
    }

    /// Starts a run of the policy and returns its id.
    pub async fn run(&self) -> String {
        let run = self.patch.post("/patch/runs", &json!({ "policy_id": "p" })).await.expect(202);
        run["id"].as_str().unwrap().to_owned()
    }

    /// The run with all its parts: `plan`, `waves`, `host_states` and `log_tail`.
    pub async fn get(&self, run: &str) -> Value {
        self.until(run, "read", |_| true).await
    }

    async fn find_summary(&self, run: &str) -> Option<Value> {
        let answer = self.patch.get(&format!("/patch/runs/{run}")).await;
        (answer.status == 200).then_some(answer.json)
    }

    /// Adds to the summary of a run its parts, which are read after it. `plan` keeps the plan, which does not change. `None`
    /// if a part cannot be read now.
    async fn with_parts(&self, mut run: Value, plan: &mut Value) -> Option<Value> {
        let path = format!("/patch/runs/{}", run["id"].as_str()?);
        let read = async |part: &str| {
            Some(self.patch.get(&format!("{path}/{part}")).await).filter(|it| it.status == 200)
        };
        if plan.is_null() && run["plan_hash"].is_string() {
            *plan = read("plan").await?.json;
        }
        run["plan"] = plan.clone();
        run["waves"] = read("waves?limit=1000").await?.json["items"].clone();
        run["host_states"] = read("hosts?limit=1000").await?.json["items"].clone();
        let log = read("logs?format=ndjson&tail=50").await?.text;
        run["log_tail"] =
            log.lines().map(|line| serde_json::from_str::<Value>(line).expect("a log line")).collect();
        Some(run)
    }

    /// Waits until the run with its parts meets the condition. Panics with the run after two minutes.
    pub async fn until(&self, run: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut plan = Value::Null;
        // While the summary is the same before and after, all parts belong to it.
        let find = async |summary: Value| {
            let found = self.with_parts(summary.clone(), &mut plan).await?;
            (self.find_summary(run).await? == summary).then_some(found)
        };
        self.poll(run, what, find, wanted).await
    }

    /// Waits until the summary of the run meets the condition, and returns the run with its parts.
    async fn until_summary(&self, run: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let summary = self.poll(run, what, async |summary| Some(summary), wanted).await;
        let mut plan = Value::Null;
        let find = async |_| self.with_parts(summary.clone(), &mut plan).await;
        self.poll(run, "read", find, |_| true).await
    }

    async fn poll(
        &self,
        run: &str,
        what: &str,
        mut find: impl AsyncFnMut(Value) -> Option<Value>,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let until = tokio::time::Instant::now() + Duration::from_secs(120);
        let mut last = Value::Null;
        while tokio::time::Instant::now() < until {
            if let Some(summary) = self.find_summary(run).await
                && let Some(found) = find(summary).await
            {
                last = found;
                if wanted(&last) {
                    return last;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the run is not {what}: {last:#}");
    }

    pub async fn until_state(&self, run: &str, state: &str) -> Value {
        self.until_summary(run, state, |run| run["state"] == state).await
    }

    /// Waits for the end of the run, in any state.
    pub async fn until_ended(&self, run: &str) -> Value {
        self.until_summary(run, "ended", |run| !run["ended_at"].is_null()).await
    }

    pub async fn approve(&self, run: &str) -> String {
        let run = self
            .until_summary(run, "awaiting approval", |run| {
                run["state"] == "awaiting_approval" && run["change_id"].is_string()
            })
            .await;
        let change = run["change_id"].as_str().unwrap().to_owned();
        self.approver.post(&format!("/itsm/changes/{change}/approve"), &json!({})).await.expect(200);
        change
    }

    /// Asserts what holds after the end of any run: one transaction per patched host, no host in maintenance, all services
    /// active, no open change, at most one snapshot per host.
    pub async fn assert_settled(&self, run: &str) {
        let run = self.get(run).await;
        for host in run["host_states"].as_array().unwrap() {
            let id = host["ci_id"].as_str().unwrap();
            let ci = self.cmdb.get(&format!("/cmdb/cis/{id}")).await.expect(200);
            assert!(ci["maintenance"].is_null(), "{id} is in maintenance after the run: {ci:#}");
            let history = self.sim.get(&format!("/sim/vms/{id}/guest/transactions")).await;
            if history.status == 200 {
                let items = history.json["items"].as_array().cloned().unwrap_or_default();
                let done = items
                    .iter()
                    .filter(|t| t["state"] == "completed" && !t["changed"].as_array().unwrap().is_empty());
                assert!(done.count() <= 1, "{id} was patched twice: {items:#?}");
                let guest = self.sim.get(&format!("/sim/vms/{id}/guest")).await.expect(200);
                assert!(
                    guest["services"].as_array().unwrap().iter().all(|s| s["active"] == true),
                    "{id}: {guest:#}"
                );
            }
            let snapshots = self.sim.get(&format!("/sim/vms/{id}/snapshots")).await;
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
            let change = self.itsm.get(&format!("/itsm/changes/{change}")).await.expect(200);
            assert!(
                !["in_progress", "approved", "pending_approval", "draft"]
                    .contains(&change["state"].as_str().unwrap()),
                "{change:#}"
            );
        }
    }
}
