//! The audit log: what is in it, and that nobody removes it.

use serde_json::{Value, json};
use test_support::Http;

use crate::platform::{Platform, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_audited() {
    let platform = Platform::start().await;
    platform.add_policy("p", json!({ "env": "dev" }), None).await;
    platform.operator.patch("/patch/policies/p", &json!({ "retries": 1 })).await.expect(200);
    let log = platform.patch.admin().await.get("/access/audit?object=policy/p").await.expect(200);
    let records = log["items"].as_array().unwrap();
    assert_eq!(
        (&records[0]["action"], &records[1]["action"]),
        (&json!("update_policy"), &json!("create_policy"))
    );
    assert_eq!((&records[0]["before"]["retries"], &records[0]["after"]["retries"]), (&json!(0), &json!(1)));
    assert_eq!(records[0]["subject"], "olivia");
}

/// The newest record of an object, when it is there.
async fn record_of(auditor: &Http, object: &str) -> Value {
    let mut found = Value::Null;
    eventually("the refusal is recorded", async || {
        let log = auditor.get(&format!("/access/audit?object={object}")).await.expect(200);
        found = log["items"][0].clone();
        !found.is_null()
    })
    .await;
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_sign_ins_and_refused_calls_are_recorded_with_their_address() {
    let platform = Platform::start().await;
    let auditor = platform.patch.as_role("audra", &[api_types::access::Role::Auditor]).await;
    let forged = Http::new(&platform.patch.base, Some("pm_forged".to_owned()));
    forged.get("/patch/policies/secret-name").await.expect_problem(401);
    let record = record_of(&auditor, "GET%20/patch/policies/{id}").await;
    assert_eq!((&record["action"], &record["subject"]), (&json!("refuse_sign_in"), &json!("nobody")));
    assert_eq!(record["after"]["address"], "127.0.0.1");
    assert_eq!(record["reason"], "this token is not known");
    assert!(
        !record.to_string().contains("forged") && !record.to_string().contains("secret-name"),
        "{record:#}"
    );

    let viewer = platform.patch.viewer().await;
    viewer.post("/patch/policies", &json!({})).await.expect_problem(403);
    let record = record_of(&auditor, "POST%20/patch/policies").await;
    assert_eq!((&record["action"], &record["subject"]), (&json!("refuse_request"), &json!("vera")));
    assert!(record["reason"].as_str().unwrap().contains("`operator`"), "{record:#}");
    assert_eq!(record["after"], json!({ "address": "127.0.0.1", "refusals_not_recorded": 0 }));

    // A flood does not fill the log, and the next record counts what was left out.
    for _ in 0..200 {
        viewer.post("/patch/calendars", &json!({})).await.expect_problem(403);
    }
    let count = async || {
        let log = auditor.get("/access/audit?object=POST%20/patch/calendars&limit=1000").await.expect(200);
        log["items"].as_array().unwrap().clone()
    };
    let flood = count().await;
    assert!(flood.len() < 40, "{} records", flood.len());
    let mut left_out = 0;
    eventually("a later record counts those that were left out", async || {
        viewer.post("/patch/calendars", &json!({})).await.expect_problem(403);
        let of = |record: &Value| record["after"]["refusals_not_recorded"].as_u64().unwrap();
        left_out = count().await.iter().map(of).sum();
        left_out > 150
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_log_is_neither_changed_nor_deleted_nor_truncated() {
    let platform = Platform::start().await;
    platform.add_policy("p", json!({ "env": "dev" }), None).await;
    for statement in [
        "UPDATE platform.audit_log SET subject = 'nobody'",
        "DELETE FROM platform.audit_log",
        "TRUNCATE platform.audit_log",
    ] {
        let refused = sqlx::query(statement).execute(&platform.patch.pool).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{statement}: {refused}");
    }
    let log = platform.patch.admin().await.get("/access/audit?object=policy/p").await.expect(200);
    assert_eq!(log["items"][0]["action"], "create_policy");
}

/// Does what only an owner of the tables can do.
async fn past_the_triggers(platform: &Platform, statement: &str) {
    let mut tx = platform.patch.pool.begin().await.unwrap();
    for table in ["platform.audit_log", "platform.audit_seals"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("ALTER TABLE {table} DISABLE TRIGGER USER")))
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    let done = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut *tx).await.unwrap();
    assert!(done.rows_affected() > 0, "{statement} did nothing");
    for table in ["platform.audit_log", "platform.audit_seals"] {
        sqlx::query(sqlx::AssertSqlSafe(format!("ALTER TABLE {table} ENABLE TRIGGER USER")))
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
}

/// A platform with records of two policies, sealed, and a client that may check them.
async fn sealed() -> (Platform, Http, Value) {
    let platform = Platform::start().await;
    let auditor = platform.patch.as_role("audra", &[api_types::access::Role::Auditor]).await;
    for policy in ["p", "q"] {
        platform.add_policy(policy, json!({ "env": "dev" }), None).await;
    }
    let mut check = Value::Null;
    eventually("both records are sealed", async || {
        check = auditor.get("/access/audit/check").await.expect(200);
        check["waiting"] == 0 && check["position"].as_i64().unwrap() >= 2
    })
    .await;
    assert_eq!(
        (&check["fault"], &check["outside"], &check["is_complete"]),
        (&Value::Null, &json!(0), &json!(true))
    );
    (platform, auditor, check)
}

#[tokio::test(flavor = "multi_thread")]
async fn chain_of_the_audit_log_shows_what_was_changed_removed_or_added() {
    for (statement, reason) in [
        ("UPDATE platform.audit_log SET subject = 'somebody' WHERE object = 'policy/q'", "changed"),
        (
            "UPDATE platform.audit_log SET after = after || '{\"retries\": 9}' WHERE object = 'policy/q'",
            "changed",
        ),
        ("DELETE FROM platform.audit_log WHERE object = 'policy/q'", "record is missing"),
        (
            "DELETE FROM platform.audit_seals seal USING platform.audit_log log
             WHERE log.sequence = seal.sequence AND log.object = 'policy/p'",
            "missing",
        ),
    ] {
        let (platform, auditor, _) = sealed().await;
        past_the_triggers(&platform, statement).await;
        let check = auditor.get("/access/audit/check").await.expect(200);
        assert_eq!(check["is_complete"], false, "{statement}: {check:#}");
        let found = check["fault"]["reason"].as_str().unwrap();
        assert!(found.contains(reason), "{statement}: {check:#}");
    }
    let (platform, auditor, before) = sealed().await;
    let added = "INSERT INTO platform.audit_log (service, subject, action, object)
         VALUES ('patch-manager', 'arjun', 'approve_policy', 'policy/q')";
    past_the_triggers(&platform, added).await;
    let check = auditor.get("/access/audit/check").await.expect(200);
    assert_eq!((&check["outside"], &check["hash"]), (&json!(1), &before["hash"]), "{check:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn noted_end_shows_that_a_chain_was_cut_off_and_written_again() {
    let (platform, auditor, noted) = sealed().await;
    let position = noted["position"].as_i64().unwrap();
    let at_end = format!("/access/audit/check?after={}&limit=1", position - 1);
    let one = auditor.get(&at_end).await.expect(200);
    assert_eq!((&one["hash"], &one["position"]), (&noted["hash"], &noted["position"]));
    // The last record is replaced by another one, with a seal that fits.
    let cut =
        format!("DELETE FROM platform.audit_seals WHERE service = 'patch-manager' AND position = {position}");
    past_the_triggers(&platform, &cut).await;
    past_the_triggers(&platform, "DELETE FROM platform.audit_log WHERE object = 'policy/q'").await;
    platform.add_policy("r", json!({ "env": "dev" }), None).await;
    let mut again = Value::Null;
    eventually("another record has the position", async || {
        again = auditor.get(&at_end).await.expect(200);
        again["position"] == position
    })
    .await;
    assert_eq!(again["fault"], Value::Null);
    assert_ne!(again["hash"], noted["hash"]);
}
