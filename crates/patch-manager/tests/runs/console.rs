//! The console in a browser: Debian's Chromium, driven by the program in `console/tests/browser`.
//!
//! Skipped with a message without Node, the packages of the console, or Chromium.

use std::{path::PathBuf, process::Stdio, time::Duration};

use api_types::access::Role;
use serde_json::json;
use test_support::{Reason, skip};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{
    platform::{Platform, platform},
    releases,
};

/// On a busy machine; otherwise it ends within two minutes.
const DEADLINE: Duration = Duration::from_secs(600);
const CHROMIUM: [&str; 2] = ["/usr/bin/chromium", "/usr/bin/chromium-browser"];

fn console() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../console")
}

/// As `cargo xtask` names it, or the machine's own.
fn node() -> PathBuf {
    std::env::var_os("PATCH_NODE").map_or_else(|| PathBuf::from("node"), PathBuf::from)
}

/// Chromium, if everything is there; otherwise what is missing is reported.
fn browser() -> Option<PathBuf> {
    if !std::process::Command::new(node()).arg("--version").output().is_ok_and(|it| it.status.success()) {
        skip(Reason::OtherSystem, "there is no Node");
        return None;
    }
    let named = std::env::var_os("PATCH_CHROMIUM").map(PathBuf::from);
    let found = named.into_iter().chain(CHROMIUM.map(PathBuf::from)).find(|path| path.is_file());
    let has_packages = console().join("node_modules/playwright-core").is_dir();
    if found.is_none() || !has_packages {
        let what = if has_packages { "Chromium is" } else { "the packages of the console are" };
        skip(Reason::MissingTool, format!("{what} not installed; `cargo xtask bootstrap` installs it"));
        return None;
    }
    found
}

/// What an attacker would write into a field, as long as the field allows.
fn hostile() -> String {
    format!(
        "<img src=x onerror=\"globalThis.wasRun=1\"><script>globalThis.wasRun=1</script>{}",
        "A".repeat(3800)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn people_work_in_the_console() {
    let Some(chromium) = browser() else { return };
    let platform = platform!();
    platform.fleet(6, 3).await;
    platform.policy(json!({ "max_parallel": 2, "error_threshold": 3, "pilot_host_count": 1 })).await;
    platform.sim.post("/sim/inject/patch-failure", &json!({ "vm_id": "h-5", "times": 9 })).await.expect(201);
    let incident = json!({ "severity": "high", "short_description": "<b>not bold</b>", "description": hostile(), "ci_ids": ["h-1"] });
    let incident = platform.itsm.post("/itsm/incidents", &incident).await.expect(201);
    let customers = [("demo-1", "demo"), ("tiny", "startup"), ("acme-corp", "standard")];
    releases::customers(&platform, &customers, json!({})).await;
    releases::release(&platform, "v1.0.1", "security").await;
    scan(&platform).await;
    let input = input(&platform, &chromium, incident["id"].as_str().unwrap()).await;

    let mut program = Command::new(node())
        .arg("tests/browser/run.js")
        .current_dir(console())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = program.stdin.take().unwrap();
    stdin.write_all(input.to_string().as_bytes()).await.unwrap();
    drop(stdin);
    let ended =
        tokio::time::timeout(DEADLINE, program.wait_with_output()).await.expect("it ends in time").unwrap();
    let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(ended.status.success(), "{}\n{}", shown(&ended.stdout), shown(&ended.stderr));
}

/// Finds out what the hosts lack.
async fn scan(platform: &Platform) {
    let selector = json!({ "selector": { "tags": { "env": "prod" } } });
    let scan = platform.patch.post("/patch/compliance/scan", &selector).await.expect(202);
    let path = format!("/patch/compliance/scans/{}", scan["id"].as_str().unwrap());
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let state = platform.patch.get(&path).await.expect(200)["state"].clone();
        if state == "succeeded" {
            return;
        }
        assert!(tokio::time::Instant::now() < until, "the scan is {state}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The address, and a token of a person for each role. By standard input, because others can read arguments.
async fn input(platform: &Platform, chromium: &std::path::Path, incident: &str) -> serde_json::Value {
    let service = platform.patch_service.as_ref().unwrap();
    json!({
        "base": service.base,
        "chromium": chromium,
        "hostile": hostile(),
        "known": { "incident": incident },
        "tokens": {
            "viewer": service.token("vera", &[Role::Viewer]).await,
            "operator": service.token("olivia", &[Role::Operator]).await,
            "approver": service.token("arjun", &[Role::Approver]).await,
            "admin": service.token("ada", &[Role::Admin]).await,
        },
    })
}
