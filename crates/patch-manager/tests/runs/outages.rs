//! A dependency of the run is unavailable for twenty seconds; afterwards the run continues by itself.

use std::time::Duration;

use local_postgres::{EphemeralPostgres, Listen};
use service_kit::Clock;
use sqlx::{Connection, PgConnection};

use crate::platform::{Platform, platform};

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
    let server =
        tokio::task::spawn_blocking(|| EphemeralPostgres::start_listening(Listen::SocketOnly).unwrap())
            .await
            .unwrap();
    let mut connection = PgConnection::connect(&server.maintenance_url()).await.unwrap();
    sqlx::query("CREATE DATABASE outage").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
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
    let away = platform.patch.get("/patch/runs").await;
    assert_eq!(away.status, 503, "{}", away.text);
    assert_eq!(away.headers["content-type"], "application/problem+json");
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
