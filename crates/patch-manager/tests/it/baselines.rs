//! Policies as baselines: one rule decides compliance and previews. Plans: `app/updates/tests/baselines.rs` of `patch-compliance`.

use serde_json::{Value, json};

use crate::{
    fleet::import,
    platform::{Platform, eventually},
};

/// Package, notice, severity, publication. The clock is at noon of 1 April 2026.
const NOTICES: [(&str, &str, &str, &str); 5] = [
    ("alpha", "RLSA-2026:1001", "high", "2026-01-10"),
    ("beta", "RLSA-2026:1002", "low", "2026-01-20"),
    ("gamma", "RLBA-2026:1003", "none", "2026-02-15"),
    ("delta", "RLSA-2026:1004", "high", "2026-03-30"),
    ("epsilon", "RLSA-2026:1005", "low", "2026-03-31"),
];
const ALL: [&str; 5] = ["alpha", "beta", "delta", "epsilon", "gamma"];

fn notices() -> Vec<u8> {
    let record = |(package, id, severity, day): (&str, &str, &str, &str)| {
        let at = format!("{day}T00:00:00Z");
        let cve = id.replace("RLSA-2026:", "CVE-2026-7");
        let upstream = if cve == id { json!([]) } else { json!([cve]) };
        json!({ "schema_version": "1.7.0", "id": id, "modified": at, "published": at, "summary": package, "upstream": upstream,
            "database_specific": { "severity": severity },
            "affected": [{ "package": { "ecosystem": "Rocky Linux:9", "name": package },
                "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": "2.0-1.el9" }] }] }] })
    };
    NOTICES.map(record).iter().flat_map(|record| format!("{record}\n").into_bytes()).collect()
}

/// The vulnerability of `epsilon` is known to be exploited.
fn exploited() -> Vec<u8> {
    let catalogue = json!({ "title": "t", "catalogVersion": "2026.03.31", "dateReleased": "2026-03-31T00:00:00Z", "count": 1,
        "vulnerabilities": [{ "cveID": "CVE-2026-71005", "vendorProject": "v", "product": "p", "vulnerabilityName": "n",
            "dateAdded": "2026-03-31", "shortDescription": "s", "requiredAction": "a", "dueDate": "2026-04-22",
            "knownRansomwareCampaignUse": "Unknown", "notes": "" }] });
    catalogue.to_string().into_bytes()
}

fn inventory(ci: &str, packages: &[&str]) -> Value {
    let packages: Vec<Value> =
        packages.iter().map(|name| json!({ "name": name, "version": "1.0-1.el9" })).collect();
    json!({ "ci_id": ci, "os": "rocky9", "packages": packages })
}

/// `web-1` lacks all five fixes, `web-2` only that of `delta`.
async fn measured() -> Platform {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    import(&platform.operator, notices()).await;
    import(&platform.operator, exploited()).await;
    let policy = json!({ "id": "base", "name": "base", "target_ci_tags": { "tier": "web" }, "rollback": "never",
        "pre_patch_snapshot": false, "max_scan_age_hours": 8760, "max_feed_age_hours": 8760 });
    platform.operator.post("/patch/policies", &policy).await.expect(201);
    platform.push(&inventory("web-1", &ALL)).await;
    platform.push(&inventory("web-2", &["delta"])).await;
    platform
}

/// The notes about a host's fixes, by package.
async fn notes(platform: &Platform, ci: &str) -> Vec<(String, Vec<Value>)> {
    let host = platform.compliance_of(ci).await;
    let patches = host["pending_patches"].as_array().unwrap().iter();
    let of_patch = |patch: &Value| patch["baseline"].as_array().cloned().unwrap_or_default();
    let mut notes: Vec<_> =
        patches.map(|patch| (patch["package"].as_str().unwrap().to_owned(), of_patch(patch))).collect();
    notes.sort_by(|a, b| a.0.cmp(&b.0));
    notes
}

/// The packages of a host whose fixes belong to the baseline.
async fn required(platform: &Platform, ci: &str) -> Vec<String> {
    let is_left_out = |notes: &[Value]| notes.iter().any(|note| note["effect"] == "left_out");
    let all = notes(platform, ci).await.into_iter();
    all.filter(|(_, notes)| !is_left_out(notes)).map(|(package, _)| package).collect()
}

async fn change(platform: &Platform, changes: &Value) {
    platform.operator.patch("/patch/policies/base", changes).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn compliance_follows_every_rule() {
    let platform = measured().await;
    let cases: [(Value, Option<&str>, &[&str]); 9] = [
        (json!({}), None, &ALL),
        (json!({ "classifications": ["security"] }), None, &["alpha", "beta", "delta", "epsilon"]),
        (json!({ "minimum_severity": "high" }), None, &["alpha", "delta", "epsilon", "gamma"]),
        (json!({ "approve_after_days": 7 }), None, &["alpha", "beta", "epsilon", "gamma"]),
        (
            json!({ "approve_after_days": 7, "known_exploited_at_once": false }),
            None,
            &["alpha", "beta", "gamma"],
        ),
        (
            json!({ "deny": [{ "glob": "*lta", "reason": "the vendor updates it" }] }),
            None,
            &["alpha", "beta", "epsilon", "gamma"],
        ),
        (json!({ "allow": [{ "glob": "?eta", "reason": "only this is ours" }] }), None, &["beta"]),
        (json!({}), Some("2026-01-15"), &["alpha"]),
        (json!({}), Some("2026-02"), &["alpha", "beta", "gamma"]),
    ];
    for (baseline, level, expected) in cases {
        change(&platform, &json!({ "baseline": baseline, "patch_level": level })).await;
        let what = format!("{baseline} {level:?}");
        assert_eq!(required(&platform, "web-1").await, expected, "{what}");
        let result = platform.compliance_of("web-1").await["policies"][0].clone();
        assert_eq!(
            (&result["pending"], &result["left_out"]),
            (&json!(expected.len()), &json!(5 - expected.len())),
            "{what}: {result}"
        );
        platform.expect_exact_rollups().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_names_the_rule_and_its_reason() {
    let platform = measured().await;
    let deny = json!([{ "glob": "del*", "reason": "breaks the storage driver" }]);
    change(&platform, &json!({ "baseline": { "deny": deny, "minimum_severity": "medium" } })).await;
    let notes = notes(&platform, "web-1").await;
    let note = |package: &str| notes.iter().find(|(name, _)| name == package).unwrap().1.clone();
    assert_eq!(
        note("delta"),
        [json!({ "policy_id": "base", "effect": "left_out", "rule": "denied",
            "reason": "not in the baseline: denied by glob `del*`: breaks the storage driver" })]
    );
    assert_eq!(note("beta")[0]["reason"], "not in the baseline: its severity `low` is below `medium`");
    assert_eq!(note("epsilon"), Vec::<Value>::new(), "it is exploited");
    let host = platform.compliance_of("web-1").await;
    assert_eq!(host["policies"][0]["reason"], "3 fixes are pending, 2 more not in the baseline");
    // All that it lacks is denied.
    let other = platform.compliance_of("web-2").await;
    assert_eq!(other["compliance_status"], "compliant");
    assert_eq!(other["reason"], "every applicable fix is installed, 1 more not in the baseline");
    let versions = platform.operator.get("/patch/policies/base/versions").await.expect(200);
    let field = versions["items"][0]["changes"][0]["field"].as_str().unwrap().to_owned();
    assert!(field.starts_with("/baseline"), "{field}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fix_becomes_pending_when_it_is_old_enough() {
    let platform = measured().await;
    change(&platform, &json!({ "baseline": { "approve_after_days": 7 } })).await;
    let young = platform.compliance_of("web-2").await;
    assert_eq!(young["compliance_status"], "compliant");
    let note = &young["pending_patches"][0]["baseline"][0];
    assert_eq!((&note["rule"], &note["until"]), (&json!("age"), &json!("2026-04-06T00:00:00Z")));
    platform.advance(24 * 4);
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let status = async || platform.compliance_of("web-2").await["compliance_status"].clone();
    assert_eq!(status().await, "compliant", "6 days are not 7");
    platform.advance(24);
    eventually("it is pending", async || status().await == "non_compliant").await;
    assert_eq!(required(&platform, "web-2").await, ["delta"]);
    let list = platform.operator.get("/patch/compliance/hosts?status=non_compliant").await.expect(200);
    let pending: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|host| (host["ci_id"].clone(), host["pending"].clone()))
        .collect();
    assert_eq!(pending, [(json!("web-1"), json!(5)), (json!("web-2"), json!(1))]);
    platform.expect_exact_rollups().await;
}

/// A notice without a date may be years old: no rule about age hides its fix.
#[tokio::test(flavor = "multi_thread")]
async fn fix_of_unknown_age_and_severity_belongs_to_the_baseline() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    let sources = "Package: liby\nVersion: 2.0-4+deb12u1\nDirectory: pool/liby\n";
    import(&platform.operator, sources.into()).await;
    let package = json!({ "name": "liby", "version": "2.0-3", "source": "liby" });
    platform.push(&json!({ "ci_id": "db-1", "os": "debian:12", "packages": [package] })).await;
    let policy = json!({ "id": "db", "name": "db", "target_ci_tags": { "tier": "db" },
        "baseline": { "approve_after_days": 30, "minimum_severity": "critical" } });
    platform.operator.post("/patch/policies", &policy).await.expect(201);
    assert_eq!(platform.compliance_of("db-1").await["policies"][0]["pending"], 1);
    let (_, notes) = notes(&platform, "db-1").await.remove(0);
    let rules: Vec<_> = notes.iter().map(|note| (note["effect"].clone(), note["rule"].clone())).collect();
    let unknown = json!("included_as_unknown");
    assert_eq!(rules, [(unknown.clone(), json!("severity")), (unknown, json!("age"))]);
    assert_eq!(notes[1]["reason"], "its publication date is unknown, so it counts as old enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn change_of_kind_or_exploitation_changes_the_baseline() {
    let platform = measured().await;
    change(
        &platform,
        &json!({ "baseline": { "classifications": ["security"], "minimum_severity": "high" } }),
    )
    .await;
    assert_eq!(required(&platform, "web-1").await, ["alpha", "delta", "epsilon"]);
    let reissued = String::from_utf8(notices()).unwrap();
    let gamma = reissued.lines().find(|line| line.contains("gamma")).unwrap();
    let mut gamma: Value = serde_json::from_str(gamma).unwrap();
    gamma["database_specific"] = json!({ "severity": "critical", "kind": "security" });
    gamma["modified"] = json!("2026-03-01T00:00:00Z");
    import(&platform.operator, gamma.to_string().into_bytes()).await;
    eventually("it counts", async || {
        platform.compliance_of("web-1").await["policies"][0]["pending"] == json!(4)
    })
    .await;
    platform.expect_exact_rollups().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn preview_shows_what_a_change_adds_and_removes() {
    let platform = measured().await;
    change(&platform, &json!({ "baseline": { "approve_after_days": 7 } })).await;
    let preview = async |changes: Value| {
        let body = json!({ "changes": changes });
        platform.operator.post("/patch/policies/base/preview", &body).await.expect(200)
    };
    let deny = json!([{ "glob": "alpha", "reason": "ours" }]);
    let shown = preview(json!({ "baseline": { "deny": deny } })).await;
    assert_eq!(shown["targets"], json!(["web-1", "web-2"]));
    let change = &shown["baseline_change"];
    let totals = ["hosts", "hosts_changed", "added", "removed"].map(|name| change[name].as_i64().unwrap());
    assert_eq!(totals, [2, 2, 2, 1], "{change}");
    let web = &change["changed"][0];
    assert_eq!((&web["ci_id"], &web["added"], &web["removed"]), (&json!("web-1"), &json!(1), &json!(1)));
    assert_eq!(
        web["removed_fixes"],
        json!([{ "package": "alpha", "advisory_id": "RLSA-2026:1001", "classification": "security", "severity": "high",
            "exploited": false, "rule": "denied", "reason": "denied by glob `alpha`: ours" }])
    );
    let added = &web["added_fixes"][0];
    assert_eq!((&added["package"], &added["rule"]), (&json!("delta"), &json!("age")));
    assert!(added["reason"].as_str().unwrap().contains("from 2026-04-06"), "{added}");

    let elsewhere = preview(json!({ "target_ci_tags": { "env": "prod", "tier": "db" } })).await;
    let change = &elsewhere["baseline_change"];
    assert_eq!((&change["added"], &change["removed"]), (&json!(0), &json!(4)));
    let left = &change["changed"][0]["removed_fixes"][0];
    assert_eq!(
        (&left["rule"], &left["reason"]),
        (&json!(null), &json!("the policy does not select the host"))
    );
    let same = preview(json!({ "retries": 2 })).await;
    assert_eq!(same["baseline_change"]["changed"], json!([]));

    let stored = platform.operator.get("/patch/policies/base").await.expect(200);
    assert_eq!((&stored["baseline"], &stored["version"]), (&json!({ "approve_after_days": 7 }), &json!(2)));
    let plain = platform.operator.get("/patch/policies/base/preview").await.expect(200);
    assert_eq!(plain.get("baseline_change"), None);

    for (body, pointer) in [
        (
            json!({ "changes": { "baseline": { "deny": [{ "glob": "a b", "reason": "r" }] } } }),
            "/changes/baseline/deny/0/glob",
        ),
        (
            json!({ "changes": { "baseline": { "approve_after_days": 400 } } }),
            "/changes/baseline/approve_after_days",
        ),
        (json!({ "changes": { "id": "other" } }), "/changes/id"),
        (json!({ "changes": {}, "preflight": true }), "/changes"),
    ] {
        let problem = platform.operator.post("/patch/policies/base/preview", &body).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let viewer = platform.patch.as_role("vera", &[api_types::access::Role::Viewer]).await;
    viewer.post("/patch/policies/base/preview", &json!({ "changes": {} })).await.expect_problem(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_rules_are_refused_with_what_to_do() {
    let platform = Platform::start().await;
    let policy = |field: &str, value: Value| {
        let mut policy = json!({ "id": "p", "name": "p", "target_ci_tags": { "env": "dev" } });
        policy[field] = value;
        policy
    };
    let rule = |glob: &str, reason: &str| json!({ "glob": glob, "reason": reason });
    for (field, value, pointer, hint) in [
        ("baseline", json!({ "deny": [rule("kernel[0]", "r")] }), "/baseline/deny/0/glob", "use letters"),
        ("baseline", json!({ "deny": [rule("*", "r")] }), "/baseline/deny/0/glob", "matches every package"),
        ("baseline", json!({ "allow": [rule("a*", "")] }), "/baseline/allow/0/reason", "write why"),
        (
            "baseline",
            json!({ "deny": [rule("a*", "r"), rule("a*", "s")] }),
            "/baseline/deny/1/glob",
            "remove one of them",
        ),
        ("baseline", json!({ "minimum_severity": "none" }), "/baseline/minimum_severity", "must be `low`"),
        ("baseline", json!({ "classifications": ["all"] }), "/baseline/classifications/0", "`security`"),
        ("patch_level", json!("2026-02-30"), "/patch_level", "or a date such as `2026-02-15`"),
        ("patch_level", json!("2026-13"), "/patch_level", "a month such as `2026-02`"),
    ] {
        let problem =
            platform.operator.post("/patch/policies", &policy(field, value)).await.expect_problem(422);
        let error = &problem["errors"][0];
        assert!(
            error["pointer"] == pointer && error["detail"].as_str().unwrap().contains(hint),
            "{pointer}: {problem}"
        );
    }
}
