use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::{
    fleet::{Age, inventory},
    platform::{Platform, eventually},
};

const WEB: &[&str] = &["openssl", "nginx", "sudo", "kernel-core"];
const DB: &[&str] = &["libssl3", "postgresql-15", "sudo"];

/// The fleet with seeded advisories; `web-1` as installed, `web-2` up to date, `db-1` as installed.
async fn measured() -> Platform {
    let platform = Platform::start().await;
    platform.import_seeds().await;
    platform.add_fleet().await;
    platform.add_policy("web-baseline", json!({ "tier": "web" }), Some("2026-02")).await;
    platform.push(&inventory("web-1", "rocky9", WEB, Age::Base)).await;
    platform.push(&inventory("web-2", "rocky9", WEB, Age::Newest)).await;
    platform.push(&inventory("db-1", "debian12", DB, Age::Base)).await;
    platform
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_fixes_of_a_host_are_listed_with_reasons() {
    let platform = measured().await;
    let web = platform.compliance_of("web-1").await;
    assert_eq!((&web["compliance_status"], &web["os_type"]), (&json!("non_compliant"), &json!("rocky9")));
    assert_eq!(
        (&web["target_patch_level"], &web["current_patch_level"]),
        (&json!("2026-02"), &json!("2025-10"))
    );
    assert_eq!(web["last_scanned"], "2026-04-01T12:00:00Z");
    assert_eq!(web["package_digest"].as_str().unwrap().len(), 64);
    let pending = web["pending_patches"].as_array().unwrap();
    let openssl: Vec<&Value> = pending.iter().filter(|patch| patch["package"] == "openssl").collect();
    assert_eq!(openssl.len(), 1, "DCOS-2026-0100 has not been imported: {pending:?}");
    assert_eq!(
        openssl[0],
        &json!({ "package": "openssl", "installed": "1:3.2.2-6.el9_5", "fixed": "1:3.2.2-6.el9_6.2",
            "installable": "1:3.2.2-7.el9_7", "installable_now": true, "advisory_id": "DCOS-2025-0001", "cve_ids": ["CVE-2025-99001"],
            "severity": "high", "exploited": false, "published": openssl[0]["published"], "due": openssl[0]["due"],
            "state": "missing", "rule": "rpm-version" })
    );
    assert!(openssl[0]["due"].as_str().unwrap().starts_with("2025-12-04"), "high: 30 days from 2025-11-04");
    let policy = &web["policies"][0];
    assert_eq!(
        (&policy["policy_id"], &policy["compliance_status"]),
        (&json!("web-baseline"), &json!("non_compliant"))
    );
    let february = pending.iter().filter(|patch| patch["published"].as_str().unwrap() < "2026-03").count();
    assert_eq!(policy["pending"], february, "fixes of March are beyond the level");

    let fresh = platform.compliance_of("web-2").await;
    assert_eq!((&fresh["compliance_status"], &fresh["pending_patches"]), (&json!("compliant"), &json!([])));
    assert_eq!(fresh["current_patch_level"], "2026-04");

    // Debian's advisories name the source: libssl3 is built from openssl.
    let db = platform.compliance_of("db-1").await;
    let ssl =
        db["pending_patches"].as_array().unwrap().iter().find(|patch| patch["package"] == "libssl3").unwrap();
    assert_eq!(
        (&ssl["advisory_id"], &ssl["rule"]),
        (&json!("DCOS-2025-0001"), &json!("dpkg-source-version"))
    );
    assert_eq!(db["policies"], json!([]), "no policy selects it, so that every fix is required");
    assert_eq!(db["compliance_status"], "non_compliant");

    platform.operator.get("/patch/compliance/nobody").await.expect_problem(404);
    platform.operator.get("/patch/compliance/a b").await.expect_problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn roll_ups_follow_every_change() {
    let platform = measured().await;
    let summary = platform.operator.get("/patch/compliance").await.expect(200);
    assert_eq!(
        summary["total"],
        json!({ "compliant": 1, "non_compliant": 2, "unknown": 0, "percent": 33.3 })
    );
    assert_eq!(
        summary["by_env"]["prod"],
        json!({ "compliant": 1, "non_compliant": 1, "unknown": 0, "percent": 50.0 })
    );
    assert_eq!(summary["by_policy"]["web-baseline"]["compliant"], 1);
    assert_eq!(summary["by_os"]["debian:12"]["non_compliant"], 1);
    assert_eq!(summary["by_owner"]["untagged"]["non_compliant"], 2);
    assert_eq!(summary["oldest_scan"], "2026-04-01T12:00:00Z");
    platform.expect_exact_rollups().await;

    platform.push(&inventory("web-1", "rocky9", WEB, Age::Newest)).await;
    platform.push(&inventory("db-1", "debian12", DB, Age::Newest)).await;
    let summary = platform.operator.get("/patch/compliance").await.expect(200);
    assert_eq!(summary["total"]["percent"], 100.0);
    platform.expect_exact_rollups().await;

    // A critical advisory arrives: hosts with the package are matched again, the others are not.
    let report = platform.import_file("incoming/DCOS-2026-0100.json").await;
    assert_eq!(
        (&report["new"], &report["cis_changed"]),
        (&json!(1), &json!(0)),
        "the newest versions contain its fix"
    );
    platform.push(&inventory("web-1", "rocky9", WEB, Age::Base)).await;
    let detail = platform.operator.get("/patch/advisories/CVE-2026-90100").await.expect(200);
    assert_eq!((&detail["affected_total"], &detail["affected"][0]["ci_id"]), (&json!(1), &json!("web-1")));
    platform.expect_exact_rollups().await;

    platform.librarian.delete("/cmdb/cis/web-1").await.expect(204);
    platform.add_policy("all-prod", json!({ "env": "prod" }), None).await;
    let summary = platform.operator.get("/patch/compliance").await.expect(200);
    assert_eq!(
        summary["total"],
        json!({ "compliant": 2, "non_compliant": 0, "unknown": 0, "percent": 100.0 })
    );
    assert_eq!(summary["by_policy"]["all-prod"]["compliant"], 1);
    platform.operator.get("/patch/compliance/web-1").await.expect_problem(404);
    platform.expect_exact_rollups().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_policy_has_a_result_and_the_host_has_the_worst() {
    let platform = measured().await;
    platform.add_policy("old-baseline", json!({ "env": "prod" }), Some("2025-10")).await;
    let web = platform.compliance_of("web-1").await;
    let results: Vec<_> = web["policies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["policy_id"].clone(), p["compliance_status"].clone()))
        .collect();
    assert_eq!(
        results,
        [(json!("old-baseline"), json!("compliant")), (json!("web-baseline"), json!("non_compliant"))],
        "nothing was published by the end of October 2025"
    );
    assert_eq!(web["compliance_status"], "non_compliant");

    platform.operator.delete("/patch/policies/web-baseline").await.expect(204);
    assert_eq!(platform.compliance_of("web-1").await["compliance_status"], "compliant");
    platform
        .operator
        .patch("/patch/policies/old-baseline", &json!({ "patch_level": "2025-11" }))
        .await
        .expect(200);
    assert_eq!(platform.compliance_of("web-1").await["compliance_status"], "non_compliant");
    platform
        .operator
        .patch("/patch/policies/old-baseline", &json!({ "target_ci_tags": { "env": "staging" } }))
        .await
        .expect(200);
    assert_eq!(platform.compliance_of("web-1").await["policies"], json!([]));
    platform.expect_exact_rollups().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn freeze_shows_the_exposure_that_it_adds() {
    let platform = measured().await;
    let levels = json!({ "exploited_days": 200, "critical_days": 200, "high_days": 200, "other_days": 200 });
    let longer = platform.patch.admin().await.put("/patch/service-levels", &levels).await;
    platform.patch.agreed(longer).await;
    let operator = &platform.operator;
    let open = operator.get("/patch/compliance/web-1").await.expect(200);
    // Only fixes up to the level of the policy, February, are required.
    let required = |patch: &&Value| patch["published"].as_str().unwrap() < "2026-03";
    let patches: Vec<&Value> = open["pending_patches"].as_array().unwrap().iter().filter(required).collect();
    let cves: std::collections::BTreeSet<&str> = patches
        .iter()
        .flat_map(|patch| patch["cve_ids"].as_array().unwrap())
        .map(|cve| cve.as_str().unwrap())
        .collect();
    let due: chrono::DateTime<chrono::Utc> =
        patches.iter().map(|patch| patch["due"].as_str().unwrap().parse().unwrap()).min().unwrap();
    assert!(!cves.is_empty() && due > platform.clock.now());

    // Five days around the next due date of web-1. Of the hosts with the tag `tier=web`, web-2 lacks nothing.
    let day = chrono::TimeDelta::days(1);
    let freeze = |name: &str, tags: Value, starts, ends| json!({ "name": name, "scope": tags, "starts": starts, "ends": ends });
    let body = freeze("around", json!({ "tier": "web" }), due - day, due + day * 4);
    let price = operator.post("/patch/calendars", &body).await.expect(201)["prices"][0].clone();
    assert_eq!(
        (&price["frozen_days"], &price["hosts"], &price["unknown_hosts"]),
        (&json!(5.0), &json!(2), &json!(0))
    );
    assert_eq!(price["host_cve_days"], json!(cves.len() as f64 * 5.0));
    assert_eq!((&price["hosts_overdue"], &price["unknown_cause"]), (&json!(1), &json!(null)));
    let before = freeze("before", json!({ "tier": "web" }), due - day * 5, due - day);
    let price = operator.post("/patch/calendars", &before).await.expect(201)["prices"][0].clone();
    assert_eq!((&price["frozen_days"], &price["hosts_overdue"]), (&json!(4.0), &json!(0)));

    // A host that was never scanned is unknown, not free of vulnerabilities.
    platform.add_host("new-1", json!({ "env": "lab", "os": "rocky9" })).await;
    operator.patch("/patch/policies/web-baseline", &json!({ "max_scan_age_hours": 8760 })).await.expect(200);
    let lab = freeze("lab", json!({ "env": "lab" }), due - day, due + day);
    let price = operator.post("/patch/calendars", &lab).await.expect(201)["prices"][0].clone();
    assert_eq!((&price["hosts"], &price["unknown_hosts"]), (&json!(1), &json!(1)));
    assert_eq!(
        (&price["host_cve_days"], &price["hosts_overdue"], &price["unknown_cause"]),
        (&json!(null), &json!(null), &json!("no_compliance_data"))
    );
    let listed = operator.get("/patch/calendars").await.expect(200);
    let causes: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|calendar| calendar["prices"][0]["unknown_cause"].clone())
        .collect();
    assert_eq!(causes, [json!(null), json!(null), json!("no_compliance_data")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn host_without_a_recent_scan_is_unknown() {
    let platform = measured().await;
    platform.add_host("web-3", json!({ "env": "prod", "os": "rocky9", "tier": "web" })).await;
    // A change of policies synchronises the hosts of the CMDB at once.
    platform
        .operator
        .patch("/patch/policies/web-baseline", &json!({ "max_scan_age_hours": 24 }))
        .await
        .expect(200);
    let never = platform.compliance_of("web-3").await;
    assert_eq!((&never["compliance_status"], &never["reason"]), (&json!("unknown"), &json!("never scanned")));
    assert_eq!(never["current_patch_level"], json!(null));

    platform.advance(25);
    let stale = platform.compliance_of("web-2").await;
    assert_eq!(stale["compliance_status"], "unknown", "readers see it at once");
    assert_eq!(stale["reason"], "last scanned 25 h ago, more than the allowed 24 h");
    assert_eq!(
        platform.compliance_of("db-1").await["compliance_status"],
        "non_compliant",
        "48 h without a policy"
    );
    eventually("the roll-ups know it too", async || {
        let summary = platform.operator.get("/patch/compliance").await.expect(200);
        summary["by_policy"]["web-baseline"]
            == json!({ "compliant": 0, "non_compliant": 0, "unknown": 3, "percent": 0.0 })
    })
    .await;
    platform.expect_exact_rollups().await;

    platform.push(&inventory("web-2", "rocky9", WEB, Age::Newest)).await;
    assert_eq!(
        platform.compliance_of("web-2").await["compliance_status"],
        "compliant",
        "unchanged, with a new scan"
    );
    platform.expect_exact_rollups().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn export_has_three_formats() {
    let platform = measured().await;
    platform.add_host("evil", json!({ "env": "=cmd|' /C calc'!A0", "os": "rocky9" })).await;
    platform.push(&inventory("evil", "rocky9", &["sudo"], Age::Newest)).await;

    let csv = platform.operator.get("/patch/compliance/export").await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    let lines: Vec<&str> = csv.text.lines().collect();
    assert_eq!(lines.len(), 5);
    assert!(lines[0].starts_with("ci_id,policy_id,os_type,env,compliance_status,reason,"));
    assert!(lines[2].starts_with("evil,,rocky9,'=cmd|' /C calc'!A0,compliant,"), "{}", lines[2]);

    let json = platform.operator.get("/patch/compliance/export?format=json").await.expect(200);
    let ids: Vec<_> = json.as_array().unwrap().iter().map(|row| row["ci_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["db-1", "evil", "web-1", "web-2"]);
    let ndjson = platform
        .operator
        .get("/patch/compliance/export?format=ndjson&policy_id=web-baseline&status=compliant")
        .await;
    let row: Value = serde_json::from_str(ndjson.text.trim()).unwrap();
    assert_eq!((&row["ci_id"], &row["pending"]), (&json!("web-2"), &json!(0)));
    let none = platform.operator.get("/patch/compliance/export?format=json&env=nowhere").await.expect(200);
    assert_eq!(none, json!([]));
    platform.operator.get("/patch/compliance/export?format=xml").await.expect_problem(400);
    platform.operator.get("/patch/compliance/export?status=fine").await.expect_problem(400);
}

/// SQL and the pure rules must compute the same.
#[tokio::test(flavor = "multi_thread")]
async fn levels_agree_with_the_pure_rules() {
    use advisories::{Month, compliance::current_patch_level};
    let platform = measured().await;
    for names in [&["curl"][..], &["nginx"], &["sudo"], &["kernel-core", "redis"], &["systemd"], &[]] {
        let names = if names.is_empty() { &["haproxy"][..] } else { names };
        platform.push(&inventory("web-1", "rocky9", names, Age::Base)).await;
        platform.advance(1);
        let web = platform.compliance_of("web-1").await;
        let missing = web["pending_patches"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p["published"].as_str().unwrap().parse().unwrap());
        let scanned = web["last_scanned"].as_str().unwrap().parse().unwrap();
        let level = current_patch_level(missing, Month::of(scanned)).map(|month| month.to_string());
        assert_eq!(web["current_patch_level"], json!(level), "{names:?}");
    }
}

/// A read must not get the connection that failed the previous read.
#[tokio::test(flavor = "multi_thread")]
async fn reads_recover_after_the_server_closed_every_connection() {
    let platform = measured().await;
    platform.compliance_of("web-1").await;
    let mut server = PgConnection::connect(platform.database.url()).await.unwrap();
    let close = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let closed: i64 = sqlx::query_scalar(close).fetch_one(&mut server).await.unwrap();
    assert!(closed > 0);
    for path in ["/patch/compliance/web-1", "/patch/advisories/DCOS-2025-0001"] {
        let first = platform.operator.get(path).await;
        assert!([200, 503].contains(&first.status.as_u16()), "{}", first.text);
        platform.operator.get(path).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn service_levels_decide_what_is_overdue_and_installed_fixes_are_counted() {
    let platform = measured().await;
    let ask = async || platform.operator.get("/patch/compliance/timeliness").await.expect(200);
    let report = ask().await;
    assert_eq!(report["service_levels"]["critical_days"], 7);
    let breaches = report["total"]["hosts_in_breach"].as_i64().unwrap();
    assert!(breaches > 0 && report["total"]["open_cve_days"].as_f64().unwrap() > 0.0, "{report}");
    assert_eq!(report["total"]["mean_days_to_patch"], json!(null));

    let levels =
        json!({ "exploited_days": 3000, "critical_days": 3000, "high_days": 3000, "other_days": 3000 });
    platform.operator.put("/patch/service-levels", &levels).await.expect_problem(403);
    let admin = platform.patch.admin().await;
    let wrong = json!({ "exploited_days": 0, "critical_days": 1, "high_days": 1, "other_days": 1 });
    let problem = admin.put("/patch/service-levels", &wrong).await.expect_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/exploited_days");
    let longer = admin.put("/patch/service-levels", &levels).await;
    assert_eq!(platform.patch.agreed(longer).await, levels);
    assert_eq!(platform.operator.get("/patch/service-levels").await.expect(200), levels);
    assert_eq!(ask().await["total"]["hosts_in_breach"], 0, "every due date has moved");

    platform.advance(1);
    platform.push(&inventory("web-1", "rocky9", &["openssl"], Age::Base)).await;
    let before = ask().await["total"]["fixes_installed"].as_i64().unwrap();
    platform.advance(1);
    platform.push(&inventory("web-1", "rocky9", &["openssl"], Age::Newest)).await;
    let after = ask().await;
    let of_env = &after["by_env"]["prod"];
    assert!(of_env["fixes_installed"].as_i64().unwrap() > before, "{after}");
    assert!(
        of_env["mean_days_to_patch"].as_f64().unwrap() > 0.0 && of_env["fixes_installed_late"] == 0,
        "{of_env}"
    );
    platform.operator.get("/patch/compliance/timeliness?months=0").await.expect_problem(422);
    platform.expect_exact_rollups().await;
}
