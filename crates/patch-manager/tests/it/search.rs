//! One search over hosts, CVEs, packages, runs, changes and customers. This platform runs without ITSM.

use serde_json::{Value, json};

use crate::{
    fleet::{Age, inventory},
    platform::{Platform, eventually},
};

async fn search(platform: &Platform, query: &str) -> Value {
    platform.operator.get(&format!("/patch/search?{query}")).await.expect(200)
}

fn group<'a>(found: &'a Value, kind: &str) -> &'a Value {
    found["groups"].as_array().unwrap().iter().find(|group| group["kind"] == kind).unwrap()
}

fn ids<'a>(found: &'a Value, kind: &str) -> Vec<&'a str> {
    group(found, kind)["items"].as_array().unwrap().iter().map(|hit| hit["id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_found_by_a_few_characters() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    platform.import_seeds().await;
    platform.push(&inventory("web-1", "rocky9", &["openssl", "openssh", "kernel"], Age::Base)).await;
    platform.push(&inventory("web-2", "rocky9", &["openssl"], Age::Newest)).await;
    platform.add_policy("policy-web", json!({ "tier": "web" }), None).await;

    let found = search(&platform, "text=%20WEB-%20&limit=1").await;
    assert_eq!(found["text"], "WEB-");
    let kinds: Vec<&str> =
        found["groups"].as_array().unwrap().iter().map(|group| group["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["host", "cve", "package", "run", "change", "customer"]);
    let hosts = group(&found, "host");
    assert_eq!((ids(&found, "host"), &hosts["has_more"]), (vec!["web-1"], &json!(true)));
    assert_eq!(hosts["items"][0]["detail"], "rocky9, prod");
    assert_eq!(ids(&search(&platform, "text=web-2").await, "host"), ["web-2"]);
    assert_eq!(ids(&search(&platform, "text=eb-1").await, "host"), [""; 0], "not in the middle");

    // A package with one name is one hit, whatever its versions; others do not come in between.
    let found = search(&platform, "text=openss&kinds=package").await;
    assert_eq!(ids(&found, "package"), ["openssh", "openssl"]);
    assert_eq!(found["groups"].as_array().unwrap().len(), 1);
    assert_eq!(ids(&search(&platform, "text=opensslx").await, "package"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cve_is_found_by_its_id_its_beginning_and_its_summary() {
    let platform = Platform::start().await;
    platform.import_seeds().await;
    let advisories = platform.operator.get("/patch/advisories?limit=1000").await.expect(200);
    let advisories = advisories["items"].as_array().unwrap();
    let with_cve = advisories.iter().find(|one| !one["cve_ids"].as_array().unwrap().is_empty()).unwrap();
    let cve = with_cve["cve_ids"][0].as_str().unwrap();
    let exact = search(&platform, &format!("text={}&kinds=cve", cve.to_lowercase())).await;
    assert_eq!(ids(&exact, "cve"), [cve], "several advisories fix it, and it is one hit");
    let beginning = search(&platform, &format!("text={}&kinds=cve&limit=50", &cve[..8])).await;
    assert!(ids(&beginning, "cve").contains(&cve), "{beginning}");
    let hit = &group(&exact, "cve")["items"][0];
    assert!(hit["state"].is_string(), "{hit}");
    // The service is answered by its own page.
    platform.operator.get(&format!("/patch/advisories/{cve}")).await.expect(200);
    let summary = with_cve["summary"].as_str().unwrap();
    let word = summary.split(|c: char| !c.is_alphanumeric()).find(|word| word.len() > 3).unwrap();
    let by_word = search(&platform, &format!("text={word}&kinds=cve&limit=50")).await;
    assert!(!ids(&by_word, "cve").is_empty(), "{word}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kind_that_cannot_be_searched_says_why_and_the_others_are_answered() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    platform.push(&inventory("web-1", "rocky9", &["openssl"], Age::Base)).await;
    let found = search(&platform, "text=web-1").await;
    let changes = group(&found, "change");
    assert!(changes["unavailable"].as_str().unwrap().contains("itsm"), "{changes}");
    assert_eq!(changes["items"], json!([]));
    assert_eq!(ids(&found, "host"), ["web-1"]);
    assert_eq!(group(&found, "host").get("unavailable"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_search_names_the_parameter() {
    let platform = Platform::start().await;
    for (query, pointer) in [
        ("text=a", "text"),
        ("text=%20a%20", "text"),
        ("text=web&limit=0", "limit"),
        ("text=web&limit=51", "limit"),
        ("text=web&kinds=host,cluster", "kinds"),
    ] {
        let problem = platform.operator.get(&format!("/patch/search?{query}")).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    platform.operator.get("/patch/search").await.expect_problem(400);
    let long = "x".repeat(201);
    platform.operator.get(&format!("/patch/search?text={long}")).await.expect_problem(422);
    // What looks like a pattern is text.
    let found = search(&platform, "text=%25%25_").await;
    assert!(["host", "cve", "package", "run"].iter().all(|kind| ids(&found, kind).is_empty()), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_of_a_policy_are_listed_with_their_differences() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    platform.add_policy("p", json!({ "env": "dev" }), None).await;
    operator.delete("/patch/policies/p").await.expect(204);
    platform.add_policy("p", json!({ "env": "prod" }), None).await;
    let secret = json!({ "max_parallel": "20%", "notify": ["https://hooks.example.org/T0/secret"] });
    operator.patch("/patch/policies/p", &secret).await.expect(200);
    operator.patch("/patch/policies/p", &json!({ "notify": [] })).await.expect(200);

    let page = operator.get("/patch/policies/p/versions").await.expect(200);
    let shown: Vec<Value> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| json!([one["version"], one["act"], one["by"], one["changes"].as_array().unwrap().len()]))
        .collect();
    let expected = [
        json!([3, "changed", "olivia", 1]),
        json!([2, "changed", "olivia", 2]),
        json!([1, "created", "olivia", 0]),
    ];
    assert_eq!(shown, expected, "the deleted policy is another one: {page:#}");
    let second = &page["items"][1]["changes"];
    assert_eq!(second[0]["field"], "/max_parallel");
    assert_eq!(second[0]["after"], "20%");
    assert!(page["items"][1]["at"].is_string());

    // Page by page the same, and numbered alike.
    let first = operator.get("/patch/policies/p/versions?limit=2").await.expect(200);
    let token = first["next_page_token"].as_str().unwrap();
    let rest =
        operator.get(&format!("/patch/policies/p/versions?limit=2&page_token={token}")).await.expect(200);
    assert_eq!((&rest["items"][0], rest.get("next_page_token")), (&page["items"][2], None));

    let viewer = platform.patch.viewer().await;
    let read = viewer.get("/patch/policies/p/versions").await;
    assert!(read.status == 200 && !read.text.contains("T0/secret"), "{}", read.text);
    operator.get("/patch/policies/none/versions").await.expect_problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn exposure_of_a_cve_is_recorded_day_by_day() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    platform.import_seeds().await;
    for host in ["web-1", "web-2"] {
        platform.push(&inventory(host, "rocky9", &["openssl"], Age::Base)).await;
    }
    let missing = platform.operator.get("/patch/advisories?affected=true").await.expect(200);
    let id = missing["items"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/patch/advisories/{id}/history?days=4");
    let days = async |platform: &Platform| {
        let read = platform.operator.get(&path).await.expect(200);
        let days = read["days"].as_array().unwrap();
        days.iter()
            .map(|day| (day["day"].as_str().unwrap().to_owned(), day["hosts"].as_i64().unwrap()))
            .collect::<Vec<_>>()
    };
    let day = |day: u8, hosts: i64| (format!("2026-04-0{day}"), hosts);
    // A restart records the day at once.
    let restart = async |platform: Platform| platform.restart(Some("/bin/false".into())).await;
    let platform = restart(platform).await;
    eventually("the first day is recorded", async || days(&platform).await == [day(1, 2)]).await;
    platform.advance(24);
    assert_eq!(days(&platform).await, [day(1, 2), day(2, 2)], "nothing has changed since");
    platform.advance(24);
    platform.push(&inventory("web-1", "rocky9", &["openssl"], Age::Newest)).await;
    let platform = restart(platform).await;
    eventually("the third day is recorded", async || {
        days(&platform).await == [day(1, 2), day(2, 2), day(3, 1)]
    })
    .await;
    // Again on the same day.
    platform.push(&inventory("web-2", "rocky9", &["openssl"], Age::Newest)).await;
    let platform = restart(platform).await;
    eventually("the third day is recorded again", async || {
        days(&platform).await == [day(1, 2), day(2, 2), day(3, 0)]
    })
    .await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM patch.advisory_history h JOIN patch.advisories a ON a.no = h.advisory_no WHERE a.id = $1")
        .bind(&id)
        .fetch_one(&platform.patch.pool)
        .await
        .unwrap();
    assert_eq!(rows, 2, "a day without a change has no row");
    platform.operator.get("/patch/advisories/CVE-1999-0001/history").await.expect_problem(404);
    platform.operator.get(&format!("/patch/advisories/{id}/history?days=401")).await.expect_problem(422);
}
