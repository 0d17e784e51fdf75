//! Scans by Ansible of guests of the real sim-engine.

use std::{path::PathBuf, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};
use sim_engine::{SimEngine, SimSettings};
use test_support::{Http, TestDatabase, TestService, ansible_playbook};

use crate::platform::{Platform, eventually};

struct Laboratory {
    platform: Platform,
    sim: TestService,
    hypervisor: Http,
}

async fn laboratory(ansible: PathBuf) -> Laboratory {
    let database = TestDatabase::create().await;
    let sim = TestService::start::<SimEngine>(
        database.url(),
        SimSettings { laboratory: true, ..SimSettings::default() },
    )
    .await;
    let platform = Platform::start_with(&sim.base, Some(ansible), database).await;
    platform.import_seeds().await;
    Laboratory { platform, hypervisor: sim.operator().await, sim }
}

impl Laboratory {
    async fn add_guest(&self, id: &str, env: &str, packages: Value) {
        let vm = json!({ "id": id, "driver": "model", "os": "rocky9", "guest": { "packages": packages } });
        self.hypervisor.post("/sim/vms", &vm).await.expect(201);
        self.platform.add_host(id, json!({ "env": env, "os": "rocky9" })).await;
    }

    async fn start_scan(&self, request: &Value) -> String {
        let started = self.platform.operator.post("/patch/compliance/scan", request).await;
        let location = started.headers["location"].to_str().unwrap().to_owned();
        assert_eq!(started.expect(202)["state"], "queued");
        location
    }

    async fn finish(&self, scan: &str) -> Value {
        eventually("the scan has ended", async || self.read(scan).await["finished_at"].is_string()).await;
        self.read(scan).await
    }

    async fn read(&self, scan: &str) -> Value {
        self.platform.operator.get(scan).await.expect(200)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scan_records_hosts_and_lists_unreachable_ones() {
    let Some(ansible) = ansible_playbook() else { return };
    let lab = laboratory(ansible).await;
    lab.add_guest("web-1", "prod", json!({ "sudo": "1.9.5p2-10.el9" })).await;
    lab.add_guest("web-2", "prod", json!({ "sudo": "1.9.5p2-10.el9_6.2" })).await;
    lab.add_guest("lost", "prod", json!({ "sudo": "1.9.5p2-10.el9" })).await;
    lab.add_guest("dev-1", "dev", json!({ "sudo": "1.9.5p2-10.el9" })).await;
    lab.platform.add_host("odd", json!({ "env": "prod", "os": "plan9" })).await;
    lab.platform
        .librarian
        .post("/cmdb/cis", &json!({ "id": "far", "type": "host", "tags": { "env": "prod", "os": "rocky9" } }))
        .await
        .expect(201);
    lab.hypervisor.post("/sim/inject/network-partition", &json!({ "vm_id": "lost" })).await.expect(201);

    let scan = lab.start_scan(&json!({ "selector": { "tags": { "env": "prod" } } })).await;
    let ended = lab.finish(&scan).await;
    assert_eq!(
        (&ended["state"], &ended["total"], &ended["scanned"], &ended["failed"]),
        (&json!("partial"), &json!(5), &json!(2), &json!(3)),
        "{ended}"
    );
    let failed: Vec<_> =
        ended["failures"].as_array().unwrap().iter().map(|f| f["ci_id"].as_str().unwrap()).collect();
    assert_eq!(failed, ["far", "lost", "odd"]);
    assert!(ended["failures"][0]["reason"].as_str().unwrap().contains("key"), "{ended}");
    assert!(ended["failures"][2]["reason"].as_str().unwrap().contains("plan9"), "{ended}");
    assert_eq!(ended["requested_by"], "olivia");

    assert_eq!(
        lab.platform.compliance_of("web-1").await["pending_patches"][0]["advisory_id"],
        "DCOS-2026-0011"
    );
    assert_eq!(lab.platform.compliance_of("web-2").await["compliance_status"], "compliant");
    for unscanned in ["lost", "dev-1", "odd"] {
        assert_eq!(lab.platform.compliance_of(unscanned).await["compliance_status"], "unknown");
    }
    lab.platform.expect_exact_rollups().await;
    let left: Vec<_> = walk(lab.platform.work.path());
    let is_of_scan = |path: &str| path.ends_with(".json") && !path.contains("/installation/");
    assert!(!left.iter().any(|path| is_of_scan(path)), "files of the scan are left: {left:?}");
    lab.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scan_continues_after_a_restart_of_the_service() {
    let Some(ansible) = ansible_playbook() else { return };
    let mut lab = laboratory(ansible.clone()).await;
    for number in 1..=3 {
        lab.add_guest(&format!("web-{number}"), "prod", json!({ "sudo": "1.9.5p2-10.el9" })).await;
    }
    let scan = lab.start_scan(&json!({ "selector": { "all": true } })).await;
    lab.platform = lab.platform.restart(Some(ansible)).await;
    let ended = lab.finish(&scan).await;
    assert_eq!((&ended["state"], &ended["scanned"]), (&json!("succeeded"), &json!(3)), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn scan_waits_until_the_cmdb_is_reachable() {
    let Some(ansible) = ansible_playbook() else { return };
    let lab = laboratory(ansible).await;
    let Laboratory { platform, .. } = lab;
    let Platform { cmdb, operator, patch, .. } = platform;
    cmdb.stop().await;
    let started = operator.post("/patch/compliance/scan", &json!({})).await.expect(202);
    let path = format!("/patch/compliance/scans/{}", started["id"].as_str().unwrap());
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(operator.get(&path).await.expect(200)["state"], "queued");
    patch.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_starts_one_scan() {
    let platform = Platform::start().await;
    let headers = [("content-type", "application/json"), ("idempotency-key", "scan-1")];
    let send = async |body: &str| {
        let body = Some(body.as_bytes().to_vec());
        platform.operator.send(Method::POST, "/patch/compliance/scan", &headers, body).await
    };
    let first = send("{}").await.expect(202);
    assert_eq!(send("{}").await.expect(202)["id"], first["id"]);
    send(r#"{"selector":{"all":true}}"#).await.expect_problem(422);
    let problem = platform
        .operator
        .post("/patch/compliance/scan", &json!({ "selector": {} }))
        .await
        .expect_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/selector");
    platform
        .operator
        .get(&format!("/patch/compliance/scans/{}", uuid::Uuid::now_v7()))
        .await
        .expect_problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn scan_of_nothing_fails_and_says_why() {
    let platform = Platform::start().await;
    let scan = async |request: Value| {
        let started = platform.operator.post("/patch/compliance/scan", &request).await.expect(202);
        let path = format!("/patch/compliance/scans/{}", started["id"].as_str().unwrap());
        eventually("the scan has ended", async || {
            platform.operator.get(&path).await.expect(200)["finished_at"].is_string()
        })
        .await;
        platform.operator.get(&path).await.expect(200)
    };
    let ended = scan(json!({})).await;
    assert_eq!((&ended["state"], &ended["total"]), (&json!("failed"), &json!(0)), "{ended}");
    assert!(ended["error"].as_str().unwrap().contains("no active host"), "{ended}");

    platform
        .librarian
        .post("/cmdb/cis", &json!({ "id": "shop", "type": "service", "tags": { "env": "prod" } }))
        .await
        .expect(201);
    let ended = scan(json!({ "selector": { "ids": ["shop", "misspelt"] } })).await;
    let failed: Vec<_> =
        ended["failures"].as_array().unwrap().iter().map(|one| one["ci_id"].as_str().unwrap()).collect();
    assert_eq!((&ended["state"], failed), (&json!("failed"), vec!["misspelt", "shop"]), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn first_scan_learns_the_operating_system() {
    let Some(ansible) = ansible_playbook() else { return };
    let lab = laboratory(ansible).await;
    lab.add_guest("known", "prod", json!({ "sudo": "1.9.5p2-10.el9" })).await;
    let vm = json!({ "id": "fresh", "driver": "model", "os": "rocky9",
        "guest": { "packages": { "sudo": "1.9.5p2-10.el9" } } });
    lab.hypervisor.post("/sim/vms", &vm).await.expect(201);
    let far = json!({ "id": "far", "type": "host", "tags": { "env": "dev" } });
    lab.platform.librarian.post("/cmdb/cis", &far).await.expect(201);
    let ci = json!({ "id": "fresh", "type": "vm", "tags": { "env": "prod" }, "attributes": { "driver": "model" } });
    lab.platform.librarian.post("/cmdb/cis", &ci).await.expect(201);

    let scan = lab.start_scan(&json!({ "selector": { "all": true } })).await;
    let ended = lab.finish(&scan).await;
    assert_eq!((&ended["state"], &ended["scanned"]), (&json!("partial"), &json!(2)), "{ended}");
    assert_eq!(ended["failures"][0]["ci_id"], "far");
    assert!(ended["failures"][0]["reason"].as_str().unwrap().starts_with("is not managed yet"), "{ended}");
    let ci = lab.platform.librarian.get("/cmdb/cis/fresh").await.expect(200);
    assert_eq!(ci["tags"], json!({ "env": "prod", "os": "rocky9" }));
    let compliance = lab.platform.compliance_of("fresh").await;
    assert_eq!(compliance["pending_patches"][0]["advisory_id"], "DCOS-2026-0011", "{compliance}");
    lab.platform.expect_exact_rollups().await;
    lab.sim.stop().await;
}

fn walk(folder: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(walk(&entry.path()));
        } else {
            found.push(entry.path().display().to_string());
        }
    }
    found
}
