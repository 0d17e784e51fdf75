use serde_json::{Value, json};

use crate::{
    fleet::{Age, inventory},
    platform::{Platform, eventually},
};

/// `web-1` and `web-2` are missing only the fix of sudo.
async fn lacking_sudo() -> Platform {
    let platform = Platform::start().await;
    platform.import_seeds().await;
    platform.add_fleet().await;
    for host in ["web-1", "web-2"] {
        platform.push(&inventory(host, "rocky9", &["sudo"], Age::Base)).await;
    }
    platform
}

fn exception(changes: Value) -> Value {
    let mut exception = json!({ "owner": "team-web", "reason": "vendor appliance", "expires_at": "2026-04-02T00:00:00Z",
        "advisory_id": "DCOS-2026-0011" });
    for (name, value) in changes.as_object().unwrap() {
        exception[name] = value.clone();
    }
    exception
}

#[tokio::test(flavor = "multi_thread")]
async fn excepted_fix_does_not_count_until_the_exception_expires() {
    let platform = lacking_sudo().await;
    let created = platform.operator.post("/patch/exceptions", &exception(json!({ "ci_id": "web-1" }))).await;
    assert!(created.headers["location"].to_str().unwrap().starts_with("/patch/exceptions/"));
    let created = created.expect(201);
    assert_eq!((&created["active"], &created["created_by"]), (&json!(true), &json!("olivia")));

    let web = platform.compliance_of("web-1").await;
    assert_eq!(
        (&web["compliance_status"], &web["pending_patches"][0]["state"]),
        (&json!("compliant"), &json!("excepted"))
    );
    assert_eq!(web["reason"], "every applicable fix is installed, 1 more excepted");
    assert_eq!(web["current_patch_level"], "2025-12", "an excepted fix is not installed");
    assert!(
        web["pending_patches"][0]["due"].as_str().unwrap().starts_with("2026-01-20"),
        "the SLA clock keeps running"
    );
    assert_eq!(
        platform.compliance_of("web-2").await["compliance_status"],
        "non_compliant",
        "made only for web-1"
    );
    let detail = platform.operator.get("/patch/advisories/DCOS-2026-0011").await.expect(200);
    assert_eq!((&detail["affected_total"], &detail["affected"][0]["state"]), (&json!(2), &json!("excepted")));
    platform.expect_exact_rollups().await;

    platform.advance(13);
    eventually("the exception has ended", async || {
        platform.compliance_of("web-1").await["compliance_status"] == "non_compliant"
    })
    .await;
    let path = format!("/patch/exceptions/{}", created["id"].as_str().unwrap());
    assert_eq!(platform.operator.get(&path).await.expect(200)["active"], false);
    let active = platform.operator.get("/patch/exceptions?active=true").await.expect(200);
    assert_eq!(active["items"], json!([]));
    assert_eq!(
        platform.operator.get("/patch/exceptions?ci_id=web-1").await.expect(200)["items"][0]["id"],
        created["id"]
    );
    platform.expect_exact_rollups().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exception_of_a_package_covers_all_hosts_and_can_be_deleted() {
    let platform = lacking_sudo().await;
    let request = exception(json!({ "advisory_id": null, "package": "sudo" }));
    let answer = platform.operator.post("/patch/exceptions", &request).await;
    let created = platform.patch.agreed(answer).await;
    for host in ["web-1", "web-2"] {
        assert_eq!(platform.compliance_of(host).await["compliance_status"], "compliant");
    }
    let path = format!("/patch/exceptions/{}", created["id"].as_str().unwrap());
    platform.operator.delete(&path).await.expect(204);
    platform.operator.delete(&path).await.expect(204);
    assert_eq!(platform.compliance_of("web-2").await["pending_patches"][0]["state"], "missing");
    assert_eq!(platform.compliance_of("web-2").await["compliance_status"], "non_compliant");
    platform.expect_exact_rollups().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exception_of_one_cve_does_not_hide_another() {
    let platform = Platform::start().await;
    platform.import_seeds().await;
    platform.add_fleet().await;
    // DCOS-2025-0004 fixes two CVEs of the kernel.
    platform.push(&inventory("web-1", "rocky9", &["kernel-core"], Age::Base)).await;
    let state = async || {
        let web = platform.compliance_of("web-1").await;
        let pending = web["pending_patches"].as_array().unwrap();
        pending.iter().find(|p| p["advisory_id"] == "DCOS-2025-0004").unwrap()["state"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let fleet_wide = exception(json!({ "advisory_id": "CVE-2025-99004" }));
    let answer = platform.operator.post("/patch/exceptions", &fleet_wide).await;
    assert!(platform.patch.agreed(answer).await["id"].is_string());
    assert_eq!(state().await, "missing");
    let fleet_wide = exception(json!({ "advisory_id": "CVE-2025-99005" }));
    let answer = platform.operator.post("/patch/exceptions", &fleet_wide).await;
    assert!(platform.patch.agreed(answer).await["id"].is_string());
    assert_eq!(state().await, "excepted");
    platform.expect_exact_rollups().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exception_needs_an_owner_a_reason_and_an_end() {
    let platform = Platform::start().await;
    for (changes, pointer) in [
        (json!({ "owner": " " }), "/owner"),
        (json!({ "reason": "" }), "/reason"),
        (json!({ "expires_at": "2026-03-31T00:00:00Z" }), "/expires_at"),
        (json!({ "expires_at": "2027-05-01T00:00:00Z" }), "/expires_at"),
        (json!({ "expires_at": "tomorrow" }), "/expires_at"),
        (json!({ "advisory_id": null }), "/advisory_id"),
        (json!({ "package": "x".repeat(301) }), "/package"),
        (json!({ "ci_id": "a b" }), "/ci_id"),
        (json!({ "approved_by": "me" }), "/approved_by"),
    ] {
        let problem =
            platform.operator.post("/patch/exceptions", &exception(changes)).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    assert_eq!(platform.operator.get("/patch/exceptions").await.expect(200)["items"], json!([]));
    let id = uuid::Uuid::now_v7();
    platform.operator.get(&format!("/patch/exceptions/{id}")).await.expect_problem(404);
    platform.operator.delete(&format!("/patch/exceptions/{id}")).await.expect_problem(404);
    platform.operator.get("/patch/exceptions/1").await.expect_problem(404);
}
