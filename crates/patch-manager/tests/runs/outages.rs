//! A dependency of the run is unavailable for twenty seconds; afterwards the run continues by itself.

use std::time::Duration;

use local_postgres::{EphemeralPostgres, Listen};
use serde_json::json;
use service_kit::Clock;
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};
use test_support::Answer;

use crate::{
    database_proxy::{DatabaseProxy, Leads},
    platform::{Platform, platform},
};

/// Longer than every retry of a single call.
const OUTAGE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn run_survives_an_outage_of_itsm() {
    let mut platform = platform!();
    platform.fleet(3, 0).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    platform.until(&run, "executing", |run| run["state"] == "executing").await;
    platform.itsm_service.take().unwrap().stop().await;
    tokio::time::sleep(OUTAGE).await;
    let waiting = platform.get(&run).await;
    assert!(waiting["ended_at"].is_null(), "a run does not end with its change open: {waiting:#}");
    platform.start_itsm().await;
    assert_eq!(platform.until_ended(&run).await["state"], "succeeded");
    platform.assert_settled(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn run_survives_an_outage_of_the_sim_engine() {
    let mut platform = platform!();
    platform.fleet(3, 0).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    platform.until(&run, "patching", |run| run["host_states"].to_string().contains("\"patching\"")).await;
    platform.sim_service.take().unwrap().stop().await;
    tokio::time::sleep(OUTAGE).await;
    platform.start_sim().await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    platform.assert_settled(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn run_survives_an_outage_of_postgresql() {
    let server = private_server().await;
    let Some(platform) = Platform::start_at(server.url("outage"), Clock::system()).await else { return };
    platform.fleet(3, 0).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    platform.until(&run, "patching", |run| run["host_states"].to_string().contains("\"patching\"")).await;
    let server = tokio::task::spawn_blocking(move || {
        server.stop_server();
        server
    })
    .await
    .unwrap();
    assert_away(platform.patch.get("/patch/runs").await);
    tokio::time::sleep(OUTAGE).await;
    let _server = tokio::task::spawn_blocking(move || {
        server.start_server().unwrap();
        server
    })
    .await
    .unwrap();
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    platform.assert_settled(&run).await;
    drop(platform);
}

/// How a database can be away without refusing connections.
#[derive(Debug, Clone, Copy)]
enum Away {
    Behind(Leads),
    ReadOnly,
}

#[tokio::test(flavor = "multi_thread")]
async fn run_survives_a_proxy_without_a_primary() {
    let server = private_server().await;
    let socket = server.socket_dir().join(".s.PGSQL.5432");
    let proxy = DatabaseProxy::start(socket).await;
    let user: PgConnectOptions = server.maintenance_url().parse().unwrap();
    let url = proxy.url(user.get_username(), "outage");
    let Some(platform) = Platform::start_at(url, Clock::system()).await else { return };
    platform.fleet(3, 0).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    platform.until(&run, "patching", |run| run["host_states"].to_string().contains("\"patching\"")).await;
    let held = json!({ "state": "off", "owner": "olivia" });
    let mut direct = PgConnection::connect(&server.maintenance_url()).await.unwrap();
    for away in [Away::Behind(Leads::Nowhere), Away::Behind(Leads::ToErrorPage), Away::ReadOnly] {
        match away {
            Away::Behind(leads) => proxy.lead(leads),
            Away::ReadOnly => set_read_only(&mut direct, true).await,
        }
        for _ in 0..6 {
            assert_away(platform.patch.post("/patch/runs", &json!({ "policy_id": "p" })).await);
            assert_away(platform.cmdb.put("/cmdb/cis/h-1/maintenance", &held).await);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        match away {
            Away::Behind(_) => proxy.lead(Leads::ToServer),
            Away::ReadOnly => set_read_only(&mut direct, false).await,
        }
        platform.until(&run, "readable again", |run| run["id"].is_string()).await;
    }
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    platform.assert_settled(&run).await;
    drop(platform);
}

async fn private_server() -> EphemeralPostgres {
    let server =
        tokio::task::spawn_blocking(|| EphemeralPostgres::start_listening(Listen::SocketOnly).unwrap())
            .await
            .unwrap();
    let mut connection = PgConnection::connect(&server.maintenance_url()).await.unwrap();
    sqlx::query("CREATE DATABASE outage").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    server
}

/// As in a primary that was demoted: present sessions and new ones can read only.
async fn set_read_only(server: &mut PgConnection, is_on: bool) {
    let set =
        if is_on { "SET default_transaction_read_only = on" } else { "RESET default_transaction_read_only" };
    sqlx::query(AssertSqlSafe(format!("ALTER SYSTEM {set}"))).execute(&mut *server).await.unwrap();
    sqlx::query("SELECT pg_reload_conf()").execute(server).await.unwrap();
    // Sessions read the new configuration when they are idle.
    tokio::time::sleep(Duration::from_millis(300)).await;
}

#[track_caller]
fn assert_away(answer: Answer) {
    let retry_after = answer.headers.get("retry-after").cloned();
    let problem = answer.expect_problem(503);
    assert_eq!(problem["type"], "/problems/database-unavailable", "{problem}");
    assert_eq!(retry_after.expect("a time to try again"), "2");
}
