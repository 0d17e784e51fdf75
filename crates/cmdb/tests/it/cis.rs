use reqwest::Method;
use serde_json::json;

use crate::platform::{Platform, column};

#[tokio::test(flavor = "multi_thread")]
async fn ci_is_created_read_changed_and_decommissioned_with_its_history() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    let body = json!({"id": "WEB-01.", "type": "host", "tags": {"env": "prod"}, "attributes": {"driver": "model"}, "reason": "rack 7"});
    let created = operator.post("/cmdb/cis", &body).await;
    assert_eq!(created.headers["location"], "/cmdb/cis/web-01");
    assert_eq!(created.headers["etag"], "\"1\"");
    assert_eq!(created.expect(201)["name"], "web-01");
    operator.post("/cmdb/cis", &body).await.expect_problem(409);

    let read = operator.get("/cmdb/cis/Web-01").await;
    assert_eq!(read.headers["etag"], "\"1\"");
    assert_eq!(read.expect(200)["status"], "active");

    let change = json!({"tags": {"env": null, "role": "web"}, "attributes": {"port": 22, "driver": null}, "reason": "moved"});
    let changed = operator.patch("/cmdb/cis/web-01", &change).await.expect(200);
    assert_eq!(changed["tags"], json!({"role": "web"}));
    assert_eq!(changed["attributes"], json!({"port": 22}));
    assert_eq!(changed["version"], 2);
    // The same change again changes nothing, and leaves no trace.
    assert_eq!(operator.patch("/cmdb/cis/web-01", &change).await.expect(200)["version"], 2);

    operator.delete("/cmdb/cis/web-01?reason=sold").await.expect(204);
    operator.delete("/cmdb/cis/web-01").await.expect(204);
    assert_eq!(operator.get("/cmdb/cis/web-01").await.expect(200)["status"], "decommissioned");
    assert_eq!(column(&operator.get("/cmdb/cis").await.expect(200), "id"), [""; 0]);
    assert_eq!(column(&operator.get("/cmdb/cis?status=any").await.expect(200), "id"), ["web-01"]);

    let history = operator.get("/cmdb/cis/web-01/history").await.expect(200);
    assert_eq!(column(&history, "action"), ["decommission_ci", "update_ci", "create_ci"]);
    assert_eq!(column(&history, "why"), ["sold", "moved", "rack 7"]);
    assert_eq!(column(&history, "who"), ["olivia"; 3]);
    assert_eq!(history["items"][1]["before"]["tags"], json!({"env": "prod"}));
    assert_eq!(history["items"][1]["after"]["tags"], json!({"role": "web"}));

    let back = operator.patch("/cmdb/cis/web-01", &json!({"status": "active"})).await.expect(200);
    assert_eq!(back["status"], "active");

    let audit = platform.service.admin().await.get("/access/audit?object=ci/web-01").await.expect(200);
    assert_eq!(column(&audit, "action"), ["update_ci", "decommission_ci", "update_ci", "create_ci"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn stale_changes_are_refused_by_their_etag() {
    let platform = Platform::start().await;
    platform.ci("web-01", "host", json!({})).await;
    let send = async |method: Method, etag: &str, body: Option<&str>| {
        let headers = [("content-type", "application/json"), ("if-match", etag)];
        platform
            .operator
            .send(method, "/cmdb/cis/web-01", &headers, body.map(|body| body.as_bytes().to_vec()))
            .await
    };
    send(Method::PATCH, "\"1\"", Some(r#"{"name": "a"}"#)).await.expect(200);
    send(Method::PATCH, "\"1\"", Some(r#"{"name": "b"}"#)).await.expect_problem(412);
    send(Method::DELETE, "\"1\"", None).await.expect_problem(412);
    send(Method::PATCH, "*", Some(r#"{"name": "c"}"#)).await.expect(200);
    send(Method::DELETE, "\"3\"", None).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_cannot_be_rewritten() {
    let platform = Platform::start().await;
    platform.ci("web-01", "host", json!({})).await;
    for statement in
        ["UPDATE cmdb.history SET who = 'x'", "DELETE FROM cmdb.history", "TRUNCATE cmdb.history"]
    {
        let error = sqlx::query(statement).execute(&platform.service.pool).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{statement}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_paged() {
    let platform = Platform::start().await;
    platform.ci("db-01", "database", json!({"env": "prod"})).await;
    platform.ci("web-01", "host", json!({"env": "prod", "role": "web", "os": "rocky9"})).await;
    platform.ci("web-02", "host", json!({"env": "dev", "role": "web", "os": "debian12"})).await;
    platform.ci("web-03", "vm", json!({"env": "prod", "role": "web", "owner": "Team_100%"})).await;
    for (query, ids) in [
        ("", vec!["db-01", "web-01", "web-02", "web-03"]),
        ("?type=host", vec!["web-01", "web-02"]),
        ("?tag=env:prod&tag=role:web", vec!["web-01", "web-03"]),
        ("?env=prod&os=rocky9", vec!["web-01"]),
        ("?q=WEB", vec!["web-01", "web-02", "web-03"]),
        ("?q=team_100%25", vec!["web-03"]),
        ("?q=_", vec!["web-03"]),
        ("?q=nothing", vec![]),
        ("?status=decommissioned", vec![]),
    ] {
        let page = platform.operator.get(&format!("/cmdb/cis{query}")).await.expect(200);
        assert_eq!(column(&page, "id"), ids, "{query}");
    }
    let first = platform.operator.get("/cmdb/cis?limit=3").await.expect(200);
    assert_eq!(column(&first, "id"), ["db-01", "web-01", "web-02"]);
    let token = first["next_page_token"].as_str().unwrap();
    let rest = platform.operator.get(&format!("/cmdb/cis?limit=3&page_token={token}")).await.expect(200);
    assert_eq!(column(&rest, "id"), ["web-03"]);
    assert!(rest.get("next_page_token").is_none());

    let history = platform.operator.get("/cmdb/cis/web-01/history?limit=1").await.expect(200);
    assert_eq!(column(&history, "action"), ["create_ci"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_spelling_of_a_release_is_found() {
    let platform = Platform::start().await;
    for (id, os) in [
        ("a-1", "rocky9"),
        ("a-2", "Rocky Linux 9.4"),
        ("a-3", "rocky:9"),
        ("b-1", "rhel9"),
        ("b-2", "TempleOS 5"),
        ("b-3", "debian12"),
    ] {
        let env = if id == "a-3" { "dev" } else { "prod" };
        platform.ci(id, "host", json!({"env": env, "os": os})).await;
    }
    platform.ci("c-1", "host", json!({"env": "prod"})).await;
    for (query, ids) in [
        ("tag=os:rocky-9", vec!["a-1", "a-2", "a-3"]),
        ("os=Rocky%20Linux%209", vec!["a-1", "a-2", "a-3"]),
        ("os=cpe:/o:rocky:rocky:9&env=prod", vec!["a-1", "a-2"]),
        ("os=TempleOS%205", vec!["b-2"]),
        ("os=TempleOS", vec![]),
        ("os=rocky8", vec![]),
        ("env=dev", vec!["a-3"]),
    ] {
        let page = platform.operator.get(&format!("/cmdb/cis?{query}")).await.expect(200);
        assert_eq!(column(&page, "id"), ids, "{query}");
    }
    let first = platform.operator.get("/cmdb/cis?os=rocky9&limit=2").await.expect(200);
    let token = first["next_page_token"].as_str().unwrap();
    let rest =
        platform.operator.get(&format!("/cmdb/cis?os=rocky9&limit=2&page_token={token}")).await.expect(200);
    assert_eq!(column(&first, "id"), ["a-1", "a-2"]);
    assert_eq!(column(&rest, "id"), ["a-3"]);
    let graph = platform.operator.get("/cmdb/graph?tag=os:Rocky-9").await.expect(200);
    assert_eq!(graph["nodes"].as_array().map(Vec::len), Some(3), "{graph}");
}

#[tokio::test(flavor = "multi_thread")]
async fn idempotency_key_replays_the_answer() {
    let platform = Platform::start().await;
    let post = async |path: &str, body: serde_json::Value| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "k-1")];
        platform.operator.send(Method::POST, path, &headers, Some(body.to_string().into_bytes())).await
    };
    let body = json!({"id": "web-01", "type": "host"});
    let first = post("/cmdb/cis", body.clone()).await.expect(201);
    assert_eq!(post("/cmdb/cis", body).await.expect(201), first);
    post("/cmdb/cis", json!({"id": "web-02", "type": "host"})).await.expect_problem(422);
    platform.ci("web-02", "host", json!({})).await;
    let edge = json!({"source": "web-01", "target": "web-02", "type": "uses"});
    let first = post("/cmdb/relationships", edge.clone()).await.expect(201);
    assert_eq!(post("/cmdb/relationships", edge).await.expect(201), first);
}

#[tokio::test(flavor = "multi_thread")]
async fn patch_state_is_kept_as_reported() {
    let platform = Platform::start().await;
    platform.ci("web-01", "host", json!({})).await;
    let state = json!({"compliance_status": "compliant", "current_patch_level": "2026-02",
        "last_scanned": "2026-03-01T02:00:00Z", "last_patched": null, "run_id": "018f4e3a-0000-7000-8000-000000000001"});
    let path = "/cmdb/cis/web-01/patch-state";
    // As the patch-manager reports it.
    let reporter =
        test_support::Http::new(&platform.service.base, Some(platform.service.service_token().to_owned()));
    let ci = reporter.put(path, &state).await.expect(200);
    assert_eq!(ci["patch_state"], state);
    assert_eq!(ci["version"], 2);
    let history = platform.operator.get("/cmdb/cis/web-01/history").await.expect(200);
    assert_eq!(history["items"][0]["after"], state);
    platform.operator.put(path, &json!({"compliance_status": "perfect"})).await.expect_problem(422);
    platform.operator.put("/cmdb/cis/none/patch-state", &state).await.expect_problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn person_cannot_write_alone_that_a_host_is_compliant() {
    let platform = Platform::start().await;
    platform.ci("web-01", "host", json!({})).await;
    let path = "/cmdb/cis/web-01/patch-state";
    let state = json!({"compliance_status": "compliant", "current_patch_level": "2026-02",
        "last_scanned": null, "last_patched": null, "run_id": null});
    let proposal = platform.operator.put(path, &state).await.expect(202);
    let proposed = &proposal["proposed"];
    assert_eq!((&proposed["service"], &proposed["operation"]), (&json!("cmdb"), &json!("set_patch_state")));
    assert_eq!((&proposed["object"], &proposed["body"]), (&json!("ci/web-01"), &state));
    let said = json!(["the CI counts as compliant", "the CI counts as patched up to `2026-02`"]);
    assert_eq!(proposed["weakens"], said);
    let ci = platform.operator.get("/cmdb/cis/web-01").await.expect(200);
    assert_eq!((&ci["patch_state"], &ci["version"]), (&json!(null), &json!(1)));

    // To claim less needs nobody, and then the proposal is about something else.
    let worse = json!({"compliance_status": "unknown", "current_patch_level": null,
        "last_scanned": null, "last_patched": null, "run_id": null});
    platform.operator.put(path, &worse).await.expect(200);
    let confirm = format!("/access/proposals/{}/confirm", proposal["id"].as_str().unwrap());
    let approver = platform.service.approver().await;
    let void = approver.post(&confirm, &json!({})).await.expect_problem(409);
    assert_eq!(void["type"], "/problems/proposal-void");
    let ci = platform.operator.get("/cmdb/cis/web-01").await.expect(200);
    assert_eq!(ci["patch_state"], worse);

    let answer = platform.operator.put(path, &state).await;
    assert_eq!(platform.service.agreed(answer).await["patch_state"], state);
    let history = platform.operator.get("/cmdb/cis/web-01/history").await.expect(200);
    assert_eq!(history["items"][0]["who"], "olivia");
}

#[tokio::test(flavor = "multi_thread")]
async fn list_that_has_not_changed_is_not_sent_again() {
    let platform = Platform::start().await;
    platform.ci("web-01", "host", json!({})).await;
    let ask = async |headers: &[(&str, &str)]| {
        platform.operator.send(Method::GET, "/cmdb/cis", headers, None).await
    };
    let first = ask(&[]).await;
    let tag = first.headers["etag"].to_str().unwrap().to_owned();
    let known = ask(&[("if-none-match", &tag)]).await;
    assert_eq!((known.status.as_u16(), known.text.as_str()), (304, ""));
    platform.ci("web-02", "host", json!({})).await;
    let changed = ask(&[("if-none-match", &tag)]).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.headers["etag"], tag);
    let compressed = ask(&[("accept-encoding", "gzip")]).await;
    assert_eq!(
        (&compressed.headers["content-encoding"], compressed.status.as_u16()),
        (&"gzip".parse().unwrap(), 200)
    );
    assert_eq!(compressed.headers["etag"], changed.headers["etag"]);
}
