use serde_json::json;

use crate::{
    fleet::{Age, inventory},
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
    assert_eq!(ids("text=%25").await, Vec::<String>::new(), "a percent sign is a percent sign");
    assert_eq!(ids("affected=true").await, ["DCOS-2025-0001"]);
    assert_eq!(ids("severity=none&limit=1000").await.len(), 3, "bug fixes carry no severity");

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
async fn a_cve_names_its_advisories_and_those_it_affects() {
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
