use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use service_kit::Clock;

use crate::platform::{Platform, column, today};

fn on(owner: &str, until: DateTime<Utc>) -> Value {
    json!({"state": "on", "owner": owner, "reason": "patching", "expires_at": until})
}

const PATH: &str = "/cmdb/cis/web-01/maintenance";

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_belongs_to_its_owner() {
    let platform = Platform::start().await;
    let operator = &platform.operator;
    platform.ci("web-01", "host", json!({})).await;
    let soon = today() + TimeDelta::hours(1);
    let off = |owner: &str| json!({"state": "off", "owner": owner});
    operator.put(PATH, &off("run:1")).await.expect(200);

    let ci = operator.put(PATH, &on("run:1", soon)).await.expect(200);
    assert_eq!(ci["maintenance"]["owner"], "run:1");
    let since = ci["maintenance"]["since"].clone();
    operator.put(PATH, &on("run:2", soon)).await.expect_problem(409);
    operator.put(PATH, &off("run:2")).await.expect_problem(409);
    operator.delete("/cmdb/cis/web-01").await.expect_problem(409);
    let extended = operator.put(PATH, &on("run:1", soon + TimeDelta::hours(1))).await.expect(200);
    assert_eq!(extended["maintenance"]["since"], since);
    assert_eq!(operator.put(PATH, &off("run:1")).await.expect(200)["maintenance"], Value::Null);

    operator.put(PATH, &on("run:3", soon)).await.expect(200);
    let admin = platform.service.admin().await;
    assert_eq!(admin.put(PATH, &off("ada")).await.expect(200)["maintenance"], Value::Null);
    let history = operator.get("/cmdb/cis/web-01/history").await.expect(200);
    let kinds = [
        "end_maintenance",
        "begin_maintenance",
        "end_maintenance",
        "begin_maintenance",
        "begin_maintenance",
        "create_ci",
    ];
    assert_eq!(column(&history, "action"), kinds);
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_needs_an_owner_a_reason_and_a_near_end() {
    let platform = Platform::start().await;
    platform.ci("web-01", "host", json!({})).await;
    let soon = today() + TimeDelta::hours(1);
    for (body, pointer) in [
        (on("", soon), "/owner"),
        (on("run:1", today() - TimeDelta::seconds(1)), "/expires_at"),
        (on("run:1", today() + TimeDelta::days(8)), "/expires_at"),
        (json!({"state": "on", "owner": "run:1", "reason": " ", "expires_at": soon}), "/reason"),
        (json!({"state": "on", "owner": "run:1", "reason": "r"}), "/duration_seconds"),
        (
            json!({"state": "on", "owner": "run:1", "reason": "r", "duration_seconds": 604_801}),
            "/duration_seconds",
        ),
        (
            json!({"state": "on", "owner": "run:1", "reason": "r", "duration_seconds": 60, "expires_at": soon}),
            "/expires_at",
        ),
    ] {
        let problem = platform.operator.put(PATH, &body).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    for body in [
        json!({"state": "perhaps"}),
        json!({"state": "off"}),
        json!({"state": "off", "owner": "a", "x": 1}),
        json!({}),
    ] {
        platform.operator.put(PATH, &body).await.expect_problem(422);
    }
    platform.operator.put("/cmdb/cis/none/maintenance", &on("run:1", soon)).await.expect_problem(404);
    platform.operator.delete("/cmdb/cis/web-01").await.expect(204);
    platform.operator.put(PATH, &on("run:1", soon)).await.expect_problem(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn duration_of_maintenance_is_counted_by_the_clock_of_the_cmdb() {
    let clock = Clock::fixed(today() + TimeDelta::days(20));
    let platform = Platform::start_with("http://127.0.0.1:9", clock.clone()).await;
    platform.ci("web-01", "host", json!({})).await;
    let held = json!({"state": "on", "owner": "run:1", "reason": "patching", "duration_seconds": 600});
    let ci = platform.operator.put(PATH, &held).await.expect(200);
    let ends: DateTime<Utc> = ci["maintenance"]["expires_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(ends, clock.now() + TimeDelta::minutes(10));
    clock.advance(TimeDelta::minutes(9));
    let again = platform.operator.put(PATH, &held).await.expect(200);
    let moved: DateTime<Utc> = again["maintenance"]["expires_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(moved, ends + TimeDelta::minutes(9));
    // The caller's present is the CMDB's past.
    let problem =
        platform.operator.put(PATH, &on("run:1", today() + TimeDelta::hours(1))).await.expect_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/expires_at");
    clock.advance(TimeDelta::minutes(11));
    let read = platform.operator.get("/cmdb/cis/web-01").await.expect(200);
    assert_eq!(read["maintenance"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_ends_by_itself_and_on_the_record() {
    let clock = Clock::fixed(today());
    let platform = Platform::start_with("http://127.0.0.1:9", clock.clone()).await;
    platform.ci("web-01", "host", json!({})).await;
    platform.operator.put(PATH, &on("run:1", clock.now() + TimeDelta::minutes(5))).await.expect(200);
    clock.advance(TimeDelta::minutes(6));
    // Off at once for readers, before housekeeping has run.
    let read = platform.operator.get("/cmdb/cis/web-01").await.expect(200);
    assert_eq!(read["maintenance"], Value::Null);
    let listed = platform.operator.get("/cmdb/cis").await.expect(200);
    assert_eq!(listed["items"][0]["maintenance"], Value::Null);
    // Housekeeping records it in the history without a request.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let history = platform.operator.get("/cmdb/cis/web-01/history").await.expect(200);
        if history["items"][0]["action"] == "expire_maintenance" {
            assert_eq!(history["items"][0]["before"]["owner"], "run:1");
            assert_eq!(history["items"][0]["who"], "service:cmdb");
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the expiry was not recorded: {history}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Another owner takes it without waiting for anybody.
    platform.operator.put(PATH, &on("run:2", clock.now() + TimeDelta::minutes(5))).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_ask_at_once_one_gets_it() {
    let platform = Platform::start().await;
    platform.ci("web-01", "host", json!({})).await;
    let soon = today() + TimeDelta::hours(1);
    let asked: Vec<_> = (0..12)
        .map(|n| {
            let operator = platform.operator.clone();
            tokio::spawn(
                async move { operator.put(PATH, &on(&format!("run:{n}"), soon)).await.status.as_u16() },
            )
        })
        .collect();
    let mut got = 0;
    for answer in asked {
        match answer.await.unwrap() {
            200 => got += 1,
            other => assert_eq!(other, 409),
        }
    }
    assert_eq!(got, 1);
    let history = platform.operator.get("/cmdb/cis/web-01/history").await.expect(200);
    assert_eq!(column(&history, "action"), ["begin_maintenance", "create_ci"]);
}
