//! What nobody knows is unknown: releases without advisories, old feeds, packages that could not be read.

use std::borrow::Cow;

use patch_manager::PatchManager;
use reqwest::Method;
use serde_json::{Value, json};
use service_kit::server::Service;
use test_support::TestDatabase;

use crate::{
    fleet::{Age, import, inventory, seed_lines},
    platform::{Platform, eventually},
};

/// An OSV record of one source or package.
fn notice(id: &str, ecosystem: &str, package: &str, fixed: &str, published: &str) -> Value {
    json!({
        "id": id, "modified": published, "published": published, "summary": "security update",
        "affected": [{ "package": { "ecosystem": ecosystem, "name": package },
            "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": fixed }] }] }],
        "upstream": ["CVE-2026-90555"],
    })
}

async fn import_notice(platform: &Platform, notice: &Value) -> Value {
    import(&platform.operator, format!("{notice}\n").into_bytes()).await
}

fn bare(ci: &str, os: &str, package: &str, version: &str) -> Value {
    json!({ "ci_id": ci, "os": os, "packages": [{ "name": package, "version": version }] })
}

async fn release(platform: &Platform, wanted: &str) -> Value {
    let page = platform.operator.get("/patch/coverage").await.expect(200);
    let found = page["items"].as_array().unwrap().iter().find(|one| one["release"] == wanted);
    found.cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn host_of_a_release_without_advisories_is_unknown_until_a_feed_covers_it() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    import_notice(
        &platform,
        &notice("DSA-9991-1", "Debian:12", "zlib", "1:1.2.13-2", "2026-03-02T00:00:00Z"),
    )
    .await;
    platform.push(&bare("web-1", "rocky9", "zlib", "1.2.11-40.el9")).await;
    platform.push(&bare("db-1", "debian12", "zlib", "1:1.2.13-2")).await;

    let web = platform.compliance_of("web-1").await;
    assert_eq!(
        (&web["compliance_status"], &web["unknown_cause"]),
        (&json!("unknown"), &json!("not_covered"))
    );
    assert_eq!(web["reason"], "no advisories for rocky:9 are known");
    assert_eq!((&web["current_patch_level"], &web["feed_fetched"]), (&json!(null), &json!(null)));
    let db = platform.compliance_of("db-1").await;
    assert_eq!((&db["compliance_status"], &db["unknown_cause"]), (&json!("compliant"), &json!(null)));
    assert_eq!(db["current_patch_level"], "2026-04");

    let summary = platform.operator.get("/patch/compliance").await.expect(200);
    let states: Vec<_> = summary["coverage"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert_eq!(states, ["not_covered", "covered"], "worst first");
    assert_eq!(summary["by_os"]["rocky:9"]["compliant"], 0);
    let debian = release(&platform, "debian:12").await;
    assert_eq!(
        debian["feeds"],
        json!([{ "feed": "debian", "notices": 1, "newest_notice": "2026-03-02T00:00:00Z", "fetched_at": "2026-04-01T12:00:00Z" }])
    );
    assert_eq!((&debian["hosts"], &debian["end_of_support"]), (&json!(1), &json!("2028-06-30")));
    let export = platform.operator.get("/patch/compliance/export").await.text;
    let row = export.lines().find(|line| line.starts_with("web-1,")).unwrap();
    assert!(
        row.contains(",unknown,no advisories for rocky:9 are known,") && row.ends_with(",not_covered,,0"),
        "{row}"
    );
    platform.expect_exact_rollups().await;

    // A notice about another package is enough: now the feed would contain one about this package.
    import_notice(
        &platform,
        &notice("RLSA-2026:9991", "Rocky Linux:9", "curl", "7.76.1-32.el9", "2026-03-03T00:00:00Z"),
    )
    .await;
    let web = platform.compliance_of("web-1").await;
    assert_eq!(
        (&web["compliance_status"], &web["current_patch_level"]),
        (&json!("compliant"), &json!("2026-04"))
    );
    assert_eq!(release(&platform, "rocky:9").await["state"], "covered");
    platform.expect_exact_rollups().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_feed_makes_hosts_unknown_and_the_level_never_passes_it() {
    let platform = Platform::start().await;
    platform.import_seeds().await;
    platform.add_fleet().await;
    platform.add_policy("strict", json!({ "tier": "web" }), None).await;
    let day = json!({ "max_feed_age_hours": 24 });
    platform.operator.patch("/patch/policies/strict", &day).await.expect(200);
    platform.push(&inventory("web-1", "rocky9", &["sudo"], Age::Newest)).await;
    platform.push(&inventory("web-2", "rocky9", &["sudo"], Age::Base)).await;
    platform.push(&inventory("db-1", "debian12", &["sudo"], Age::Newest)).await;
    assert_eq!(platform.compliance_of("web-1").await["compliance_status"], "compliant");

    // Nobody scans and nobody imports.
    platform.advance(25);
    eventually("the roll-ups know that the feed is too old", async || {
        let summary = platform.operator.get("/patch/compliance").await.expect(200);
        summary["by_policy"]["strict"]
            == json!({ "compliant": 0, "non_compliant": 0, "unknown": 2, "percent": 0.0 })
    })
    .await;
    let web = platform.compliance_of("web-1").await;
    assert_eq!(
        (&web["compliance_status"], &web["unknown_cause"]),
        (&json!("unknown"), &json!("feed_too_old"))
    );
    assert_eq!(
        web["reason"],
        "the advisories for rocky:9 were last imported 25 h ago, more than the allowed 24 h"
    );
    assert_eq!(
        platform.compliance_of("db-1").await["compliance_status"],
        "compliant",
        "a week without a policy"
    );
    platform.expect_exact_rollups().await;

    // The same feed again: nothing in it is new, but now it is known that nothing is new.
    let report = import(&platform.operator, seed_lines()).await;
    assert_eq!((&report["new"], &report["changed"]), (&json!(0), &json!(0)));
    assert_eq!(platform.compliance_of("web-1").await["compliance_status"], "compliant");
    assert_eq!(platform.compliance_of("web-2").await["compliance_status"], "non_compliant");
    platform.expect_exact_rollups().await;

    // Scans in June, with what the feed knew in April.
    platform.advance(24 * 62);
    platform.push(&inventory("db-1", "debian12", &["sudo"], Age::Newest)).await;
    let db = platform.compliance_of("db-1").await;
    assert_eq!(
        (&db["unknown_cause"], &db["current_patch_level"]),
        (&json!("feed_too_old"), &json!("2026-04"))
    );
    import(&platform.operator, seed_lines()).await;
    let db = platform.compliance_of("db-1").await;
    assert_eq!(
        (&db["compliance_status"], &db["current_patch_level"]),
        (&json!("compliant"), &json!("2026-06"))
    );
    platform.expect_exact_rollups().await;
}

/// Half a feed does not know what the other half would say.
#[tokio::test(flavor = "multi_thread")]
async fn feed_that_is_cut_short_does_not_count_as_imported() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    let source = |name: &str, cve: &str| {
        let state =
            json!({ "repositories": {}, "status": "resolved", "fixed_version": "1.2-3", "urgency": "high" });
        json!({ name: { cve: { "description": "a hole", "releases": { "bookworm": state } } } }).to_string()
    };
    let [first, second] = [source("liba", "CVE-2026-90701"), source("libb", "CVE-2026-90702")];
    let whole = format!("{},{}", first.trim_end_matches('}').to_owned() + "}}}}", &second[1..]);
    let cut = &whole[..whole.len() - 20];
    platform.push(&bare("db-1", "debian12", "bash", "5.2-2")).await;
    let report = import(&platform.operator, cut.as_bytes().to_vec()).await;
    assert_eq!(report["new"], 1, "what came before the cut is stored: {report}");
    assert!(report["warnings"][0].as_str().unwrap().contains("cannot be read further"), "{report}");
    let db = platform.compliance_of("db-1").await;
    assert_eq!((&db["compliance_status"], &db["unknown_cause"]), (&json!("unknown"), &json!("not_covered")));
    assert_eq!(release(&platform, "debian:12").await["state"], "not_covered");

    import(&platform.operator, whole.clone().into_bytes()).await;
    assert_eq!(platform.compliance_of("db-1").await["compliance_status"], "compliant");
    // Nor does it make an old feed young.
    platform.advance(169);
    platform.push(&bare("db-1", "debian12", "bash", "5.2-2")).await;
    import(&platform.operator, cut.as_bytes().to_vec()).await;
    assert_eq!(platform.compliance_of("db-1").await["unknown_cause"], "feed_too_old");
    let policy =
        json!({ "id": "p", "name": "p", "target_ci_tags": { "env": "prod" }, "max_feed_age_hours": 0 });
    platform.operator.post("/patch/policies", &policy).await.expect_problem(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn release_out_of_support_is_unknown_unless_notices_continue() {
    let platform = Platform::start().await;
    platform.add_host("old-1", json!({ "env": "prod", "os": "debian9" })).await;
    import_notice(&platform, &notice("DLA-3001-1", "Debian:9", "zlib", "1:1.2.8-7", "2022-05-02T00:00:00Z"))
        .await;
    platform.push(&bare("old-1", "debian:9", "bash", "4.4-5")).await;
    let old = platform.compliance_of("old-1").await;
    assert_eq!(
        (&old["compliance_status"], &old["unknown_cause"]),
        (&json!("unknown"), &json!("out_of_support"))
    );
    assert_eq!(
        old["reason"],
        "debian:9 is out of support since 2022-06-30, and no later advisory for it is known"
    );
    assert_eq!(old["current_patch_level"], "2022-06");

    import_notice(&platform, &notice("ELA-1-1", "Debian:9", "zlib", "1:1.2.8-9", "2026-03-02T00:00:00Z"))
        .await;
    let old = platform.compliance_of("old-1").await;
    assert_eq!(
        (&old["compliance_status"], &old["current_patch_level"]),
        (&json!("compliant"), &json!("2026-03"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn host_with_an_unread_package_is_never_compliant() {
    let platform = Platform::start().await;
    platform.import_seeds().await;
    platform.add_fleet().await;
    let mut pushed = inventory("web-1", "rocky9", &["sudo", "nginx"], Age::Newest);
    let whole = pushed.clone();
    pushed["packages"][1]["version"] = "1 20".into();
    pushed["unread"] = json!([{ "place": "line 7", "reason": "it is not UTF-8" }]);
    let report = platform.push(&pushed).await;
    assert_eq!((&report["unread"], &report["changed"]), (&json!(2), &json!(1)));
    let web = platform.compliance_of("web-1").await;
    assert_eq!(
        (&web["compliance_status"], &web["unknown_cause"]),
        (&json!("unknown"), &json!("partly_read"))
    );
    assert_eq!(web["reason"], "2 packages could not be read; what they lack is not known");
    assert_eq!(web["current_patch_level"], json!(null));
    assert_eq!((&web["packages"]["installed"], &web["packages"]["unread"]), (&json!(1), &json!(2)));
    let places: Vec<_> =
        web["packages"]["unread_packages"].as_array().unwrap().iter().map(|one| &one["place"]).collect();
    assert_eq!(places, ["line 7", "nginx"]);
    platform.expect_exact_rollups().await;

    // A line that says the same is recognised without reading its packages, and means the same.
    for _ in 0..2 {
        let line = format!("{pushed}\n").into_bytes();
        let pushed = platform.operator.send(
            Method::POST,
            "/patch/inventory",
            &[("content-type", "application/x-ndjson")],
            Some(line),
        );
        pushed.await.expect(200);
        assert_eq!(platform.compliance_of("web-1").await["compliance_status"], "unknown");
    }

    // What is missing is known, whatever else may be.
    let mut lacking = inventory("web-2", "rocky9", &["sudo"], Age::Base);
    lacking["unread"] = pushed["unread"].clone();
    platform.push(&lacking).await;
    let web = platform.compliance_of("web-2").await;
    assert_eq!(web["compliance_status"], "non_compliant");
    assert!(web["reason"].as_str().unwrap().ends_with("; 1 package could not be read"), "{web}");

    platform.push(&whole).await;
    let web = platform.compliance_of("web-1").await;
    assert_eq!((&web["compliance_status"], &web["packages"]["unread"]), (&json!("compliant"), &json!(0)));
    platform.expect_exact_rollups().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packages_of_other_vendors_are_counted_apart() {
    let platform = Platform::start().await;
    platform.import_seeds().await;
    platform.add_fleet().await;
    let mut pushed = inventory("web-1", "rocky9", &["sudo", "nginx", "curl"], Age::Newest);
    pushed["packages"][0]["vendor"] = "Rocky Enterprise Software Foundation".into();
    pushed["packages"][1]["vendor"] = "NGINX Packaging".into();
    platform.push(&pushed).await;
    let packages = platform.compliance_of("web-1").await["packages"].clone();
    assert_eq!(
        packages,
        json!({ "installed": 3, "third_party": 1, "unknown_vendor": 1, "unread": 0, "unread_packages": [] })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_does_not_affect_a_host_with_the_fix_of_its_own_minor_release() {
    let platform = Platform::start().await;
    let at = "2026-03-02T00:00:00Z";
    import_notice(
        &platform,
        &notice("RHSA-2026:0902", "Red Hat:rhel_eus:9.2::baseos", "libx", "2-5.el9_2", at),
    )
    .await;
    import_notice(
        &platform,
        &notice("RHSA-2026:0904", "Red Hat:enterprise_linux:9::baseos", "libx", "2-9.el9_4", at),
    )
    .await;
    for (host, version) in
        [("eus-old", "2-4.el9_2"), ("eus-new", "2-5.el9_2"), ("mid", "2-7.el9_3"), ("new", "2-9.el9_4")]
    {
        platform.add_host(host, json!({ "env": "prod", "os": "rhel9" })).await;
        platform.push(&bare(host, "rhel:9", "libx", version)).await;
    }
    // The later fix applies to all three that lack it.
    for (host, status) in [
        ("eus-old", "non_compliant"),
        ("eus-new", "non_compliant"),
        ("mid", "non_compliant"),
        ("new", "compliant"),
    ] {
        assert_eq!(platform.compliance_of(host).await["compliance_status"], status, "{host}");
    }
    let advisory = platform.operator.get("/patch/advisories/RHSA-2026:0904").await.expect(200);
    assert_eq!((&advisory["affected_total"], &advisory["not_affected_total"]), (&json!(3), &json!(0)));
    // The vulnerability does not affect the one that has the fix of 9.2.
    let hosts = |page: &Value| -> Vec<String> {
        page["affected"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["ci_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let cve = platform.operator.get("/patch/advisories/CVE-2026-90555").await.expect(200);
    assert_eq!((&cve["affected_total"], &cve["not_affected_total"]), (&json!(2), &json!(1)));
    assert_eq!(hosts(&cve), ["eus-old", "mid"]);
    let first = platform.operator.get("/patch/advisories/CVE-2026-90555?limit=1").await.expect(200);
    let token = first["next_page_token"].as_str().unwrap();
    let next = format!("/patch/advisories/CVE-2026-90555?limit=1&page_token={token}");
    let second = platform.operator.get(&next).await.expect(200);
    assert_eq!((hosts(&first), hosts(&second)), (vec!["eus-old".to_owned()], vec!["mid".to_owned()]));
    assert_eq!(second["next_page_token"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn vulnerabilities_without_a_fix_are_listed_with_what_the_vendor_says() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    let tracker = json!({ "libz": {
        "CVE-2026-90601": { "description": "one", "releases": { "bookworm": { "repositories": { "bookworm": "1.2-3" }, "status": "open", "urgency": "low", "nodsa": "Minor issue" } } },
        "CVE-2026-90602": { "description": "two", "releases": { "bookworm": { "repositories": { "bookworm": "1.2-3" }, "status": "open", "urgency": "end-of-life" } } },
        "CVE-2026-90603": { "description": "three", "releases": { "bookworm": { "repositories": { "bookworm": "1.2-3" }, "status": "open", "urgency": "high", "nodsa": "later", "nodsa_reason": "postponed" } } },
        "CVE-2026-90604": { "description": "four", "releases": { "bookworm": { "repositories": { "bookworm": "1.2-3" }, "status": "resolved", "fixed_version": "1.2-3", "urgency": "high" } } },
        "CVE-2026-90605": { "description": "five", "releases": { "bookworm": { "repositories": { "bookworm": "1.2-3" }, "status": "undetermined", "urgency": "unimportant" } } },
    } });
    let report = import(&platform.operator, tracker.to_string().into_bytes()).await;
    assert_eq!((&report["new"], &report["format"]), (&json!(5), &json!("debian-tracker")), "{report}");
    let pushed = json!({ "ci_id": "db-1", "os": "debian:12", "packages": [
        { "name": "libz1", "version": "1.2-3", "source": "libz" }, { "name": "bash", "version": "5.2-2" }] });
    platform.push(&pushed).await;
    // None of them can be installed: the host has every fix that there is.
    let db = platform.compliance_of("db-1").await;
    assert_eq!((&db["compliance_status"], &db["pending_patches"]), (&json!("compliant"), &json!([])));
    let page = platform.operator.get("/patch/compliance/db-1/unfixed").await.expect(200);
    let said: Vec<_> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                one["cve_ids"][0].as_str().unwrap(),
                one["package"].as_str().unwrap(),
                one["no_fix"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            ("CVE-2026-90601", "libz1", "minor"),
            ("CVE-2026-90602", "libz1", "end_of_life"),
            ("CVE-2026-90603", "libz1", "postponed"),
            ("CVE-2026-90605", "libz1", "under_investigation"),
        ]
    );
    let first = platform.operator.get("/patch/compliance/db-1/unfixed?limit=3").await.expect(200);
    let token = first["next_page_token"].as_str().unwrap();
    let rest = format!("/patch/compliance/db-1/unfixed?limit=3&page_token={token}");
    assert_eq!(platform.operator.get(&rest).await.expect(200)["items"].as_array().unwrap().len(), 1);
    let cve = platform.operator.get("/patch/advisories/CVE-2026-90603").await.expect(200);
    assert_eq!(cve["advisories"][0]["packages"][0]["no_fix"], "postponed");
    platform.operator.get("/patch/compliance/nobody/unfixed").await.expect_problem(404);
}

/// The schema before it knew what the feeds cover.
const BEFORE_COVERAGE: i64 = 20_261_130_010_000;

#[tokio::test(flavor = "multi_thread")]
async fn coverage_of_a_database_in_use_is_estimated_and_its_hosts_are_judged_again() {
    let database = TestDatabase::create_empty().await;
    let pool = service_kit::database::connect(database.url(), "test", 2).unwrap();
    let mut old = PatchManager::migrator();
    old.migrations =
        Cow::Owned(old.migrations.iter().filter(|step| step.version < BEFORE_COVERAGE).cloned().collect());
    service_kit::database::run(&pool, PatchManager::SCHEMA, old).await.unwrap();
    let rows = "
        INSERT INTO patch.advisories (id, source, kind, severity, summary, cves, published, modified, in_force, exploited, due, digest, body)
            SELECT id, source, 'security', 'high', 's', '{}', published, published, true, false, published, '', '{}'
            FROM (VALUES ('A-1', 'x', '2026-01-02Z'::timestamptz), ('A-2', 'x', '2026-02-02Z'), ('B-1', 'y', '2026-01-05Z')) given (id, source, published);
        INSERT INTO patch.advisory_packages (advisory_no, position, os, package, package_kind, fixed, modules)
            VALUES (1, 0, 'rocky:9', 'curl', 'binary', '1-2', '{}'), (1, 1, 'rocky:9', 'libcurl', 'binary', '1-2', '{}'),
                (2, 0, 'rocky:9', 'curl', 'binary', '1-3', '{}'), (3, 0, 'debian:12', 'curl', 'source', '1-2', '{}'),
                (3, 1, 'debian:11', 'curl', 'source', NULL, '{}');
        INSERT INTO patch.feed_imports (id, origin, requested_by, status, bytes_total, report, started_at, ended_at) VALUES
            ('00000000-0000-0000-0000-000000000001', 'o', 'r', 'succeeded', 1, '{\"format\": \"osv\"}', '2026-02-03Z', '2026-02-03Z'),
            ('00000000-0000-0000-0000-000000000002', 'o', 'r', 'failed', 1, '{\"format\": \"osv\"}', '2026-02-08Z', '2026-02-08Z'),
            ('00000000-0000-0000-0000-000000000003', 'o', 'r', 'succeeded', 1, '{\"format\": \"kev-json\"}', '2026-02-09Z', '2026-02-09Z');
        INSERT INTO patch.packages (digest, os, names, body) VALUES ('\\x01', 'rocky:9', '{curl}', '{\"name\": \"curl\", \"version\": \"1-1\"}');
        INSERT INTO patch.package_sets (digest, os, facts, package_nos)
            VALUES ('\\x01', 'rocky:9', '{\"os\": \"rocky:9\", \"channels\": [\"rhel-eus:9.2\"]}', '{1}');
        INSERT INTO patch.set_findings (set_no, findings) VALUES (1, '{}');
        INSERT INTO patch.hosts (ci_id, os, os_key, driver, env, tier, owner, cluster, tags) VALUES ('web-1', 'rocky9', 'rocky:9', 'ssh', '', '', '', '', '{}');
        INSERT INTO patch.host_scans (host_id, last_scanned, set_no) VALUES (1, '2026-02-03Z', 1);";
    sqlx::raw_sql(rows).execute(&pool).await.unwrap();
    service_kit::database::migrate(&pool, PatchManager::SCHEMA, PatchManager::migrator()).await.unwrap();
    let migrated: Value = sqlx::query_scalar(
        "SELECT jsonb_build_object(
            'coverage', (SELECT jsonb_agg(jsonb_build_array(release, feed, notices, newest::date, fetched_at::date) ORDER BY release) FROM patch.coverage),
            'set', (SELECT jsonb_build_array(releases, packages, unread) FROM patch.set_findings),
            'due', (SELECT array_agg(host_id) FROM patch.due_hosts))",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(
        migrated,
        json!({
            "coverage": [["debian:12", "y", 1, "2026-01-05", "2026-02-03"], ["rocky:9", "x", 2, "2026-02-02", "2026-02-03"]],
            "set": [["rocky:9", "rhel-eus:9.2"], 1, 0],
            "due": [1],
        })
    );
}
