use api_types::access::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::platform::Platform;

#[tokio::test(flavor = "multi_thread")]
async fn policy_of_the_specification_is_created_read_changed_and_deleted() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    let policy = json!({ "id": "policy-rhel9-baseline", "name": "RHEL 9 Monthly Baseline", "os_type": "rhel9",
        "schedule": "0 2 * * 0", "target_ci_tags": { "env": "dev", "os": "rhel9" }, "patch_level": "2026-02",
        "pre_patch_snapshot": true, "reboot_required": true, "max_parallel": 5 });
    let created = operator.post("/patch/policies", &policy).await;
    assert_eq!(created.headers["location"], "/patch/policies/policy-rhel9-baseline");
    assert_eq!(created.headers["etag"], "\"1\"");
    let created = created.expect(201);
    assert_eq!(
        (&created["version"], &created["max_parallel"], &created["updated_by"]),
        (&json!(1), &json!(5), &json!("olivia"))
    );

    let path = "/patch/policies/policy-rhel9-baseline";
    assert_eq!(operator.get(path).await.expect(200), created);
    let changed = operator.patch(path, &json!({ "max_parallel": "20%", "schedule": null })).await.expect(200);
    assert_eq!(
        (&changed["version"], &changed["max_parallel"], changed.get("schedule")),
        (&json!(2), &json!("20%"), None)
    );
    assert_eq!(changed["patch_level"], "2026-02", "other fields are unchanged");

    operator.delete(path).await.expect(204);
    operator.get(path).await.expect_problem(404);
    operator.delete(path).await.expect_problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_do_not_see_the_secrets_in_addresses() {
    let platform = Platform::start().await;
    let secret = "https://hooks.example.org/services/T0/secret";
    let policy = json!({ "id": "p", "name": "n", "target_ci_tags": { "env": "dev" }, "notify": ["a@example.org", secret],
        "workflow": { "drain": { "url": "https://lb.example.org/{host}?token=secret" } } });
    platform.operator.post("/patch/policies", &policy).await.expect(201);
    assert_eq!(platform.operator.get("/patch/policies/p").await.expect(200)["notify"][1], secret);
    let viewer = platform.patch.viewer().await;
    for path in ["/patch/policies", "/patch/policies/p"] {
        let answer = viewer.get(path).await;
        assert!(answer.status == 200 && !answer.text.contains("secret"), "{}", answer.text);
        assert!(answer.text.contains("https://hooks.example.org/[hidden]"), "{}", answer.text);
    }
}

fn test_of(test: Value) -> Value {
    json!({ "target_ci_tags": { "env": "staging" }, "tests": [test] })
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_fields_are_named_by_their_pointers() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    for (field, value, pointer) in [
        ("max_parallel", json!(0), "/max_parallel"),
        ("schedule", json!("0 2 * *"), "/schedule"),
        ("time_zone", json!("Mars/Base"), "/time_zone"),
        ("patch_level", json!("2026-13"), "/patch_level"),
        ("target_ci_tags", json!({}), "/target_ci_tags"),
        ("os_type", json!("windows11"), "/os_type"),
        ("notify", json!(["nobody"]), "/notify/0"),
        ("notify", json!(["a@example.org", "http://169.254.169.254/latest"]), "/notify/1"),
        ("notify", json!(["https://user:pass@hooks.example.org/x"]), "/notify/0"),
        ("vault", json!({ "address": "http://10.0.0.1:8200" }), "/vault/address"),
        ("vault", json!({ "address": "https://user:pass@vault.example.org" }), "/vault/address"),
        ("workflow", json!({ "drain": { "url": "http://127.0.0.1:6443/{host}" } }), "/workflow/drain/url"),
        ("workflow", json!({ "drain": { "url": "http://{host}:22/" } }), "/workflow/drain/url"),
        (
            "workflow",
            json!({ "drain": { "url": "http://u:p@lb.example.org/{host}" } }),
            "/workflow/drain/url",
        ),
        ("workflow", json!({ "services": ["--host=evil"] }), "/workflow/services/0"),
        (
            "staging",
            test_of(json!({ "name": "t", "kind": "service_active", "service": "-H" })),
            "/staging/tests/0/service",
        ),
        ("staging", test_of(json!({ "name": "t\u{202e}", "kind": "reachable" })), "/staging/tests/0/name"),
        ("name", json!("web\u{202e}10"), "/name"),
        ("change", json!({ "approver_emails": ["a b@c"] }), "/change/approver_emails/0"),
        ("retries", json!(11), "/retries"),
        ("retries", json!("1"), "/retries"),
        ("id", json!("../etc"), "/id"),
        ("name", json!("a\u{0}b"), "/name"),
        ("colour", json!("red"), "/colour"),
    ] {
        let mut policy = json!({ "id": "p", "name": "n", "target_ci_tags": { "env": "dev" } });
        policy[field] = value;
        let problem = operator.post("/patch/policies", &policy).await.expect_problem(422);
        let pointers: Vec<_> =
            problem["errors"].as_array().unwrap().iter().map(|e| e["pointer"].clone()).collect();
        assert!(pointers.contains(&json!(pointer)), "{field}: {problem}");
    }
    let list = operator.get("/patch/policies").await.expect(200);
    assert_eq!(list["items"], json!([]), "nothing was stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn id_is_unique_and_an_idempotency_key_repeats_the_answer() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    let policy = json!({ "id": "p", "name": "n", "target_ci_tags": { "env": "dev" } });
    let headers = [("content-type", "application/json"), ("idempotency-key", "key-1")];
    let send = async |body: &serde_json::Value| {
        operator.send(Method::POST, "/patch/policies", &headers, Some(body.to_string().into_bytes())).await
    };
    let first = send(&policy).await.expect(201);
    assert_eq!(send(&policy).await.expect(201), first);
    let mut other = policy.clone();
    other["name"] = "another".into();
    send(&other).await.expect_problem(422);
    operator.post("/patch/policies", &policy).await.expect_problem(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_stale_version_are_refused() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    platform.add_policy("p", json!({ "env": "dev" }), None).await;
    let patch = async |etag: &str, body: serde_json::Value| {
        let headers = [("content-type", "application/json"), ("if-match", etag)];
        operator.send(Method::PATCH, "/patch/policies/p", &headers, Some(body.to_string().into_bytes())).await
    };
    patch("\"1\"", json!({ "retries": 1 })).await.expect(200);
    patch("\"1\"", json!({ "retries": 2 })).await.expect_problem(412);
    operator
        .send(Method::DELETE, "/patch/policies/p", &[("if-match", "\"1\"")], None)
        .await
        .expect_problem(412);
    patch("\"2\"", json!({ "id": "q" })).await.expect_problem(422);
    patch("\"2\"", json!({ "retries": 99 })).await.expect_problem(422);
    patch("\"2\"", json!({ "nothing": 1 })).await.expect_problem(422);
    assert_eq!(operator.get("/patch/policies/p").await.expect(200)["retries"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_are_paged() {
    let platform = Platform::start().await;
    for id in ["c", "a", "b"] {
        platform.add_policy(id, json!({ "env": "dev" }), None).await;
    }
    let first = platform.operator.get("/patch/policies?limit=2").await.expect(200);
    let ids: Vec<_> = first["items"].as_array().unwrap().iter().map(|p| p["id"].clone()).collect();
    assert_eq!(ids, ["a", "b"]);
    let token = first["next_page_token"].as_str().unwrap();
    let second =
        platform.operator.get(&format!("/patch/policies?limit=2&page_token={token}")).await.expect(200);
    assert_eq!(second["items"][0]["id"], "c");
    assert_eq!(second.get("next_page_token"), None);
    platform.operator.get("/patch/policies?limit=0").await.expect_problem(422);
    platform.operator.get("/patch/policies?page_token=x").await.expect_problem(400);
    platform.operator.get("/patch/policies?colour=red").await.expect_problem(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_with_an_open_run_is_not_deleted() {
    let platform = Platform::start().await;
    platform.add_policy("p", json!({ "env": "dev" }), None).await;
    // A run that the engine cannot load, so that no process continues it.
    sqlx::query(
        "INSERT INTO patch.runs (id, trigger, policy_id, dry_run, emergency, requested_by, policy, machine, state, created_at)
         VALUES ($1, 'manual', 'p', false, false, 'olivia', '{}', '{}', 'planning', now())",
    )
    .bind(uuid::Uuid::now_v7())
    .execute(&platform.patch.pool)
    .await
    .unwrap();
    platform.operator.delete("/patch/policies/p").await.expect_problem(409);
    sqlx::query("UPDATE patch.runs SET ended_at = now()").execute(&platform.patch.pool).await.unwrap();
    platform.operator.delete("/patch/policies/p").await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn nth_weekdays_and_offsets_are_stored_and_a_probable_mistake_gets_a_hint() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    let policy = |id: &str, schedule: &str, offset: i64| json!({ "id": id, "name": id, "target_ci_tags": { "env": "prod" }, "schedule": schedule, "schedule_offset_days": offset });
    let stored = operator.post("/patch/policies", &policy("clear", "0 2 * * TUE#2", 2)).await.expect(201);
    assert_eq!((&stored["schedule_offset_days"], stored.get("hints")), (&json!(2), None));
    let preview = operator.get("/patch/policies/clear/preview").await.expect(200);
    let first = preview["occurrences"][0]["at"].as_str().unwrap();
    let first: chrono::DateTime<chrono::Utc> = first.parse().unwrap();
    let weekday = chrono::Datelike::weekday(&first);
    let day = chrono::Datelike::day(&first);
    assert!(weekday == chrono::Weekday::Thu && (10..=16).contains(&day), "{first}");

    let stored = operator.post("/patch/policies", &policy("unclear", "0 2 8-14 * 2", 0)).await.expect(201);
    let preview = operator.get("/patch/policies/unclear/preview").await.expect(200);
    for hints in [&stored["hints"], &preview["hints"]] {
        assert_eq!(hints[0]["pointer"], "/schedule");
        assert_eq!(hints[0]["kind"], "week_or_weekday");
        assert_eq!(hints[0]["instead"], "0 2 * * TUE#2");
    }
    for (wrong, pointer) in [
        (policy("p", "0 2 * * 2#6", 0), "/schedule"),
        (policy("p", "0 2 * * 2", 40), "/schedule_offset_days"),
    ] {
        let problem = operator.post("/patch/policies", &wrong).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn preview_lists_targets_occurrences_conflicts_and_precedence() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    let policy = json!({ "id": "broad", "name": "n", "target_ci_tags": { "env": "prod" },
        "schedule": "0 2 * * 0", "time_zone": "Europe/Berlin" });
    platform.operator.post("/patch/policies", &policy).await.expect(201);
    platform.add_policy("narrow", json!({ "env": "prod", "tier": "web" }), None).await;
    platform.add_policy("elsewhere", json!({ "env": "staging" }), None).await;

    let preview = platform.operator.get("/patch/policies/broad/preview").await.expect(200);
    assert_eq!(preview["targets"], json!(["web-1", "web-2"]));
    let local: Vec<_> =
        preview["occurrences"].as_array().unwrap().iter().map(|o| o["local"].clone()).collect();
    assert_eq!(
        local,
        [
            "2026-04-05T02:00:00+02:00",
            "2026-04-12T02:00:00+02:00",
            "2026-04-19T02:00:00+02:00",
            "2026-04-26T02:00:00+02:00",
            "2026-05-03T02:00:00+02:00"
        ]
    );
    assert_eq!(preview["occurrences"][0]["at"], "2026-04-05T00:00:00Z");
    assert_eq!(preview["conflicts"][0]["policy_id"], "narrow");
    assert_eq!(preview["conflicts"][0]["ci_ids"], json!(["web-1", "web-2"]));
    assert_eq!(preview["conflicts"].as_array().unwrap().len(), 1);
    assert_eq!(preview["effective"][0], json!({ "ci_id": "web-1", "policy_id": "narrow" }));
    let narrow = platform.operator.get("/patch/policies/narrow/preview").await.expect(200);
    assert_eq!(narrow["effective"], json!([]), "the narrower policy takes precedence");
}

#[tokio::test(flavor = "multi_thread")]
async fn preview_needs_the_cmdb() {
    let platform = Platform::start().await;
    platform.add_policy("p", json!({ "env": "dev" }), None).await;
    let Platform { cmdb, operator, .. } = platform;
    cmdb.stop().await;
    operator.get("/patch/policies/p/preview").await.expect_problem(503);
}

#[tokio::test(flavor = "multi_thread")]
async fn request_for_approval_goes_only_to_people_who_did_not_write_the_policy() {
    let platform = Platform::start().await;
    for (subject, roles) in [
        ("arjun", &[Role::Approver] as &[Role]),
        ("olivia", &[Role::Operator, Role::Approver]),
        ("vera", &[Role::Viewer]),
    ] {
        platform.patch.add_person(subject, &format!("{subject}@example.org"), roles).await;
    }
    let policy = |addresses: serde_json::Value| json!({ "id": "p", "name": "n", "target_ci_tags": { "env": "dev" }, "change": { "approver_emails": addresses } });
    for (address, reason) in [
        ("mallory@example.org", "belongs to nobody who may approve"),
        ("vera@example.org", "does not have the role `approver`"),
        ("olivia@example.org", "who edited this"),
    ] {
        let asked = policy(json!(["arjun@example.org", address]));
        let problem = platform.operator.post("/patch/policies", &asked).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], "/change/approver_emails/1", "{problem:#}");
        assert!(problem["errors"][0]["detail"].as_str().unwrap().contains(reason), "{problem:#}");
    }
    platform.operator.post("/patch/policies", &policy(json!(["Arjun@example.org"]))).await.expect(201);
    // Who has left since stays in the policy until somebody changes the addresses.
    platform.patch.add_person("arjun", "arjun@example.org", &[Role::Viewer]).await;
    let changed = platform.operator.patch("/patch/policies/p", &json!({ "retries": 1 })).await.expect(200);
    assert_eq!((&changed["created_by"], &changed["editors"]), (&json!("olivia"), &json!(["olivia"])));
}

/// A policy of an earlier version has no editors of its own: the audit log has them.
#[tokio::test(flavor = "multi_thread")]
async fn editors_of_policies_of_an_earlier_version_come_from_the_audit_log() {
    let platform = Platform::start().await;
    platform.add_policy("p", json!({ "env": "dev" }), None).await;
    let amy = platform.patch.as_role("amy", &[Role::Operator]).await;
    amy.patch("/patch/policies/p", &json!({ "retries": 1 })).await.expect(200);
    platform.operator.patch("/patch/policies/p", &json!({ "retries": 2 })).await.expect(200);
    let migration = include_str!("../../../../migrations/patch/20261204200000_policy_editors.sql");
    let fill = &migration
        [migration.find("WITH created").unwrap()..migration.find("ALTER TABLE patch.runs").unwrap()];
    let pool = &platform.patch.pool;
    sqlx::query("UPDATE patch.policies SET editors = '{}', created_by = NULL").execute(pool).await.unwrap();
    assert_eq!(platform.operator.get("/patch/policies/p").await.expect(200)["editors"], json!(["olivia"]));
    sqlx::raw_sql(sqlx::AssertSqlSafe(fill.to_owned())).execute(pool).await.unwrap();
    let read = platform.operator.get("/patch/policies/p").await.expect(200);
    assert_eq!((&read["created_by"], &read["editors"]), (&json!("olivia"), &json!(["amy", "olivia"])));
}
