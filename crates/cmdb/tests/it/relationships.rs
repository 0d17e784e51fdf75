use serde_json::{Value, json};

use crate::platform::{Platform, column};

#[tokio::test(flavor = "multi_thread")]
async fn relationships_join_two_active_cis_once() {
    let platform = Platform::start().await;
    for id in ["a", "b", "gone"] {
        platform.ci(id, "host", json!({})).await;
    }
    platform.operator.delete("/cmdb/cis/gone").await.expect(204);
    let created = platform.relate("a", "depends_on", "b").await;
    assert_eq!(created["compatibility"], "compatible");
    // The other way round is another relationship: dependencies may form circles.
    platform.relate("b", "depends_on", "a").await;
    for (body, status) in [
        (json!({"source": "a", "type": "depends_on", "target": "b"}), 409),
        (json!({"source": "a", "type": "uses", "target": "a"}), 422),
        (json!({"source": "a", "type": "uses", "target": "none"}), 422),
        (json!({"source": "gone", "type": "uses", "target": "a"}), 422),
        (json!({"source": "a", "type": "uses", "target": "b", "compatibility": "degraded"}), 422),
        (json!({"source": "a", "type": "likes", "target": "b"}), 422),
    ] {
        platform.operator.post("/cmdb/relationships", &body).await.expect_problem(status);
    }
    let listed = platform.operator.get("/cmdb/cis/b/relationships").await.expect(200);
    assert_eq!(column(&listed, "source"), ["a", "b"]);
    let page = platform.operator.get("/cmdb/cis/b/relationships?limit=1").await.expect(200);
    assert!(page["next_page_token"].is_string());

    let id = created["id"].as_str().unwrap();
    platform.operator.delete(&format!("/cmdb/relationships/{id}")).await.expect(204);
    platform.operator.delete(&format!("/cmdb/relationships/{id}")).await.expect_problem(404);
    let by_ends = "/cmdb/relationships?source=b&target=a&type=depends_on";
    platform.operator.delete(by_ends).await.expect(204);
    platform.operator.delete(by_ends).await.expect_problem(404);
    let history = platform.operator.get("/cmdb/cis/a/history").await.expect(200);
    let kinds = [
        "delete_relationship",
        "delete_relationship",
        "create_relationship",
        "create_relationship",
        "create_ci",
    ];
    assert_eq!(column(&history, "action"), kinds);
}

#[tokio::test(flavor = "multi_thread")]
async fn containment_stays_a_tree() {
    let platform = Platform::start().await;
    for (id, ci_type) in [("dc", "datacenter"), ("c1", "cluster"), ("c2", "cluster"), ("h", "host")] {
        platform.ci(id, ci_type, json!({})).await;
    }
    platform.relate("dc", "contains", "c1").await;
    platform.relate("c1", "contains", "h").await;
    for (source, target) in [("c2", "h"), ("h", "dc"), ("c1", "dc"), ("dc", "c1")] {
        let body = json!({"source": source, "type": "contains", "target": target});
        platform.operator.post("/cmdb/relationships", &body).await.expect_problem(409);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn impact_reaches_both_ways_and_no_further_than_asked() {
    let platform = Platform::start().await;
    for (id, ci_type) in [
        ("dc", "datacenter"),
        ("h1", "host"),
        ("h2", "host"),
        ("db", "database"),
        ("api", "service"),
        ("shop", "application"),
        ("old", "service"),
    ] {
        platform.ci(id, ci_type, json!({})).await;
    }
    platform.relate("dc", "contains", "h1").await;
    platform.relate("h1", "runs", "db").await;
    platform.relate("h2", "runs", "api").await;
    platform.relate("api", "depends_on", "db").await;
    platform.relate("api", "member_of", "shop").await;
    platform.relate("old", "uses", "db").await;
    // A circle must not hold the walk.
    platform.relate("db", "connected_to", "api").await;
    platform.operator.delete("/cmdb/cis/old").await.expect(204);

    let found = |impact: &Value, direction: &str| -> Vec<(String, u64)> {
        let reached = impact[direction].as_array().unwrap().iter();
        reached.map(|ci| (ci["ci_id"].as_str().unwrap().to_owned(), ci["depth"].as_u64().unwrap())).collect()
    };
    let named = |pairs: &[(&str, u64)]| -> Vec<(String, u64)> {
        pairs.iter().map(|(id, depth)| ((*id).to_owned(), *depth)).collect()
    };
    let impact = platform.operator.get("/cmdb/cis/h1/impact").await.expect(200);
    assert_eq!(found(&impact, "upstream"), named(&[("db", 1), ("api", 2), ("shop", 3)]));
    assert_eq!(found(&impact, "downstream"), named(&[("dc", 1)]));
    assert_eq!(impact["truncated"], false);
    let impact = platform.operator.get("/cmdb/cis/shop/impact?depth=2").await.expect(200);
    assert_eq!(found(&impact, "downstream"), named(&[("api", 1), ("db", 2), ("h2", 2)]));
    assert_eq!(impact["downstream"][0]["via"], "member_of");
    for depth in ["0", "21"] {
        platform.operator.get(&format!("/cmdb/cis/shop/impact?depth={depth}")).await.expect_problem(422);
    }
    platform.operator.get("/cmdb/cis/none/impact").await.expect_problem(404);
}
