//! The driver `linux`: real hosts, over HTTP and SSH. Skipped with a reason where no host can run.

mod faults;
mod fleet;
mod leftovers;
mod life;
mod restart;
mod snapshots;

use std::{process::Output, time::Duration};

use chrono::Utc;
use serde_json::{Value, json};
use service_kit::Clock;
use sim_engine::{SimEngine, SimSettings};
use test_support::{Answer, Http, TestDatabase, TestFleet, TestService};
use tokio::{net::TcpListener, time::Instant};

/// A sim-engine with an empty fleet.
pub struct Lab {
    // Dropped in this order: the service, what it started, the database.
    pub service: TestService,
    pub operator: Http,
    pub fleet: TestFleet,
    pub database: TestDatabase,
}

impl Lab {
    pub async fn open() -> Option<Self> {
        let fleet = TestFleet::new()?;
        let database = TestDatabase::create().await;
        Some(Self::over(database, fleet).await)
    }

    pub async fn over(database: TestDatabase, fleet: TestFleet) -> Self {
        let settings = SimSettings {
            laboratory: true,
            fleet_dir: Some(fleet.folder().to_path_buf()),
            fleet_images: Some(fleet.images().to_path_buf()),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service =
            TestService::start_on::<SimEngine>(database.url(), settings, listener, Clock::system()).await;
        let operator = service.operator().await;
        Self { service, operator, fleet, database }
    }

    /// Stops the sim-engine and starts another. The hosts get no notice.
    pub async fn restart(self) -> Self {
        let Self { service, fleet, database, .. } = self;
        service.stop().await;
        Self::over(database, fleet).await
    }

    /// Sends a request until the fleet is open.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        let until = Instant::now() + Duration::from_secs(120);
        loop {
            let answer = self.operator.post(path, &body).await;
            let is_opening = answer.status == 503 && answer.json["type"] == "/problems/fleet-opening";
            if !is_opening || Instant::now() >= until {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn create(&self, id: &str, os: &str) -> Value {
        self.post("/sim/vms", host(id, os)).await.expect(201)
    }

    pub async fn get(&self, id: &str) -> Value {
        self.operator.get(&format!("/sim/vms/{id}")).await.expect(200)
    }

    pub async fn power(&self, id: &str, action: &str) -> Value {
        self.operator.post(&format!("/sim/vms/{id}/power"), &json!({ "action": action })).await.expect(200)
    }

    pub async fn delete(&self, id: &str) {
        self.operator.delete(&format!("/sim/vms/{id}")).await.expect(204);
    }

    pub async fn inject(&self, kind: &str, body: Value) -> Value {
        self.operator.post(&format!("/sim/inject/{kind}"), &body).await.expect(201)
    }

    pub async fn end(&self, fault: &Value) {
        let id = fault["id"].as_str().unwrap();
        self.operator.delete(&format!("/sim/inject/{id}")).await.expect(204);
    }

    pub async fn snapshot(&self, id: &str) -> Value {
        let expires_at = Utc::now() + chrono::TimeDelta::hours(1);
        let body = json!({ "owner": "run:1", "purpose": "before patching", "expires_at": expires_at });
        self.operator.post(&format!("/sim/vms/{id}/snapshots"), &body).await.expect(201)
    }

    pub async fn revert(&self, id: &str, snapshot: &Value) -> Value {
        let snapshot = snapshot["id"].as_str().unwrap();
        self.operator
            .post(&format!("/sim/vms/{id}/snapshots/{snapshot}/revert"), &json!({}))
            .await
            .expect(200)
    }

    /// Runs a command in a host.
    pub async fn try_ssh(&self, vm: &Value, line: &str) -> Output {
        let text = |name: &str| vm["ssh"][name].as_str().unwrap().to_owned();
        let mut command = self.fleet.ssh(&text("address"), &text("host_key"));
        command.arg(line);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Runs a command in a host, which must succeed. Returns its output.
    pub async fn ssh(&self, vm: &Value, line: &str) -> String {
        let output = self.try_ssh(vm, line).await;
        assert!(
            output.status.success(),
            "`{line}`: {}{}",
            stderr(&output),
            String::from_utf8_lossy(&output.stdout)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Reads a machine until it meets the condition.
    pub async fn until(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + Duration::from_secs(90);
        loop {
            let vm = self.get(id).await;
            if wanted(&vm) {
                return vm;
            }
            assert!(Instant::now() < until, "the condition is not met: {vm}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Runs a command until it succeeds, as while the host boots.
    pub async fn until_ssh(&self, vm: &Value, line: &str) -> String {
        let until = Instant::now() + Duration::from_secs(90);
        loop {
            let output = self.try_ssh(vm, line).await;
            if output.status.success() {
                return String::from_utf8_lossy(&output.stdout).trim().to_owned();
            }
            assert!(Instant::now() < until, "`{line}` does not succeed: {}", stderr(&output));
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A web server.
pub fn host(id: &str, os: &str) -> Value {
    json!({
        "id": id, "driver": "linux", "os": os, "cluster": "cluster-a", "hypervisor": "hv-01",
        "tags": { "env": "production" }, "guest": { "services": [{ "name": "nginx", "port": 443 }, { "name": "sshd" }] },
    })
}
