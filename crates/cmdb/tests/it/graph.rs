use serde_json::{Value, json};

use crate::platform::Platform;

/// Two web hosts before two database hosts, and a cache nobody selects.
async fn shop() -> Platform {
    let platform = Platform::start().await;
    for id in ["web-1", "web-2"] {
        platform.ci(id, "host", json!({"env": "prod", "role": "web"})).await;
    }
    for id in ["db-1", "db-2"] {
        platform.ci(id, "vm", json!({"env": "prod", "role": "db"})).await;
    }
    platform.ci("cache-1", "host", json!({"env": "staging"})).await;
    let services = [
        json!({"id": "web", "type": "service", "attributes": {"min_up": "50%", "criticality": 4}}),
        json!({"id": "db", "type": "database", "attributes": {"min_up": 1, "criticality": 5}}),
        json!({"id": "cache", "type": "service"}),
    ];
    for service in services {
        platform.operator.post("/cmdb/cis", &service).await.expect(201);
    }
    for (host, relationship_type, service) in [
        ("web-1", "runs", "web"),
        ("web-2", "member_of", "web"),
        ("db-1", "runs", "db"),
        ("db-2", "runs", "db"),
        ("cache-1", "runs", "cache"),
    ] {
        platform.relate(host, relationship_type, service).await;
    }
    let edge =
        json!({"source": "web", "type": "depends_on", "target": "db", "compatibility": "incompatible"});
    platform.operator.post("/cmdb/relationships", &edge).await.expect(201);
    platform.relate("web", "depends_on", "cache").await;
    platform.relate("web-1", "depends_on", "db-1").await;
    platform
}

fn edges(graph: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let edges = graph["edges"].as_array().unwrap().iter();
    edges
        .map(|edge| {
            format!("{}>{} {}", text(&edge["source"]), text(&edge["target"]), text(&edge["compatibility"]))
        })
        .collect()
}

fn node<'a>(graph: &'a Value, id: &str) -> &'a Value {
    graph["nodes"].as_array().unwrap().iter().find(|node| node["id"] == id).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn graph_lifts_dependencies_of_services_to_their_hosts() {
    let platform = shop().await;
    let graph = platform.operator.get("/cmdb/graph?tag=env:prod").await.expect(200);
    assert_eq!(
        edges(&graph),
        [
            "web>cache compatible",
            "web>db incompatible",
            "web-1>db-1 incompatible",
            "web-1>db-2 incompatible",
            "web-2>db-1 incompatible",
            "web-2>db-2 incompatible",
        ]
    );
    assert_eq!(graph["nodes"].as_array().unwrap().len(), 7, "{graph}");
    assert_eq!(node(&graph, "web-2")["services"], json!(["web"]));
    assert_eq!(node(&graph, "web-2")["criticality"], 4);
    assert_eq!(node(&graph, "web")["attributes"]["min_up"], "50%");
    // A service that others need is there, its hosts are named, and they are no nodes unless selected.
    assert_eq!(node(&graph, "cache")["hosts"], json!(["cache-1"]));
    assert_eq!(node(&graph, "cache")["criticality"], 3);
    assert_eq!(node(&graph, "cache-1"), &Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn graph_of_some_hosts_knows_the_whole_group_of_their_services() {
    let platform = shop().await;
    let graph = platform.operator.get("/cmdb/graph?ids=web-1,db-2,none").await.expect(200);
    assert_eq!(node(&graph, "web")["hosts"], json!(["web-1", "web-2"]));
    assert_eq!(node(&graph, "web-2"), &Value::Null);
    assert!(edges(&graph).contains(&"web-1>db-2 incompatible".to_owned()));
    let posted = json!({"selector": {"ids": ["web-1", "db-2"]}});
    let same = platform.operator.post("/cmdb/graph", &posted).await.expect(200);
    assert_eq!(same, graph);

    platform.operator.delete("/cmdb/cis/web-2").await.expect(204);
    let graph = platform.operator.get("/cmdb/graph?all=true").await.expect(200);
    assert_eq!(node(&graph, "web")["hosts"], json!(["web-1"]));
    assert_eq!(node(&graph, "web-2"), &Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_must_be_said_to_be_meant() {
    let platform = Platform::start().await;
    platform.operator.get("/cmdb/graph").await.expect_problem(422);
    platform.operator.post("/cmdb/graph", &json!({})).await.expect_problem(422);
    let graph = platform.operator.get("/cmdb/graph?all=true").await.expect(200);
    assert_eq!(graph, json!({"nodes": [], "edges": []}));
    for query in ["tag=env", "tag=:x", "ids=-o", "tag=env:a&tag=env:b"] {
        platform.operator.get(&format!("/cmdb/graph?{query}")).await.expect_problem(422);
    }
}
