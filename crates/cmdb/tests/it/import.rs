use reqwest::Method;
use serde_json::{Value, json};
use test_support::{Answer, Http, shared_data};

use crate::platform::{Platform, column};

async fn import(http: &Http, query: &str, content: impl Into<Vec<u8>>) -> Answer {
    let headers = [("content-type", "application/octet-stream")];
    http.send(Method::POST, &format!("/cmdb/import{query}"), &headers, Some(content.into())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn import_creates_and_updates_and_can_be_repeated() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    platform.ci("web-01", "host", json!({"env": "dev", "owner": "ops"})).await;
    let list = "id,env,os,cores\nweb-01,prod,rocky9,8\nweb-02,prod,rocky9,4\n";
    let dry = import(operator, "?dry_run=true", list).await.expect(200);
    assert_eq!(dry["dry_run"], true);
    assert_eq!(column(&operator.get("/cmdb/cis").await.expect(200), "id"), ["web-01"]);

    let report = import(operator, "", list).await.expect(200);
    let counts =
        json!([report["format"], report["read"], report["created"], report["updated"], report["unchanged"]]);
    assert_eq!(counts, json!(["csv", 2, 1, 1, 0]));
    let ci = operator.get("/cmdb/cis/web-01").await.expect(200);
    assert_eq!(ci["tags"], json!({"env": "prod", "os": "rocky9", "owner": "ops"}));
    assert_eq!(ci["attributes"], json!({"cores": "8"}));
    let history = operator.get("/cmdb/cis/web-01/history").await.expect(200);
    assert_eq!(history["items"][0]["why"], "imported");
    assert_eq!(history["items"][0]["before"]["tags"]["env"], "dev");

    let again = import(operator, "", list).await.expect(200);
    assert_eq!(json!([again["created"], again["updated"], again["unchanged"]]), json!([0, 0, 2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_records_are_named_and_stop_nothing_unless_strict() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    platform.ci("gone", "host", json!({})).await;
    operator.delete("/cmdb/cis/gone").await.expect(204);
    let list = json!([
        {"id": "good", "type": "host"},
        {"id": "a b", "type": "host"},
        {"id": "good", "type": "host"},
        {"id": "gone", "type": "host"},
        {"id": "x", "type": "host", "attributes": {"ansible_connection": "local"}},
        {"id": "y", "type": "host", "role": "admin"},
        {"id": "z", "type": "host", "attributes": {"a": "\u{0}"}},
    ]);
    let problem = import(operator, "?strict=true", list.to_string()).await.expect_problem(422);
    let pointers: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!(
        json!(pointers),
        json!(["record 2", "record 3", "record 4", "record 5", "record 6", "record 7"])
    );
    operator.get("/cmdb/cis/good").await.expect_problem(404);
    let dry = import(operator, "?dry_run=true", list.to_string()).await.expect(200);
    assert_eq!((&dry["created"], &dry["refused_count"]), (&json!(1), &json!(6)));
    operator.get("/cmdb/cis/good").await.expect_problem(404);

    let report = import(operator, "", list.to_string()).await.expect(200);
    assert_eq!((&report["created"], &report["refused_count"]), (&json!(1), &json!(6)), "{report}");
    assert_eq!(report["refused"][0]["name"], "a b");
    assert!(report["refused"][0]["remedy"].as_str().unwrap().contains("`a-b`"), "{report}");
    assert!(
        report["refused"][2]["remedy"].as_str().unwrap().contains("patchctl ci update gone --activate"),
        "{report}"
    );
    operator.get("/cmdb/cis/good").await.expect(200);
    // Nothing of the list is good, so it is refused as a whole.
    import(operator, "", json!([{"id": "a b", "type": "host"}]).to_string()).await.expect_problem(422);
}

#[tokio::test(flavor = "multi_thread")]
async fn unmanaged_hosts_and_groups_that_look_like_tags_are_reported() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    let list = "localhost ansible_connection=local\n[prod]\nshop_[1:3].example.test\n[dev]\nlab1\nlab2 os=debian12\n";
    let report = import(operator, "", list).await.expect(200);
    assert_eq!((&report["created"], &report["left_out_count"]), (&json!(5), &json!(1)), "{report}");
    assert_eq!(
        report["unmanaged"],
        json!({"hosts": 4, "first": ["shop_1.example.test", "shop_2.example.test", "shop_3.example.test", "lab1"], "missing": ["os"]})
    );
    assert_eq!(report["proposals"][0]["map"], "env=prod,dev");
    assert_eq!(
        report["proposals"][0]["groups"],
        json!([{"name": "prod", "hosts": 3}, {"name": "dev", "hosts": 2}])
    );

    let report = import(operator, "?map=env%3Dprod%2Cdev", list).await.expect(200);
    assert_eq!((&report["updated"], &report["proposals"]), (&json!(5), &json!([])), "{report}");
    let ci = operator.get("/cmdb/cis/shop_2.example.test").await.expect(200);
    assert_eq!(ci["tags"], json!({"env": "prod"}));
    import(operator, "?map=env%3Dprdo", list).await.expect_problem(422);
    import(operator, "?map=env", list).await.expect_problem(422);

    // A host whose name is that of a group keeps the inventory unambiguous.
    import(operator, "", "id,env\nenv_prod,dev\n").await.expect(200);
    let inventory = operator.get("/cmdb/ansible/inventory").await.expect(200);
    assert!(inventory.get("env_prod").is_none(), "{inventory}");
    assert!(inventory["_meta"]["hostvars"]["env_prod"].is_object(), "{inventory}");
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_names_of_two_sites_get_ids_that_stay() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    let device = |id: u64, name: &str, site: &str, status: &str| {
        json!({"id": id, "name": name, "device_type": {"slug": "x"}, "status": {"value": status},
            "platform": {"slug": "debian-12"}, "site": {"slug": site}})
    };
    let send = async |devices: Value| {
        import(operator, "", json!({"results": devices}).to_string()).await.expect(200)
    };
    let ids = async || column(&operator.get("/cmdb/cis").await.expect(200), "id");

    send(json!([
        device(1, "web01", "fra", "active"),
        device(3, "db01", "fra", "active"),
        device(4, "db01", "ams", "active")
    ]))
    .await;
    assert_eq!(ids().await, ["db01.ams", "db01.fra", "web01"]);
    let report = send(json!([
        device(1, "web01", "fra", "active"),
        device(2, "WEB01", "ams", "active"),
        device(4, "db01", "ams", "active"),
    ]))
    .await;
    assert_eq!((&report["created"], &report["unchanged"]), (&json!(1), &json!(2)), "{report}");
    assert_eq!(ids().await, ["db01.ams", "db01.fra", "web01", "web01.ams"]);
    let second = operator.get("/cmdb/cis/web01.ams").await.expect(200);
    assert_eq!((&second["name"], &second["attributes"]["address"]), (&json!("WEB01"), &json!("web01")));
    assert!(report["warnings"][0].as_str().unwrap().contains("`WEB01` is `web01.ams`"), "{report}");
    // Moved to another site, it is still the same device.
    let report = send(json!([device(1, "web01", "lon", "active")])).await;
    assert_eq!((&report["updated"], &report["created"]), (&json!(1), &json!(0)), "{report}");
    let report =
        send(json!([device(1, "web01", "lon", "decommissioning"), device(4, "db01", "ams", "active")])).await;
    assert_eq!(report["left_out_count"], 1);
    assert!(
        report["left_out"][0]["remedy"].as_str().unwrap().contains("patchctl ci decommission web01"),
        "{report}"
    );
    // The device of another site that has its name is not this one.
    let report =
        send(json!([device(9, "web01", "par", "offline"), device(4, "db01", "ams", "offline")])).await;
    assert_eq!(report["left_out"][0].get("remedy"), None, "{report}");
    assert!(report["left_out"][1]["remedy"].as_str().unwrap().contains("decommission db01.ams"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_lists_are_refused_whole() {
    let platform = Platform::start().await;
    for (content, status) in [
        (b"".to_vec(), 400),
        (b"id\n\xff\n".to_vec(), 400),
        (b"hello world".to_vec(), 422),
        (b"{\"id\": ".to_vec(), 422),
        (b"[]".to_vec(), 422),
        (b"id\nweb\0\n".to_vec(), 422),
        (b"[web]\nh[1:99999]\n".to_vec(), 422),
        (vec![b'x'; 20 * 1024 * 1024 + 1], 413),
    ] {
        import(&platform.operator, "", content).await.expect_problem(status);
    }
    import(&platform.operator, "?format=netbox", "{}").await.expect_problem(422);
    import(&platform.operator, "?format=xml", "{}").await.expect_problem(400);
    for content_type in ["application/pdf", ""] {
        let headers = [("content-type", content_type)];
        let answer =
            platform.operator.send(Method::POST, "/cmdb/import", &headers, Some(b"id\na\n".to_vec()));
        answer.await.expect_problem(415);
    }
    // Larger than what other paths take.
    let padded = format!("id,note\nweb-01,{}\n", " ".repeat(3 * 1024 * 1024));
    import(&platform.operator, "", padded).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn import_replays_its_answer_under_its_key() {
    let platform = Platform::start().await;
    let send = async |content: &str| {
        let headers = [("content-type", "text/csv"), ("idempotency-key", "list-1")];
        platform
            .operator
            .send(Method::POST, "/cmdb/import", &headers, Some(content.as_bytes().to_vec()))
            .await
    };
    let first = send("id\nweb-01\n").await.expect(200);
    assert_eq!(first["created"], 1);
    assert_eq!(send("id\nweb-01\n").await.expect(200), first);
    send("id\nweb-02\n").await.expect_problem(422);
}

/// Every name of the vectors, by both ways a host comes in.
#[tokio::test(flavor = "multi_thread")]
async fn host_names_are_accepted_or_refused_as_the_vectors_say() {
    let Some(path) = shared_data("vectors/ansible/hostnames.tsv") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let created = Platform::start().await;
    let imported = Platform::start().await;
    let mut seen = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, expected) = line.split_once('\t').unwrap();
        let Ok(name) = serde_json::from_str::<Value>(name) else { continue };
        let body = json!({"id": name, "type": "host"});
        let answers = [
            created.operator.post("/cmdb/cis", &body).await.status.as_u16(),
            import(&imported.operator, "", json!([body]).to_string()).await.status.as_u16(),
        ];
        if !expected.starts_with("accept") {
            assert_eq!(answers, [422, 422], "{name}");
        } else if expected.contains("same host") {
            assert_eq!(answers, [409, 200], "{name}");
        } else {
            assert_eq!(answers, [201, 200], "{name}");
        }
        seen += 1;
    }
    assert!(seen > 40, "only {seen} names were read");
    for platform in [created, imported] {
        let ids = column(&platform.operator.get("/cmdb/cis").await.expect(200), "id");
        assert_eq!(ids.len(), 6, "{ids:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn variable_names_ansible_acts_upon_are_refused() {
    let Some(path) = shared_data("vectors/ansible/forbidden-var-names.json") else { return };
    let names: Vec<String> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let platform = Platform::start().await;
    platform.ci("web-01", "host", json!({})).await;
    for name in names {
        let body = json!({"id": "web-02", "type": "host", "attributes": {&name: "x"}});
        platform.operator.post("/cmdb/cis", &body).await.expect_problem(422);
        let body = json!({"attributes": {&name: "x"}});
        platform.operator.patch("/cmdb/cis/web-01", &body).await.expect_problem(422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn own_inventory_comes_back_unchanged() {
    let platform = Platform::start().await;
    let body = json!({"id": "web-01", "type": "vm", "name": "Shop front", "tags": {"env": "pre-prod", "x.y": "{{ 7*7 }}"},
        "attributes": {"driver": "model", "address": "10.0.0.1", "port": 2222, "name": "n", "deep": {"a": ["{{ b }}"]}}});
    platform.operator.post("/cmdb/cis", &body).await.expect(201);
    let exported = platform.operator.get("/cmdb/ansible/inventory").await.text;
    let other = Platform::start().await;
    let report = import(&other.operator, "", exported).await.expect(200);
    assert_eq!(report["format"], "ansible_json");
    assert_eq!(report["left_out"], json!([]));
    let ci = other.operator.get("/cmdb/cis/web-01").await.expect(200);
    for field in ["type", "name", "tags", "attributes"] {
        assert_eq!(ci[field], body[field], "{field}");
    }
}
