use serde_json::{Value, json};

use crate::{
    fleet::{Age, import, inventory},
    platform::Platform,
};

#[tokio::test(flavor = "multi_thread")]
async fn advisories_are_listed_newest_first_by_filters_and_pages() {
    let platform = Platform::start().await;
    platform.import_seeds().await;
    platform.import_file("known-exploited.json").await;
    platform.add_fleet().await;
    platform.push(&inventory("web-1", "rocky9", &["openssl"], Age::Base)).await;
    let ids = async |query: &str| -> Vec<String> {
        let list = platform.operator.get(&format!("/patch/advisories?{query}")).await.expect(200);
        list["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("limit=2").await, ["DCOS-2026-0021", "DCOS-2026-0020"]);
    assert_eq!(ids("severity=critical").await, ["DCOS-2026-0011"]);
    assert_eq!(ids("kev=true").await, ["DCOS-2026-0011"]);
    assert_eq!(ids("package=sudo&os=debian12").await, ["DCOS-2026-0011"]);
    assert_eq!(ids("text=cve-2026-90011").await, ["DCOS-2026-0011"]);
    assert_eq!(ids("text=%25").await, Vec::<String>::new(), "a percent sign matches itself");
    assert_eq!(ids("affected=true").await, ["DCOS-2025-0001"]);
    assert_eq!(ids("severity=none&limit=1000").await.len(), 3, "bug fixes have no severity");

    let mut seen = Vec::new();
    let mut query = "limit=8".to_owned();
    loop {
        let list = platform.operator.get(&format!("/patch/advisories?{query}")).await.expect(200);
        seen.extend(
            list["items"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()),
        );
        let Some(token) = list["next_page_token"].as_str() else { break };
        query = format!("limit=8&page_token={token}");
    }
    assert_eq!(seen, ids("limit=1000").await);
    platform.operator.get("/patch/advisories?severity=urgent").await.expect_problem(422);
    platform.operator.get("/patch/advisories?limit=5000").await.expect_problem(422);
    platform.operator.get("/patch/advisories?page_token=AAAA").await.expect_problem(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_lists_its_advisories_and_affected_cis() {
    let platform = Platform::start().await;
    platform.import_seeds().await;
    platform.add_fleet().await;
    platform.push(&inventory("web-1", "rocky9", &["openssl", "openssl-libs"], Age::Base)).await;
    platform.push(&inventory("web-2", "rocky9", &["openssl", "openssl-libs"], Age::Newest)).await;
    let detail = platform.operator.get("/patch/advisories/CVE-2025-99001").await.expect(200);
    assert_eq!((&detail["id"], &detail["affected_total"]), (&json!("CVE-2025-99001"), &json!(1)));
    let advisory = &detail["advisories"][0];
    assert_eq!((&advisory["id"], &advisory["affected_cis"]), (&json!("DCOS-2025-0001"), &json!(1)));
    assert!(
        advisory["packages"]
            .as_array()
            .unwrap()
            .iter()
            .any(|p| p["os"] == "debian:12" && p["package"] == "openssl")
    );
    let affected: Vec<_> = detail["affected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| (a["ci_id"].clone(), a["package"].clone()))
        .collect();
    assert_eq!(affected, [(json!("web-1"), json!("openssl")), (json!("web-1"), json!("openssl-libs"))]);
    assert_eq!(detail["affected"][0]["installed"], "1:3.2.2-6.el9_5");
    assert_eq!(
        platform.operator.get("/patch/advisories/DCOS-2025-0001").await.expect(200)["affected_total"],
        1
    );
    platform.operator.get("/patch/advisories/CVE-1999-0001").await.expect_problem(404);
    platform.operator.get("/patch/advisories/..%2F..%2Fetc").await.expect_problem(404);
}

/// An OSV record for one package of Rocky Linux 9.
fn notice(id: &str, package: &str, modified: &str) -> Value {
    json!({ "schema_version": "1.7.0", "id": id, "published": "2026-01-10T00:00:00Z", "modified": modified,
        "upstream": ["CVE-2026-77001"], "summary": package, "details": "", "affected": [{
            "package": { "ecosystem": "Rocky Linux:9", "name": package },
            "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": "2-5.el9" }] }] }],
        "database_specific": { "kind": "security", "severity": "HIGH" } })
}

#[tokio::test(flavor = "multi_thread")]
async fn page_of_affected_cis_follows_inventories_and_feeds() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    let send = async |notice: Value| import(&platform.operator, notice.to_string().into_bytes()).await;
    send(notice("VENDOR-1", "curl", "2026-01-10T00:00:00Z")).await;
    send(notice("VENDOR-2", "zlib", "2026-01-10T00:00:00Z")).await;
    let push = async |ci: &str, packages: &[(&str, &str)]| {
        let packages: Vec<Value> =
            packages.iter().map(|(name, version)| json!({ "name": name, "version": version })).collect();
        platform.push(&json!({ "ci_id": ci, "os": "rocky9", "packages": packages })).await
    };
    push("web-1", &[("curl", "1-1.el9"), ("zlib", "1-1.el9")]).await;
    push("web-2", &[("zlib", "1-1.el9")]).await;

    let page = async |query: &str| {
        let page =
            platform.operator.get(&format!("/patch/advisories/CVE-2026-77001?{query}")).await.expect(200);
        let text = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
        let rows = page["affected"].as_array().unwrap().iter();
        let rows = rows.map(|one| (text(one, "ci_id"), text(one, "advisory_id"), text(one, "installed")));
        let next = page["next_page_token"].as_str().map(str::to_owned);
        (rows.collect::<Vec<_>>(), page["affected_total"].as_i64().unwrap(), next)
    };
    let row = |ci: &str, advisory: &str, installed: &str| (ci.into(), advisory.into(), installed.into());
    let (first, total, next) = page("limit=1").await;
    assert_eq!(first, [row("web-1", "VENDOR-1", "1-1.el9"), row("web-1", "VENDOR-2", "1-1.el9")]);
    assert_eq!(total, 2, "a CI that is missing two counts once");
    let (second, _, next) = page(&format!("limit=1&page_token={}", next.unwrap())).await;
    assert_eq!((second, next), (vec![row("web-2", "VENDOR-2", "1-1.el9")], None));

    // Newer, but still too old.
    push("web-2", &[("zlib", "2-4.el9")]).await;
    assert_eq!(page("limit=10").await.0.last(), Some(&row("web-2", "VENDOR-2", "2-4.el9")));
    platform.expect_exact_rollups().await;

    // Cached before, and changed now.
    let mut withdrawn = notice("VENDOR-2", "zlib", "2026-02-01T00:00:00Z");
    withdrawn["withdrawn"] = json!("2026-02-01T00:00:00Z");
    send(withdrawn).await;
    assert_eq!(page("limit=10").await, (vec![row("web-1", "VENDOR-1", "1-1.el9")], 1, None));
    let detail = platform.operator.get("/patch/advisories/VENDOR-2").await.expect(200);
    assert!(detail["advisories"][0]["withdrawn"].is_string());
    platform.expect_exact_rollups().await;
}
