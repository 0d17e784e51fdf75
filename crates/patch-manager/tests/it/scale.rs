//! Invariants under concurrent writers, and for data of an older schema.

use std::borrow::Cow;

use patch_manager::PatchManager;
use reqwest::Method;
use serde_json::{Value, json};
use service_kit::server::Service;
use test_support::TestDatabase;

use crate::{
    fleet::{Age, inventory},
    platform::Platform,
};

const WRITERS: usize = 6;
const ROUNDS: usize = 4;
const HOSTS: usize = 24;

#[tokio::test(flavor = "multi_thread")]
async fn counters_are_exact_after_concurrent_writers() {
    let platform = Platform::start().await;
    platform.import_seeds().await;
    for number in 0..HOSTS {
        let env = if number % 2 == 0 { "prod" } else { "staging" };
        platform.add_host(&format!("host-{number:02}"), json!({ "env": env, "os": "rocky9" })).await;
    }
    platform.add_policy("all-prod", json!({ "env": "prod" }), Some("2025-12")).await;
    let platform = &platform;
    // Each writer pushes all hosts in its own order, with packages that differ from round to round.
    let writer = async |writer: usize| {
        for round in 0..ROUNDS {
            let records: String = (0..HOSTS)
                .map(|place| (place * 7 + writer * 5) % HOSTS)
                .map(|number| {
                    let names = [&["openssl", "sudo"][..], &["curl"], &["nginx", "sudo", "curl"]];
                    let age = if (number + round) % 2 == 0 { Age::Base } else { Age::Newest };
                    let names = names[(number + writer + round) % names.len()];
                    format!("{}\n", inventory(&format!("host-{number:02}"), "rocky9", names, age))
                })
                .collect();
            let headers = [("content-type", "application/x-ndjson")];
            let body = Some(records.into_bytes());
            let report =
                platform.operator.send(Method::POST, "/patch/inventory", &headers, body).await.expect(200);
            assert_eq!(report["refused"], json!([]), "{report}");
        }
    };
    let meddler = async {
        for round in 0..ROUNDS {
            let id = format!("policy-{round}");
            platform.add_policy(&id, json!({ "os": "rocky9" }), None).await;
            let ci = format!("/cmdb/cis/host-{round:02}");
            let tags = json!({ "tags": { "tier": format!("tier-{round}") } });
            platform.librarian.patch(&ci, &tags).await.expect(200);
            platform.operator.get("/patch/compliance").await.expect(200);
        }
    };
    let writers = futures::future::join_all((0..WRITERS).map(writer));
    futures::future::join(writers, meddler).await;
    platform.expect_exact_rollups().await;
    let summary = platform.operator.get("/patch/compliance").await.expect(200);
    let total = &summary["total"];
    let sum = ["compliant", "non_compliant", "unknown"].iter().map(|key| total[key].as_i64().unwrap());
    assert_eq!(sum.sum::<i64>(), HOSTS as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_removed_from_the_cmdb_leave_all_counts_and_return_with_their_findings() {
    let platform = Platform::start().await;
    platform.import_seeds().await;
    platform.add_fleet().await;
    platform.push(&inventory("web-1", "rocky9", &["openssl"], Age::Base)).await;
    let affected = async || {
        let detail = platform.operator.get("/patch/advisories/DCOS-2025-0001").await.expect(200);
        (detail["affected_total"].clone(), detail["affected"].as_array().unwrap().len())
    };
    assert_eq!(affected().await, (json!(1), 1));
    platform.librarian.delete("/cmdb/cis/web-1").await.expect(204);
    platform.add_policy("first", json!({ "env": "prod" }), None).await;
    assert_eq!(affected().await, (json!(0), 0));
    platform.operator.get("/patch/compliance/web-1").await.expect_problem(404);
    platform.expect_exact_rollups().await;
}

/// The schema before findings had numbers.
const BEFORE: i64 = 20_261_121_111_500;

#[tokio::test(flavor = "multi_thread")]
async fn data_of_the_old_schema_is_migrated() {
    let database = TestDatabase::create_empty().await;
    let pool = service_kit::database::connect(database.url(), "test", 2).unwrap();
    let mut old = PatchManager::migrator();
    old.migrations =
        Cow::Owned(old.migrations.iter().filter(|step| step.version < BEFORE).cloned().collect());
    service_kit::database::run(&pool, PatchManager::SCHEMA, old).await.unwrap();
    let rows = "
        INSERT INTO patch.advisories (id, source, kind, severity, summary, cves, published, modified, in_force, exploited, due, digest, body)
            VALUES ('A-1', 'x', 'security', 'high', 's', '{CVE-2026-1}', '2026-01-02Z', '2026-01-02Z', true, false, '2026-02-01Z', '', '{}');
        INSERT INTO patch.advisory_counts (advisory_no) VALUES (1);
        INSERT INTO patch.package_sets (digest, package_digest, os, packages, names)
            VALUES ('\\x01', 'abcd', 'rocky:9', '[{\"name\": \"curl\", \"version\": \"1-1\"}, {\"name\": \"libx\", \"version\": \"2-1\", \"source_name\": \"x\"}]', '{curl,libx,x}');
        INSERT INTO patch.set_pending (set_no, advisory_no, package, installed, fixed, state, rule, published, is_first)
            VALUES (1, 1, 'curl', '1-1', '1-2', 'missing', 'rpm', '2026-01-02Z', true);
        INSERT INTO patch.hosts (ci_id, os, os_key, driver, env, tier, owner, cluster, tags, set_no, status)
            SELECT 'web-' || n, 'rocky9', 'rocky:9', 'ssh', 'prod', '', '', '', '{\"os\": \"rocky9\", \"env\": \"prod\"}',
                CASE WHEN n < 3 THEN 1 END, CASE WHEN n < 3 THEN 'non_compliant' ELSE 'unknown' END
            FROM generate_series(1, 3) n;
        INSERT INTO patch.host_scans (host_id, last_scanned) VALUES (1, '2026-03-01Z'), (2, '2026-03-02Z');
        INSERT INTO patch.compliance (host_id, policy_no, status, pending, excepted) VALUES (1, 0, 'non_compliant', 1, 0);";
    sqlx::raw_sql(rows).execute(&pool).await.unwrap();

    service_kit::database::migrate(&pool, PatchManager::SCHEMA, PatchManager::migrator()).await.unwrap();
    let migrated: Value = sqlx::query_scalar(
        "SELECT jsonb_build_object(
             'packages', (SELECT jsonb_agg(names ORDER BY no) FROM patch.packages),
             'in_set', (SELECT cardinality(package_nos) FROM patch.package_sets),
             'findings', (SELECT findings FROM patch.set_findings),
             'affected', (SELECT jsonb_agg(host_id ORDER BY host_id) FROM patch.affected),
             'counted', (SELECT sum(hosts) FROM patch.advisory_counts),
             'statuses', (SELECT jsonb_agg(status ORDER BY host_id) FROM patch.host_scans),
             'prod', (SELECT jsonb_object_agg(status, hosts) FROM patch.compliance_rollup WHERE dimension = 'env' AND value = 'prod'),
             'due', (SELECT count(*) FROM patch.due_hosts))",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    let names = migrated["packages"].as_array().unwrap();
    assert!(names.contains(&json!(["curl"])) && names.iter().any(|one| one.as_array().unwrap().len() == 2));
    assert_eq!(
        (
            &migrated["in_set"],
            &migrated["findings"],
            &migrated["affected"],
            &migrated["counted"],
            &migrated["due"]
        ),
        (&json!(2), &json!([1]), &json!([1, 2]), &json!(2), &json!(3))
    );
    assert_eq!(migrated["statuses"], json!(["non_compliant", "non_compliant", "unknown"]));
    assert_eq!(migrated["prod"], json!({ "non_compliant": 2, "unknown": 1 }));
}

/// The schema before runs named their subjects.
const BEFORE_SUBJECTS: i64 = 20_261_129_230_000;

/// A lock of a rollout under way becomes one of a customer, so that the host of the same id is free.
#[tokio::test(flavor = "multi_thread")]
async fn runs_and_locks_of_the_old_schema_get_their_subject() {
    let database = TestDatabase::create_empty().await;
    let pool = service_kit::database::connect(database.url(), "test", 2).unwrap();
    let mut old = PatchManager::migrator();
    old.migrations =
        Cow::Owned(old.migrations.iter().filter(|step| step.version < BEFORE_SUBJECTS).cloned().collect());
    service_kit::database::run(&pool, PatchManager::SCHEMA, old).await.unwrap();
    let rows = "
        INSERT INTO patch.runs (id, trigger, dry_run, emergency, requested_by, policy, machine, state, created_at)
            SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid, trigger, false, false, 'o', '{}', '{}', 'executing', now()
            FROM (VALUES (1, 'release'), (2, 'manual')) given (n, trigger);
        INSERT INTO patch.host_locks (ci_id, run_id, since) VALUES
            ('acme', '00000000-0000-0000-0000-000000000001', now()), ('web-1', '00000000-0000-0000-0000-000000000002', now());";
    sqlx::raw_sql(rows).execute(&pool).await.unwrap();
    service_kit::database::migrate(&pool, PatchManager::SCHEMA, PatchManager::migrator()).await.unwrap();
    let subjects = "SELECT jsonb_agg(jsonb_build_array(trigger, subject) ORDER BY id) FROM patch.runs";
    let subjects: Value = sqlx::query_scalar(subjects).fetch_one(&pool).await.unwrap();
    assert_eq!(subjects, json!([["release", "customer"], ["manual", "host"]]));
    let locks = "SELECT jsonb_object_agg(id, subject) FROM patch.subject_locks";
    let locks: Value = sqlx::query_scalar(locks).fetch_one(&pool).await.unwrap();
    assert_eq!(locks, json!({ "acme": "customer", "web-1": "host" }));
    let same_id = "INSERT INTO patch.subject_locks (subject, id, run_id, since)
        VALUES ('host', 'acme', '00000000-0000-0000-0000-000000000002', now())";
    sqlx::raw_sql(same_id).execute(&pool).await.unwrap();
}
