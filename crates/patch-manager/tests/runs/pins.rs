//! A policy that pins content: production gets only what its pilots test.

use serde_json::{Value, json};
use test_support::{NEW, OLD};

use crate::{
    plan_ahead::{afternoon, approve_ahead, diff, publish_another_fix, scheduled_run, slot},
    platform::{Platform, platform},
};

/// Three hosts, of which the last also misses a fix of `curl`, which no other has.
async fn fleet(platform: &Platform) {
    platform.fleet(3, 0).await;
    let packages = json!({ "packages": { "openssl": [OLD, NEW], "curl": ["1.0-1", "2.0-1"] } });
    platform.sim.put("/sim/repositories/debian12", &packages).await.expect(200);
    platform.sim.delete("/sim/vms/h-3").await.expect(204);
    let guest = json!({ "id": "h-3", "driver": "model", "os": "debian12", "tags": { "env": "prod", "os": "debian12", "cluster": "c-1" },
        "guest": { "packages": { "openssl": OLD, "curl": "1.0-1" }, "patch_seconds": 0.2, "services": [{ "name": "nginx", "port": 443 }] } });
    platform.sim.post("/sim/vms", &guest).await.expect(201);
    let advisory = json!({ "schema_version": "1.7.0", "id": "TEST-2026-0002", "modified": "2026-03-11T09:00:00Z",
        "published": "2026-03-11T09:00:00Z", "upstream": ["CVE-2026-91001"], "summary": "curl: a hole",
        "affected": [{ "package": { "ecosystem": "Debian:12", "name": "curl" },
            "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": "2.0-1" }] }] }],
        "database_specific": { "kind": "security", "severity": "LOW" } });
    platform.patch.post("/patch/advisories/import", &advisory).await.expect(200);
}

fn packages<'a>(host: &'a Value, list: &str) -> Vec<&'a str> {
    let items = host[list].as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|one| one["package"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn update_that_no_pilot_tests_is_left_out_of_production() {
    let platform = platform!();
    fleet(&platform).await;
    platform.policy(json!({ "pilot_host_count": 1, "pin": "pilot" })).await;
    let run = platform.run().await;
    let change = platform.approve(&run).await;
    let run = platform.until_ended(&run).await;
    assert_eq!(run["state"], "succeeded", "{run:#}");
    let plan = &run["plan"];
    assert_eq!((&plan["pin"], &plan["waves"][0]["kind"]), (&json!("pilot"), &json!("pilot")));
    assert_ne!(plan["waves"][0]["hosts"][0], "h-3", "{plan:#}");
    let host = &plan["targets"]["h-3"];
    assert_eq!(packages(host, "updates"), ["openssl"]);
    assert_eq!(host["omitted"], json!([{ "package": "curl", "cause": "not_tested" }]));
    let change = platform.itsm.get(&format!("/itsm/changes/{change}")).await.expect(200);
    let text = change["description"].as_str().unwrap();
    assert!(text.contains("PINNED: every host installs exactly"), "{text}");
    assert!(text.contains("NOT         curl: not tested by a pilot"), "{text}");
    assert_eq!(change["close_code"], "successful_issues", "a selected fix stays missing: {change:#}");
    let id = run["id"].as_str().unwrap();
    let report = platform.patch.get(&format!("/patch/runs/{id}/report")).await.expect(200);
    assert_eq!(packages(&report["left_out"], "h-3"), ["curl"]);
    platform.assert_settled(id).await;

    // Without the pin, the same host gets both.
    platform.policy(json!({ "pin": "none" })).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    let run = platform.until_ended(&run).await;
    assert_eq!(packages(&run["plan"]["targets"]["h-3"], "updates"), ["curl"], "{:#}", run["plan"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pin_is_refused_without_hosts_that_test_and_with_a_command_of_the_site() {
    let platform = platform!();
    platform.fleet(1, 0).await;
    let refused =
        platform.patch.patch("/patch/policies/p", &json!({ "pin": "pilot" })).await.expect_problem(422);
    assert_eq!(refused["errors"][0]["pointer"], "/pin", "{refused:#}");
    let own = json!({ "pin": "pilot", "pilot_host_count": 1, "workflow": { "update_commands": [["/usr/local/sbin/site-update"]] } });
    let refused = platform.patch.patch("/patch/policies/p", &own).await.expect_problem(422);
    assert_eq!(refused["errors"][0]["pointer"], "/pin", "{refused:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fix_that_is_uploaded_after_the_approval_waits_for_a_run_of_its_own() {
    let more =
        json!({ "pin": "pilot", "pilot_host_count": 1, "drift_tolerance": { "newer_versions": true } });
    let Some((platform, clock)) = afternoon(more).await else { return };
    let run = scheduled_run(&platform).await;
    approve_ahead(&platform, &clock, &run).await;
    let newer = publish_another_fix(&platform).await;
    clock.advance(slot() - clock.now());
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    let drift = diff(&platform, &run).await;
    assert_eq!(
        (&drift["verdict"], &drift["drift"]["tolerance"]["newer_versions"]),
        (&json!("unchanged"), &Value::Null)
    );
    for host in ended["host_states"].as_array().unwrap() {
        assert_eq!(host["changed"], json!([{ "package": "openssl", "from": OLD, "to": NEW }]), "{host:#}");
        let left_out = json!([{ "package": "openssl", "cause": "newer_than_tested", "reason": newer }]);
        assert_eq!(host["left_out"], left_out, "{host:#}");
    }
    platform.assert_settled(&run).await;
}
