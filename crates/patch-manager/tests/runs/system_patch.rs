//! The system patching workflow, started as its operators do, with keys from a Vault.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use api_types::access::Role;
use serde_json::{Value, json};
use test_support::OLD;
use tokio::net::TcpListener;

use crate::platform::{Platform, platform};

fn input(more: Value) -> Value {
    let mut input = json!({ "targetClusters": ["c-1"], "pilotHostCount": 1, "approverEmails": ["foo@example.com"],
        "requesterEmail": "baz@example.com", "updateCommand": "apt-get update && apt-get upgrade -y",
        "serviceList": ["nginx", "postgresql"] });
    input.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    json!({ "input": input })
}

async fn notices(platform: &Platform, to: &str) -> Vec<String> {
    let found = platform.itsm.get(&format!("/itsm/notifications?recipient={to}")).await.expect(200);
    found["items"].as_array().unwrap().iter().map(|it| it["subject"].as_str().unwrap().to_owned()).collect()
}

async fn until_notified(platform: &Platform, to: &str, what: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..300 {
        found = notices(platform, to).await;
        if what.iter().all(|subject| found.iter().any(|it| it.contains(subject))) {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{to} was not notified of {what:?}: {found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn workflow_patches_pilots_of_the_cluster_first_and_sends_a_notice_for_every_host() {
    let platform = platform!();
    platform.fleet(2, 0).await;
    let run = platform.patch.post("/patch/runs", &input(json!({}))).await.expect(202);
    let run = run["id"].as_str().unwrap().to_owned();
    platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    assert_eq!(ended["plan"]["waves"][0]["kind"], "pilot");
    assert_eq!(ended["plan"]["targets"]["h-1"]["services"], json!(["nginx"]), "the host has no postgresql");
    assert!(ended["log_tail"].to_string().contains("the rollback was rehearsed on a clone"), "{ended:#}");
    until_notified(&platform, "foo@example.com", &["Approval needed"]).await;
    let all = [
        "Patching begins:",
        "Patching begins on h-1",
        "Patching begins on h-2",
        "Patched: h-1",
        "Patched: h-2",
        "Patch run succeeded",
    ];
    let received = until_notified(&platform, "baz@example.com", &all).await;
    assert_eq!(received.len(), all.len(), "each notice is sent once: {received:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failure_alerts_and_stops_the_rollout() {
    let platform = platform!();
    platform.fleet(3, 0).await;
    platform.sim.post("/sim/inject/patch-failure", &json!({ "vm_id": "h-1" })).await.expect(201);
    platform.sim.post("/sim/inject/patch-failure", &json!({ "vm_id": "h-2" })).await.expect(201);
    platform.sim.post("/sim/inject/patch-failure", &json!({ "vm_id": "h-3" })).await.expect(201);
    let run = platform.patch.post("/patch/runs", &input(json!({}))).await.expect(202);
    let run = run["id"].as_str().unwrap().to_owned();
    platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "halted", "{ended:#}");
    assert_eq!(ended["hosts"]["skipped"], 2, "{ended:#}");
    until_notified(&platform, "baz@example.com", &["ALERT: h-", "Patch run stopped"]).await;
    platform.assert_settled(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_input_is_refused_field_by_field_and_starts_no_run() {
    let platform = platform!();
    platform.fleet(1, 0).await;
    for (more, pointer) in [
        (json!({ "targetClusters": [] }), "/input/targetClusters"),
        (json!({ "targetClusters": ["c-1", "c-9"] }), "/input/targetClusters/1"),
        (json!({ "approverEmails": ["baz@example.com"] }), "/input/approverEmails/0"),
        (json!({ "approverEmails": ["foo@example.com", "olivia@example.com"] }), "/input/approverEmails/1"),
        (json!({ "updateCommand": "rm -rf /" }), "/input/updateCommand"),
        (json!({ "preUpdateScripts": ["a | b"] }), "/input/preUpdateScripts/0"),
        (json!({ "vaultToken": "x" }), "/input/vaultAddress"),
        (json!({ "vaultAddress": "https://vault.example.com" }), "/input/vaultToken"),
        (json!({ "pilotHosts": 1 }), "/input/pilotHosts"),
    ] {
        let problem = platform.patch.post("/patch/runs", &input(more.clone())).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{more}: {problem:#}");
    }
    assert_eq!(platform.patch.get("/patch/runs").await.expect(200)["items"], json!([]));
}

/// A port that counts connections, instead of a real host.
async fn count_connections() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let visits = Arc::new(AtomicUsize::new(0));
    let counted = visits.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, visits)
}

#[tokio::test(flavor = "multi_thread")]
async fn host_whose_key_the_vault_refuses_is_found_before_a_change_and_the_token_is_deleted_with_the_run() {
    let platform = platform!();
    platform.fleet(1, 0).await;
    let (port, visits) = count_connections().await;
    let tags = json!({ "env": "real", "os": "debian12", "cluster": "c-real" });
    let ci = json!({ "id": "real-1", "type": "host", "tags": tags,
        "attributes": { "driver": "ssh", "address": "127.0.0.1", "port": port } });
    platform.cmdb.post("/cmdb/cis", &ci).await.expect(201);
    let vault = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", vault.local_addr().unwrap());
    // This Vault refuses every request.
    let refuse = || async {
        (axum::http::StatusCode::FORBIDDEN, axum::Json(json!({ "errors": ["permission denied"] })))
    };
    tokio::spawn(async move { axum::serve(vault, axum::Router::new().fallback(refuse)).await.unwrap() });

    let inventory =
        json!({ "ci_id": "real-1", "os": "debian:12", "packages": [{ "name": "openssl", "version": OLD }] });
    let pushed = platform.patch.post("/patch/inventory", &inventory).await;
    assert!(pushed.status.is_success(), "{}", pushed.text);
    const TOKEN: &str = "hvs.secret-of-the-run";
    let asked = input(
        json!({ "targetClusters": ["c-real"], "pilotHostCount": 0, "vaultAddress": address, "vaultToken": TOKEN,
        "secretPathPrefix": "patch-deploy", "serviceList": [] }),
    );
    let run = platform.patch.post("/patch/runs", &asked).await.expect(202);
    let run = run["id"].as_str().unwrap().to_owned();
    let ended = platform.until_ended(&run).await;
    assert_eq!((&ended["state"], &ended["change_id"]), (&json!("failed"), &Value::Null), "{ended:#}");
    let reason = ended["reason"].as_str().unwrap();
    assert!(reason.starts_with("the only host, `real-1`, is not ready: access: "), "{reason}");
    assert!(
        reason.contains("secret/data/patch-deploy/real-1") && reason.contains("token is not valid"),
        "{reason}"
    );
    assert_eq!(ended["plan"]["not_ready"]["real-1"][0]["check"], "access", "{ended:#}");
    assert_eq!(ended["host_states"][0]["state"], "skipped", "{ended:#}");
    assert_eq!(visits.load(Ordering::SeqCst), 0, "the host was contacted");
    let admin = platform.patch_service.as_ref().unwrap().as_role("root", &[Role::Admin]).await;
    let shown = admin.get("/access/audit").await.text + &platform.get(&run).await.to_string();
    assert!(!shown.contains(TOKEN), "the token is visible");
    for _ in 0..100 {
        if platform.token_files().is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(platform.token_files().is_empty(), "the token still exists after the run");
}

#[tokio::test(flavor = "multi_thread")]
async fn rollback_window_longer_than_snapshots_are_kept_fails_the_plan() {
    let platform = platform!();
    platform.fleet(1, 0).await;
    platform.policy(json!({ "rollback_window_hours": 96, "snapshot_retention_hours": 72 })).await;
    let ended = platform.until_ended(&platform.run().await).await;
    assert_eq!(ended["state"], "failed", "{ended:#}");
    assert!(
        ended["reason"].as_str().unwrap().contains("a rollback window of 96 h but keeps snapshots for 72 h")
    );
    assert!(ended["change_id"].is_null(), "no approval is requested");
}

/// The platform of these tests allows `/usr/local/sbin/site-update`.
#[tokio::test(flavor = "multi_thread")]
async fn own_update_is_refused_unless_its_programs_are_allowed_and_no_shell_is_needed() {
    let platform = platform!();
    platform.fleet(1, 0).await;
    for (line, words) in [
        (
            "/usr/local/sbin/other --all",
            "`/usr/local/sbin/other` is not a program that an administrator allows",
        ),
        ("/usr/local/sbin/site-update && /bin/sh", "`/bin/sh` is not a program"),
        ("/usr/local/sbin/site-update | tee log", "has `|` at character 29, which needs a shell"),
        ("/usr/local/sbin/site-update &&", "has no command before character 31"),
    ] {
        let body = input(json!({ "updateCommand": line }));
        let problem = platform.patch.post("/patch/runs", &body).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], "/input/updateCommand", "{line}: {problem:#}");
        assert!(problem["errors"][0]["detail"].as_str().unwrap().contains(words), "{line}: {problem:#}");
    }
    let workflow = |program: &str| json!({ "workflow": { "update_commands": [[program, "--all"]] } });
    let refused = platform.patch.patch("/patch/policies/p", &workflow("/bin/sh")).await.expect_problem(422);
    assert_eq!(refused["errors"][0]["pointer"], "/workflow/update_commands/0", "{refused:#}");
    let mut with_template = workflow("/usr/local/sbin/site-update");
    with_template["change"] = json!({ "standard_template": "monthly-baseline" });
    let refused = platform.patch.patch("/patch/policies/p", &with_template).await.expect_problem(422);
    assert_eq!(refused["errors"][0]["pointer"], "/change/standard_template", "{refused:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn own_update_is_shown_to_the_approver_as_a_command_that_runs_as_root() {
    let platform = platform!();
    platform.fleet(2, 0).await;
    let line = "sudo /usr/local/sbin/site-update --fetch && /usr/local/sbin/site-update --apply";
    let run = platform.patch.post("/patch/runs", &input(json!({ "updateCommand": line }))).await.expect(202);
    let run = run["id"].as_str().unwrap().to_owned();
    let change = platform.approve(&run).await;
    let change = platform.itsm.get(&format!("/itsm/changes/{change}")).await.expect(200);
    assert_eq!(change["kind"], "normal", "{change:#}");
    let description = change["description"].as_str().unwrap();
    assert!(description.contains("!! RUNS AS ROOT ON EVERY HOST"), "{description}");
    for argument in ["--fetch", "--apply"] {
        let shown = format!("INSTEAD of the update by the platform: /usr/local/sbin/site-update {argument}");
        assert!(description.contains(&shown), "{description}");
    }
    let ended = platform.until_ended(&run).await;
    let commands =
        json!([["/usr/local/sbin/site-update", "--fetch"], ["/usr/local/sbin/site-update", "--apply"],]);
    assert_eq!(ended["plan"]["workflow"]["update_commands"], commands, "the plan, and with it its hash");
    assert_eq!(ended["state"], "succeeded", "a model installs exactly its updates: {ended:#}");
}
