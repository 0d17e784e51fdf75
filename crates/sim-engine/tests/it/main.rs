//! The sim-engine over HTTP. The tests control the clock, except where a test needs real time.

mod access;
mod bad_input;
mod concurrency;
mod crash;
mod faults;
mod guest;
mod repositories;
mod run_owners;
mod snapshots;
mod state;
mod transactions;
mod vms;

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use service_kit::Clock;
use sim_engine::{SimEngine, SimSettings};
use test_support::{Http, TestDatabase, TestService};
use tokio::net::TcpListener;

/// A sim-engine with a repository and a fixed clock.
pub struct World {
    // Dropped before the database it uses.
    pub service: TestService,
    pub operator: Http,
    pub clock: Clock,
    pub database: TestDatabase,
}

impl World {
    pub async fn start() -> Self {
        Self::start_at(Clock::fixed(Utc::now())).await
    }

    /// With the clock of the system.
    pub async fn start_live() -> Self {
        Self::start_at(Clock::system()).await
    }

    async fn start_at(clock: Clock) -> Self {
        let database = TestDatabase::create().await;
        let service = serve(&database, &clock).await;
        let operator = service.operator().await;
        let world = Self { service, operator, clock, database };
        world.operator.put("/sim/repositories/debian12", &repository()).await.expect(200);
        world
    }

    /// Stops the service, advances the clock and starts another service on the same database.
    pub async fn restart(self, downtime: TimeDelta) -> Self {
        let Self { service, clock, database, .. } = self;
        service.stop().await;
        clock.advance(downtime);
        let service = serve(&database, &clock).await;
        let operator = service.operator().await;
        Self { service, operator, clock, database }
    }

    pub async fn create(&self, id: &str) -> Value {
        self.operator.post("/sim/vms", &vm(id)).await.expect(201)
    }

    pub fn pass(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }

    pub async fn get(&self, path: &str) -> Value {
        self.operator.get(path).await.expect(200)
    }

    pub async fn post(&self, path: &str, body: Value, status: u16) -> Value {
        self.operator.post(path, &body).await.expect(status)
    }

    pub async fn guest(&self, id: &str) -> Value {
        self.get(&format!("/sim/vms/{id}/guest")).await
    }

    pub async fn start_transaction(
        &self,
        id: &str,
        transaction: &str,
        packages: Value,
        status: u16,
    ) -> Value {
        let body = json!({ "transaction_id": transaction, "packages": packages });
        self.post(&format!("/sim/vms/{id}/guest/transactions"), body, status).await
    }

    pub async fn transaction(&self, id: &str, transaction: &str) -> Value {
        self.get(&format!("/sim/vms/{id}/guest/transactions/{transaction}")).await
    }

    pub async fn control(&self, id: &str, service: &str, action: &str) -> Value {
        let path = format!("/sim/vms/{id}/guest/services/{service}");
        self.post(&path, json!({ "action": action }), 200).await
    }

    pub async fn inject(&self, kind: &str, body: Value) -> Value {
        self.post(&format!("/sim/inject/{kind}"), body, 201).await
    }

    pub async fn snapshot(&self, id: &str, owner: &str) -> Value {
        let body = json!({ "owner": owner, "purpose": "before patching", "duration_seconds": 3600 });
        self.post(&format!("/sim/vms/{id}/snapshots"), body, 201).await
    }

    pub async fn revert(&self, id: &str, snapshot: &Value) -> Value {
        let snapshot = snapshot["id"].as_str().unwrap();
        self.post(&format!("/sim/vms/{id}/snapshots/{snapshot}/revert"), json!({}), 200).await
    }

    /// Expects that the guest does not answer, with a reason that contains `reason`.
    #[track_caller]
    pub fn expect_unreachable(answer: test_support::Answer, reason: &str) {
        let problem = answer.expect_problem(503);
        assert_eq!(problem["type"], "/problems/guest-unreachable");
        assert!(problem["detail"].as_str().unwrap().contains(reason), "{problem}");
    }

    /// The number of records of an action on an object in the audit log.
    pub async fn audited(&self, action: &str, object: &str) -> usize {
        let admin = self.service.admin().await;
        let log = admin.get(&format!("/access/audit?limit=1000&object={object}")).await.expect(200);
        let records = log["items"].as_array().unwrap();
        records.iter().filter(|record| record["action"] == action).count()
    }
}

async fn serve(database: &TestDatabase, clock: &Clock) -> TestService {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    TestService::start_on::<SimEngine>(
        database.url(),
        SimSettings { laboratory: true, ..SimSettings::default() },
        listener,
        clock.clone(),
    )
    .await
}

/// A Debian web server: 10 s to patch, 20 s to reboot, 30 s to drain.
pub fn vm(id: &str) -> Value {
    json!({
        "id": id, "driver": "model", "os": "debian12", "cluster": "cluster-a", "hypervisor": "hv-01",
        "tags": { "env": "production", "role": "web" },
        "guest": {
            "packages": { "linux-image-amd64": "6.1.55-1", "nginx": "1.22.1-9", "openssl": "3.0.11-1" },
            "services": [
                { "name": "nginx", "port": 443, "sessions": 40 },
                { "name": "exporter", "port": 9100 },
            ],
            "patch_seconds": 10, "reboot_seconds": 20, "drain_seconds": 30,
            "reboot_packages": ["linux-image-amd64"],
        },
    })
}

/// Versions whose order as text is not their order as versions: only the position counts.
pub fn repository() -> Value {
    json!({ "packages": {
        "linux-image-amd64": ["6.1.55-1", "6.1.9-1", "6.1.119-1"],
        "nginx": ["1.22.1-9", "1.22.1-9+deb12u1"],
        "openssl": ["3.0.9-1", "3.0.11-1", "3.0.15-1"],
        "curl": ["7.88.1-10"],
    } })
}

pub fn version_of(guest: &Value, package: &str) -> String {
    let packages = guest["packages"].as_array().unwrap();
    let found = packages.iter().find(|known| known["name"] == package);
    found.expect("the package is installed")["version"].as_str().unwrap().to_owned()
}

pub fn service_of(guest: &Value, name: &str) -> Value {
    let services = guest["services"].as_array().unwrap();
    services.iter().find(|known| known["name"] == name).expect("the service exists").clone()
}

/// Calls `ask` until it returns a value, for ten seconds at most.
pub async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..200 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no answer within ten seconds");
}
