use std::{path::PathBuf, process::Command};

use reqwest::Method;
use serde_json::{Value, json};
use test_support::{Reason, ansible_playbook, shared_data, skip};

use crate::platform::Platform;

const PATH: &str = "/cmdb/ansible/inventory";

#[tokio::test(flavor = "multi_thread")]
async fn inventory_holds_active_hosts_grouped_by_their_tags() {
    let platform = Platform::start().await;
    platform.ci("web-01", "host", json!({"env": "prod", "role": "web"})).await;
    platform.ci("web-02", "vm", json!({"env": "prod", "1st": "a b"})).await;
    platform.ci("bare", "host", json!({})).await;
    platform.ci("shop", "service", json!({"env": "prod"})).await;
    platform.ci("gone", "host", json!({"env": "prod"})).await;
    platform.operator.delete("/cmdb/cis/gone").await.expect(204);
    let inventory = platform.operator.get(PATH).await.expect(200);
    assert_eq!(inventory["env_prod"]["hosts"], json!(["web-01", "web-02"]));
    assert_eq!(inventory["_1st_a_b"]["hosts"], json!(["web-02"]));
    assert_eq!(inventory["ungrouped"]["hosts"], json!(["bare"]));
    assert_eq!(inventory["all"]["children"], json!(["_1st_a_b", "env_prod", "role_web", "ungrouped"]));
    let hosts: Vec<_> = inventory["_meta"]["hostvars"].as_object().unwrap().keys().collect();
    assert_eq!(hosts, ["bare", "web-01", "web-02"]);
    let some = platform.operator.get(&format!("{PATH}?tag=role:web")).await.expect(200);
    assert_eq!(some["_meta"]["hostvars"].as_object().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_operators_is_never_a_template() {
    let platform = Platform::start().await;
    let Some(path) = shared_data("vectors/ansible/var-values.json") else { return };
    let values: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    // What cannot be stored is refused elsewhere: U+0000, and a text of a megabyte.
    let fits = |value: &Value| value.as_str().is_none_or(|text| !text.contains('\0') && text.len() < 10_000);
    let values: Vec<Value> = values.into_iter().filter(fits).collect();
    let body = json!({"id": "web-01", "type": "host", "name": "{{ 7*7 }}", "attributes": {"values": values}});
    platform.operator.post("/cmdb/cis", &body).await.expect(201);
    let inventory = platform.operator.get(PATH).await.expect(200);
    let variables = &inventory["_meta"]["hostvars"]["web-01"];
    for (given, value) in values.iter().zip(variables["values"].as_array().unwrap()) {
        assert_eq!(*value, json!({"__ansible_unsafe": given}));
    }
    assert_eq!(variables["cmdb_display_name"]["__ansible_unsafe"], "{{ 7*7 }}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_keeps_the_membership_it_was_given_first() {
    let platform = Platform::start().await;
    for id in ["web-01", "web-02", "web-03"] {
        platform.ci(id, "host", json!({"env": "prod"})).await;
    }
    let path = format!("{PATH}?tag=env:prod&run_id=018f4e3a-0000-7000-8000-000000000001");
    let viewer = platform.service.viewer().await;
    viewer.get(&path).await.expect_problem(403);
    let first = platform.operator.get(&path).await.expect(200);
    platform.ci("web-04", "host", json!({"env": "prod"})).await;
    platform
        .operator
        .patch("/cmdb/cis/web-02", &json!({"tags": {"env": "dev"}, "attributes": {"a": 1}}))
        .await
        .expect(200);
    platform.operator.delete("/cmdb/cis/web-03").await.expect(204);

    let later = viewer.get(&path).await.expect(200);
    assert_eq!(first["env_prod"]["hosts"], json!(["web-01", "web-02", "web-03"]));
    assert_eq!(later["env_prod"]["hosts"], json!(["web-01", "web-02"]));
    assert_eq!(later["_meta"]["hostvars"]["web-02"]["a"], 1);
    let other = format!("{PATH}?tag=env:prod&run_id=018f4e3a-0000-7000-8000-000000000002");
    assert_eq!(
        platform.operator.get(&other).await.expect(200)["env_prod"]["hosts"],
        json!(["web-01", "web-04"])
    );
    for not_an_id in ["null", ""] {
        platform.operator.get(&format!("{PATH}?run_id={not_an_id}")).await.expect_problem(400);
    }
}

/// Asks the real program, which says on standard error what it does not like.
#[tokio::test(flavor = "multi_thread")]
async fn ansible_inventory_accepts_it_without_a_word() {
    let Some(program) = ansible_inventory() else { return };
    let platform = Platform::start().await;
    let awkward = json!({"env": "pre-prod", "9": "x y", "os": "", "Ünï": "z"});
    platform
        .operator
        .post("/cmdb/cis", &json!({"id": "x", "type": "host", "tags": awkward}))
        .await
        .expect_problem(422);
    let body = json!({"id": "web-01", "type": "host", "tags": {"env": "pre-prod", "9": "x y", "os": ""},
        "attributes": {"driver": "ssh", "address": "10.0.0.1", "port": 22, "user": "ops", "name": "n", "hosts": 1, "motd": "{{ 7*7 }}"}});
    platform.operator.post("/cmdb/cis", &body).await.expect(201);
    platform.ci("2001:db8::1", "vm", json!({"env": "pre_prod"})).await;
    platform.ci("bare", "host", json!({})).await;
    let content = platform.operator.get(PATH).await.text;

    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("inventory.sh");
    std::fs::write(folder.path().join("inventory.out"), &content).unwrap();
    std::fs::write(&script, "#!/bin/sh\nexec cat \"$(dirname \"$0\")/inventory.out\"\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let listed = tokio::task::spawn_blocking(move || {
        Command::new(program)
            .args(["-i".as_ref(), script.as_os_str(), "--list".as_ref(), "--export".as_ref()])
            .env("ANSIBLE_LOCALHOST_WARNING", "False")
            .env("HOME", script.parent().unwrap())
            .current_dir(script.parent().unwrap())
            .output()
            .unwrap()
    });
    let output = listed.await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let listed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(listed["_9_x_y"]["hosts"], json!(["web-01"]));
    let variables = &listed["_meta"]["hostvars"]["web-01"];
    assert!(variables.to_string().contains("{{ 7*7 }}"), "{variables}");
    assert!(listed["_meta"]["hostvars"]["2001:db8::1"].is_object());
    drop(folder);
}

/// Large enough to show what grows faster than the fleet; the time is printed, not judged.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_hosts_come_in_and_go_out() {
    let platform = Platform::start().await;
    let mut list = String::from("id,env,role,os,address,cores\n");
    for n in 0..10_000 {
        let (role, low, high) = (n % 20, n % 250, n / 250);
        list.push_str(&format!("host-{n:05},prod,role{role},rocky9,10.0.{high}.{low},8\n"));
    }
    let began = std::time::Instant::now();
    let headers = [("content-type", "text/csv")];
    let report =
        platform.operator.send(Method::POST, "/cmdb/import", &headers, Some(list.into_bytes())).await;
    assert_eq!(report.expect(200)["created"], 10_000);
    println!("imported in {:?}", began.elapsed());
    let began = std::time::Instant::now();
    let answer = platform.operator.get(PATH).await;
    println!("{} bytes of inventory in {:?}", answer.text.len(), began.elapsed());
    let inventory = answer.expect(200);
    assert_eq!(inventory["env_prod"]["hosts"].as_array().unwrap().len(), 10_000);
    assert_eq!(inventory["role_role7"]["hosts"].as_array().unwrap().len(), 500);
    let graph = platform.operator.get("/cmdb/graph?tag=role:role7").await.expect(200);
    assert_eq!(graph["nodes"].as_array().unwrap().len(), 500);
}

/// The program named by the environment, beside the one that runs playbooks, or in the workspace's own environment.
fn ansible_inventory() -> Option<PathBuf> {
    let beside = ansible_playbook()?.with_file_name("ansible-inventory");
    let found = beside.is_file();
    if !found {
        skip(Reason::MissingTool, "there is no ansible-inventory; `cargo xtask bootstrap` installs it");
    }
    found.then_some(beside)
}
