use std::{
    io::Write,
    process::{Child, Command, Stdio},
    time::Duration,
};

use chrono::TimeDelta;
use serde_json::json;
use test_support::{Http, TestDatabase};

use crate::{World, eventually, repository, version_of, vm};

#[tokio::test(flavor = "multi_thread")]
async fn transaction_ends_once_after_an_outage_of_the_service() {
    let world = World::start().await;
    world.create("web-01").await;
    world.create("web-02").await;
    world.start_transaction("web-01", "t:1", json!({ "openssl": "3.0.15-1" }), 202).await;
    world.post("/sim/vms/web-02/guest/reboot", json!({}), 202).await;

    // Back before the transaction is due.
    let world = world.restart(TimeDelta::seconds(5)).await;
    assert_eq!(world.transaction("web-01", "t:1").await["state"], "running");
    // Back later: the housekeeping ends it without a request.
    let world = world.restart(TimeDelta::seconds(60)).await;
    let object = "vm/web-01/transaction/t:1";
    eventually(async || (world.audited("end_transaction", object).await == 1).then_some(())).await;
    let ended = world.transaction("web-01", "t:1").await;
    assert_eq!(ended["state"], "completed");
    let ran = |field: &str| ended[field].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    assert_eq!(ran("finished_at") - ran("started_at"), TimeDelta::seconds(10), "it ended when it was due");
    assert_eq!(world.get("/sim/vms/web-02").await["reachable"], true);

    let world = world.restart(TimeDelta::zero()).await;
    assert_eq!(world.transaction("web-01", "t:1").await, ended);
    assert_eq!(world.audited("end_transaction", object).await, 1);
    assert_eq!(version_of(&world.guest("web-01").await, "openssl"), "3.0.15-1");
}

/// The real program, killed with SIGKILL.
#[tokio::test(flavor = "multi_thread")]
async fn killed_process_loses_nothing() {
    let database = TestDatabase::create().await;
    let token = format!("pm_{}", "5".repeat(64));
    let mut token_file = tempfile::NamedTempFile::new().unwrap();
    token_file.write_all(token.as_bytes()).unwrap();
    let program = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sim-engine"));
        command.args(arguments).env("DATABASE_URL", database.url()).stderr(Stdio::null());
        command.arg("--service-token-file").arg(token_file.path());
        command
    };
    assert!(program(&["migrate"]).status().unwrap().success());
    let port = free_port();
    let serve = || {
        Running(
            program(&["serve", "--laboratory", "--listen", &format!("127.0.0.1:{port}")]).spawn().unwrap(),
        )
    };
    let base = format!("http://127.0.0.1:{port}");
    let http = Http::new(&base, Some(token.clone()));

    let first = serve();
    wait_until_up(&base).await;
    http.put("/sim/repositories/debian12", &repository()).await.expect(200);
    let mut machine = vm("web-01");
    machine["guest"]["patch_seconds"] = json!(1);
    http.post("/sim/vms", &machine).await.expect(201);
    let body = json!({ "transaction_id": "t:1", "packages": { "openssl": "3.0.15-1" } });
    let started = http.post("/sim/vms/web-01/guest/transactions", &body).await.expect(202);
    drop(first);

    let _second = serve();
    wait_until_up(&base).await;
    let ended = http.post("/sim/vms/web-01/guest/transactions?wait=10", &body).await.expect(200);
    assert_eq!(ended["state"], "completed");
    assert_eq!(ended["started_at"], started["started_at"], "it did not start again");
    let history = http.get("/sim/vms/web-01/guest/transactions").await.expect(200);
    assert_eq!(history["items"], json!([ended]));
}

/// Killed with SIGKILL when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn wait_until_up(base: &str) {
    eventually(async || {
        let answer = reqwest::Client::builder().no_proxy().build().unwrap().get(format!("{base}/healthz"));
        let answer = answer.timeout(Duration::from_secs(1)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success()).then_some(())
    })
    .await;
}
