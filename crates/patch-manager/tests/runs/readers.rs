//! Readers that take all connections they can get do not delay a run.

use serde_json::json;
use sqlx::{PgPool, Postgres, pool::PoolConnection};
use test_support::{Http, TestService};

use crate::platform::{Platform, platform};

fn services(platform: &Platform) -> [&TestService; 4] {
    let services =
        [&platform.patch_service, &platform.cmdb_service, &platform.itsm_service, &platform.sim_service];
    services.map(|service| service.as_ref().unwrap())
}

/// Every connection of a pool, as if slow requests had them.
async fn hold_all(pool: &PgPool) -> Vec<PoolConnection<Postgres>> {
    let mut held = Vec::new();
    for _ in 0..pool.options().get_max_connections() {
        held.push(pool.acquire().await.unwrap());
    }
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn run_goes_on_while_readers_have_every_connection_for_requests() {
    let platform = platform!();
    platform.fleet(4, 2).await;
    let run = platform.run().await;
    let waiting = platform.until(&run, "waiting for its change", |run| run["change_id"].is_string()).await;
    platform.until_state(&run, "awaiting_approval").await;
    let path = format!("/patch/runs/{run}");
    let mut held = Vec::new();
    for service in services(&platform) {
        held.extend(hold_all(&service.request_pool).await);
    }
    for (reader, path) in
        [(&platform.patch, path.as_str()), (&platform.cmdb, "/cmdb/cis"), (&platform.itsm, "/itsm/changes")]
    {
        reader.get(path).await.expect_problem(503);
    }

    // Orders, decisions and what services ask of each other have connections of their own.
    let order =
        async |verb: &str| platform.patch.post(&format!("{path}/{verb}"), &json!({})).await.expect(202);
    order("pause").await;
    order("resume").await;
    let change = waiting["change_id"].as_str().unwrap();
    platform.approver.post(&format!("/itsm/changes/{change}/approve"), &json!({})).await.expect(200);
    let patch = services(&platform)[0];
    let service = Http::new(&patch.base, Some(patch.service_token().to_owned()));
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(120);
    let ended = loop {
        let now = service.get(&path).await.expect(200);
        if !now["ended_at"].is_null() {
            break now;
        }
        assert!(tokio::time::Instant::now() < deadline, "{now:#}");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    assert_eq!(
        (&ended["state"], &ended["hosts"]["succeeded"]),
        (&json!("succeeded"), &json!(4)),
        "{ended:#}"
    );
    platform.patch.get(&path).await.expect_problem(503);

    drop(held);
    platform.assert_settled(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_while_runs_use_all_of_their_connections() {
    let platform = platform!();
    let patch = services(&platform)[0];
    let held = hold_all(&patch.pool).await;
    platform.patch.get("/patch/runs").await.expect(200);
    platform.patch.post("/patch/runs", &json!({ "policy_id": "p" })).await.expect_problem(503);
    drop(held);
    platform.patch.post("/patch/runs", &json!({ "policy_id": "p" })).await.expect_problem(422);
}
