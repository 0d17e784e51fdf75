//! Lists of the fleet: hosts by compliance, packages by host, compliance by day, and spellings of releases.

use serde_json::{Value, json};

use crate::platform::{Platform, eventually};

/// An advisory for one package of one release.
fn advisory(id: &str, ecosystem: &str, package: &str, fixed: &str, severity: &str, cve: &str) -> Value {
    json!({ "schema_version": "1.7.0", "id": id, "modified": "2026-02-10T00:00:00Z", "published": "2026-02-10T00:00:00Z",
        "upstream": [cve], "summary": package, "details": "",
        "affected": [{ "package": { "ecosystem": ecosystem, "name": package },
            "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": fixed }] }] }],
        "database_specific": { "kind": "security", "severity": severity } })
}

async fn import(platform: &Platform, records: &[Value]) {
    let lines = records.iter().map(|record| format!("{record}\n")).collect::<String>().into_bytes();
    let report = crate::fleet::import(&platform.operator, lines).await;
    assert_eq!(report["refused"], json!([]), "{report}");
}

async fn push(platform: &Platform, ci: &str, os: &str, packages: &[(&str, &str)]) {
    let packages: Vec<Value> =
        packages.iter().map(|(name, version)| json!({ "name": name, "version": version })).collect();
    platform.push(&json!({ "ci_id": ci, "os": os, "packages": packages })).await;
}

/// Six hosts, with different things pending: `ant` and `bee` critical, `cat` high, `dog` low, `elk` nothing, `fox` not scanned.
async fn menagerie() -> Platform {
    let platform = Platform::start().await;
    for (id, env, os) in [
        ("ant", "prod", "rocky9"),
        ("bee", "prod", "Rocky Linux 9.4 (Blue Onyx)"),
        ("cat", "prod", "rocky:9"),
        ("dog", "dev", "debian-12"),
        ("elk", "dev", "bookworm"),
        ("fox", "dev", "cpe:/o:rocky:rocky:9"),
    ] {
        platform.add_host(id, json!({ "env": env, "os": os })).await;
    }
    import(
        &platform,
        &[
            advisory("L-1", "Rocky Linux:9", "lamp", "1:2.0-9.el9", "CRITICAL", "CVE-2026-70001"),
            advisory("L-2", "Rocky Linux:9", "lamp", "1:2.0-10.el9", "MEDIUM", "CVE-2026-70002"),
            advisory("L-3", "Rocky Linux:9", "wick", "3.1-2.el9", "HIGH", "CVE-2026-70003"),
            advisory("L-4", "Debian:12", "lamp", "2.0-3+deb12u1", "LOW", "CVE-2026-70004"),
        ],
    )
    .await;
    push(&platform, "ant", "rocky:9", &[("lamp", "1:2.0-8.el9"), ("wick", "3.1-1.el9")]).await;
    push(&platform, "bee", "rocky:9", &[("lamp", "1:2.0-8.el9"), ("wick", "3.1-2.el9")]).await;
    push(&platform, "cat", "rocky:9", &[("lamp", "1:2.0-10.el9"), ("wick", "3.1-1.el9")]).await;
    push(&platform, "dog", "debian:12", &[("lamp", "2.0-3")]).await;
    push(&platform, "elk", "debian:12", &[("lamp", "2.0-3+deb12u2")]).await;
    platform
}

async fn hosts(platform: &Platform, query: &str) -> Vec<String> {
    let page = platform.operator.get(&format!("/patch/compliance/hosts?{query}")).await.expect(200);
    ids(&page)
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|item| item["ci_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_listed_with_what_is_pending() {
    let platform = menagerie().await;
    let page = platform.operator.get("/patch/compliance/hosts").await.expect(200);
    assert_eq!(ids(&page), ["ant", "bee", "cat", "dog", "elk", "fox"]);
    let bee = &page["items"][1];
    assert_eq!(
        *bee,
        json!({ "ci_id": "bee", "compliance_status": "non_compliant", "unknown_cause": null, "reason": "2 fixes are pending", "env": "prod", "os": "rocky:9",
            "current_patch_level": bee["current_patch_level"], "pending": 2, "worst_severity": "critical", "exploited": 0,
            "next_due": "2026-02-17T00:00:00Z", "last_scanned": "2026-04-01T12:00:00Z" })
    );
    let fox = &page["items"][5];
    assert_eq!(
        (&fox["compliance_status"], &fox["reason"], &fox["worst_severity"]),
        (&json!("unknown"), &json!("never scanned"), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_filtered_and_sorted() {
    let platform = menagerie().await;
    for (query, expected) in [
        ("status=non_compliant", &["ant", "bee", "cat", "dog"][..]),
        ("status=unknown,compliant", &["elk", "fox"]),
        ("env=dev", &["dog", "elk", "fox"]),
        ("env=dev&status=non_compliant", &["dog"]),
        ("env=nowhere", &[]),
        ("os=Rocky%20Linux%209", &["ant", "bee", "cat", "fox"]),
        ("os=debian12&status=compliant", &["elk"]),
        ("os=windows", &[]),
        ("severity=critical", &["ant", "bee"]),
        ("severity=high,low", &["cat", "dog"]),
        ("kev=true", &[]),
        ("kev=false", &["ant", "bee", "cat", "dog", "elk", "fox"]),
        ("sort=severity", &["ant", "bee", "cat", "dog", "elk", "fox"]),
        ("sort=pending&limit=2", &["ant", "bee"]),
        ("sort=due&status=non_compliant", &["ant", "bee", "cat", "dog"]),
    ] {
        assert_eq!(hosts(&platform, query).await, expected, "{query}");
    }
    for (query, pointer) in [("status=fine", "status"), ("severity=high,bad", "severity")] {
        let problem =
            platform.operator.get(&format!("/patch/compliance/hosts?{query}")).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    platform.operator.get("/patch/compliance/hosts?sort=luck").await.expect_problem(400);
}

/// Whatever the order and the size of the pages, each host is listed once.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_hosts_are_continued_in_every_order() {
    let platform = menagerie().await;
    for sort in ["name", "severity", "due", "pending"] {
        for filter in ["", "&status=non_compliant,unknown"] {
            let whole = hosts(&platform, &format!("sort={sort}{filter}")).await;
            for limit in 1..=4 {
                let (mut seen, mut token) = (Vec::new(), String::new());
                loop {
                    let path = format!("/patch/compliance/hosts?sort={sort}{filter}&limit={limit}{token}");
                    let page = platform.operator.get(&path).await.expect(200);
                    seen.extend(ids(&page));
                    let Some(next) = page["next_page_token"].as_str() else { break };
                    token = format!("&page_token={next}");
                }
                assert_eq!(seen, whole, "{sort}{filter}, {limit} at a time");
            }
        }
    }
    let page = platform.operator.get("/patch/compliance/hosts?sort=due&limit=1").await.expect(200);
    let token = page["next_page_token"].as_str().unwrap();
    let other_order = format!("/patch/compliance/hosts?sort=name&page_token={token}");
    platform.operator.get(&other_order).await.expect_problem(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn list_follows_scans_exploitation_tags_and_removal() {
    let platform = menagerie().await;
    push(&platform, "ant", "rocky:9", &[("lamp", "1:2.0-10.el9"), ("wick", "3.1-2.el9")]).await;
    assert_eq!(hosts(&platform, "severity=critical").await, ["bee"]);

    let catalogue = json!({ "title": "t", "catalogVersion": "2026.03.01", "dateReleased": "2026-03-01T00:00:00Z", "count": 1,
        "vulnerabilities": [{ "cveID": "CVE-2026-70003", "vendorProject": "v", "product": "p", "vulnerabilityName": "n",
            "dateAdded": "2026-03-01", "shortDescription": "s", "requiredAction": "a", "dueDate": "2026-03-22",
            "knownRansomwareCampaignUse": "Unknown", "notes": "" }] });
    crate::fleet::import(&platform.operator, catalogue.to_string().into_bytes()).await;
    eventually("the exploited host is listed", async || hosts(&platform, "kev=true").await == ["cat"]).await;
    assert_eq!(hosts(&platform, "sort=severity&limit=2").await, ["cat", "bee"], "exploited ones are first");

    platform.librarian.delete("/cmdb/cis/bee").await.expect(204);
    let moved = json!({ "tags": { "env": "qa", "os": "rocky9" } });
    platform.librarian.patch("/cmdb/cis/cat", &moved).await.expect(200);
    platform.add_policy("follow", json!({ "env": "qa" }), None).await;
    eventually("the moved host is listed", async || hosts(&platform, "env=qa").await == ["cat"]).await;
    assert_eq!(hosts(&platform, "env=prod").await, ["ant"]);
    assert_eq!(hosts(&platform, "").await, ["ant", "cat", "dog", "elk", "fox"]);
}

/// The list is complete after a start, even if an earlier version did not write it.
#[tokio::test(flavor = "multi_thread")]
async fn list_is_completed_at_the_start() {
    let platform = menagerie().await;
    sqlx::query("DELETE FROM patch.host_list").execute(&platform.patch.pool).await.unwrap();
    let platform = platform.restart(Some("/bin/false".into())).await;
    eventually("the list is complete", async || {
        hosts(&platform, "status=compliant,non_compliant,unknown").await
            == ["ant", "bee", "cat", "dog", "elk", "fox"]
    })
    .await;
    assert_eq!(hosts(&platform, "severity=low").await, ["dog"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_fixes_of_a_host_are_listed_by_package() {
    let platform = menagerie().await;
    let page = platform.operator.get("/patch/compliance/ant/packages").await.expect(200);
    assert_eq!(
        page["items"],
        json!([
            { "package": "lamp", "installed": "1:2.0-8.el9", "newest_fix": "1:2.0-10.el9", "installable": null, "advisories": 2,
              "cves": 2, "excepted": 0, "severity": "critical", "exploited": false, "due": "2026-02-17T00:00:00Z", "state": "missing" },
            { "package": "wick", "installed": "3.1-1.el9", "newest_fix": "3.1-2.el9", "installable": null, "advisories": 1, "cves": 1,
              "excepted": 0, "severity": "high", "exploited": false, "due": "2026-03-12T00:00:00Z", "state": "missing" }
        ])
    );
    let first = platform.operator.get("/patch/compliance/ant/packages?limit=1").await.expect(200);
    let token = first["next_page_token"].as_str().unwrap();
    let next = platform.operator.get(&format!("/patch/compliance/ant/packages?page_token={token}")).await;
    assert_eq!(next.expect(200)["items"][0]["package"], "wick");
    platform.operator.get("/patch/compliance/nobody/packages").await.expect_problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn package_is_found_across_the_fleet_in_the_order_of_its_package_system() {
    let platform = menagerie().await;
    let find = async |query: &str| {
        let page = platform.operator.get(&format!("/patch/packages/{query}")).await.expect(200);
        let mut found = ids(&page);
        found.sort();
        found
    };
    assert_eq!(find("lamp").await, ["ant", "bee", "cat", "dog", "elk"]);
    assert_eq!(find("wick?below=3.1-2.el9").await, ["ant", "cat"]);
    assert_eq!(find("lamp?below=2.0-9.el9&os=rocky9").await, ["ant", "bee"], "10 is not lower than 9");
    assert_eq!(find("lamp?below=1:2.0-9.el9&os=rocky9").await, ["ant", "bee"]);
    assert_eq!(find("lamp?below=0:9.9&os=rocky9").await, Vec::<String>::new(), "its epoch is lower");
    assert_eq!(find("lamp?below=2.0-3%2Bdeb12u1&os=Debian%2012").await, ["dog"]);
    assert_eq!(find("lantern").await, Vec::<String>::new());
    platform.operator.get("/patch/packages/lamp?below=a%20b").await.expect_problem(422);

    let page = platform.operator.get("/patch/packages/lamp?os=debian:12&limit=1").await.expect(200);
    assert_eq!(
        page["items"][0],
        json!({ "ci_id": "dog", "env": "dev", "os": "debian:12", "package": "lamp", "versions": ["2.0-3"], "candidate": null,
            "last_scanned": "2026-04-01T12:00:00Z" })
    );
    let token = page["next_page_token"].as_str().unwrap();
    let path = format!("/patch/packages/lamp?os=debian:12&page_token={token}");
    assert_eq!(ids(&platform.operator.get(&path).await.expect(200)), ["elk"]);
}

/// Hosts that share a package set, and sets in many blocks of the index.
#[tokio::test(flavor = "multi_thread")]
async fn package_search_pages_through_shared_sets_and_blocks() {
    let platform = Platform::start().await;
    for number in 0..6 {
        platform.add_host(&format!("twin-{number}"), json!({ "os": "rocky9" })).await;
    }
    for number in 0..6 {
        let version = if number < 4 { "1-1" } else { "1-2" };
        push(&platform, &format!("twin-{number}"), "rocky:9", &[("lamp", version)]).await;
        // Numbers of sets leave gaps.
        sqlx::query("SELECT setval(pg_get_serial_sequence('patch.package_sets', 'no'), nextval(pg_get_serial_sequence('patch.package_sets', 'no')) + 40000)")
            .execute(&platform.patch.pool)
            .await
            .unwrap();
    }
    for limit in [1, 2, 3, 4, 5] {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let path = format!("/patch/packages/lamp?below=2&limit={limit}{token}");
            let page = platform.operator.get(&path).await.expect(200);
            seen.extend(ids(&page));
            let Some(next) = page["next_page_token"].as_str() else { break };
            token = format!("&page_token={next}");
        }
        seen.sort();
        let all: Vec<String> = (0..6).map(|number| format!("twin-{number}")).collect();
        assert_eq!(seen, all, "{limit} at a time");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn compliance_of_each_day_is_recorded_and_kept_for_thirteen_months() {
    let platform = menagerie().await;
    // The restart records the day at once. Earlier days are as they were recorded, the oldest is too old.
    let old = "INSERT INTO patch.compliance_history (day, dimension, value, compliant, non_compliant, unknown)
        VALUES ('2026-03-31', 'total', '', 5, 1, 0), ('2025-03-02', 'total', '', 1, 1, 1), ('2025-02-27', 'total', '', 1, 1, 1),
            ('2026-03-31', 'env', 'prod', 2, 1, 0)";
    sqlx::raw_sql(old).execute(&platform.patch.pool).await.unwrap();
    let platform = platform.restart(Some("/bin/false".into())).await;
    let list = async |query: &str| {
        let page = platform.operator.get(&format!("/patch/compliance/history?{query}")).await.expect(200);
        page["items"].as_array().unwrap().clone()
    };
    eventually("the day is recorded", async || list("days=2").await.len() == 2).await;
    assert_eq!(
        list("").await,
        [
            json!({ "day": "2026-04-01", "dimension": "total", "value": "", "compliant": 1, "non_compliant": 4, "unknown": 1, "percent": 16.6 }),
            json!({ "day": "2026-03-31", "dimension": "total", "value": "", "compliant": 5, "non_compliant": 1, "unknown": 0, "percent": 83.3 }),
        ]
    );
    assert_eq!(list("days=400").await.len(), 3, "13 months are kept");
    assert_eq!(list("dimension=env&value=prod&days=1").await[0]["non_compliant"], 3);
    let releases = list("dimension=os&days=1").await;
    let releases: Vec<&str> = releases.iter().map(|day| day["value"].as_str().unwrap()).collect();
    assert_eq!(releases, ["debian:12", "rocky:9"], "spellings of one release are one row");

    let first = platform.operator.get("/patch/compliance/history?limit=1").await.expect(200);
    let token = first["next_page_token"].as_str().unwrap();
    assert_eq!(list(&format!("page_token={token}")).await[0]["day"], "2026-03-31");
    for query in ["days=0", "days=401", "dimension=colour"] {
        platform.operator.get(&format!("/patch/compliance/history?{query}")).await.expect_problem(422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spellings_of_a_release_are_one_release_everywhere() {
    let platform = menagerie().await;
    let summary = platform.operator.get("/patch/compliance").await.expect(200);
    let releases: Vec<&String> = summary["by_os"].as_object().unwrap().keys().collect();
    assert_eq!(releases, ["debian:12", "rocky:9"]);
    assert_eq!(summary["by_os"]["rocky:9"]["non_compliant"], 3);
    let timeliness = platform.operator.get("/patch/compliance/timeliness").await.expect(200);
    assert_eq!(timeliness["by_os"]["rocky:9"]["hosts"], 4);

    let export = "/patch/compliance/export?format=json&os=ROCKY_LINUX-9";
    let rows = platform.operator.get(export).await.expect(200);
    assert_eq!(rows.as_array().unwrap().len(), 4);

    // By its type, and by a target tag in another spelling than the hosts have.
    let by_type = json!({ "id": "by-type", "name": "n", "target_ci_tags": { "env": "prod" }, "os_type": "Rocky Linux 9" });
    platform.operator.post("/patch/policies", &by_type).await.expect(201);
    platform.add_policy("by-tag", json!({ "os": "rocky-9" }), None).await;
    for (policy, hosts) in
        [("by-type", json!(["ant", "bee", "cat"])), ("by-tag", json!(["ant", "bee", "cat", "fox"]))]
    {
        let preview = platform.operator.get(&format!("/patch/policies/{policy}/preview")).await.expect(200);
        assert_eq!(preview["targets"], hosts, "{policy}");
    }
    let results = platform.compliance_of("bee").await["policies"].clone();
    assert_eq!(results.as_array().unwrap().len(), 2, "{results}");

    let wrong =
        json!({ "id": "wrong", "name": "n", "target_ci_tags": { "env": "prod" }, "os_type": "rokcy9" });
    let problem = platform.operator.post("/patch/policies", &wrong).await.expect_problem(422);
    let detail = problem["errors"][0]["detail"].as_str().unwrap();
    assert!(detail.contains("`rocky:9`"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pushed_packages_are_of_the_release_of_the_ci_unless_stated() {
    let platform = menagerie().await;
    platform.add_host("gnu", json!({ "os": "plan9" })).await;
    let push = async |ci: &str| {
        let path = format!("/patch/inventory?ci_id={ci}");
        let headers = [("content-type", "text/tab-separated-values")];
        let lines = b"lamp\t1:2.0-8.el9\tx86_64\twick-3.1-1.el9.src.rpm\n".to_vec();
        platform.operator.send(reqwest::Method::POST, &path, &headers, Some(lines)).await
    };
    assert_eq!(push("fox").await.expect(200)["changed"], 1);
    assert_eq!(hosts(&platform, "severity=critical").await, ["ant", "bee", "fox"]);
    let problem = push("gnu").await.expect_problem(422);
    let error = &problem["errors"][0];
    assert_eq!(error["pointer"], "os");
    assert!(
        error["detail"].as_str().unwrap().contains("`plan9` is not a known operating system release"),
        "{error}"
    );
    assert_eq!(push("nobody").await.expect_problem(422)["errors"][0]["pointer"], "ci_id");
    assert_eq!(hosts(&platform, "os=plan9").await, ["gnu"], "an unknown release is kept as it is");
}
