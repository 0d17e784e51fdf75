//! Strategies compared for the fleet that would be patched, and what of it holds in the run.

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::platform::{Platform, platform};

async fn compare(platform: &Platform, more: Value) -> Value {
    let mut asked = json!({ "policy_id": "p", "runs": 200 });
    asked.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    platform.patch.post("/patch/plans/simulate", &asked).await.expect(200)
}

/// A simulation plans with what the last scan found.
pub async fn scan(platform: &Platform) {
    let started = platform.patch.post("/patch/compliance/scan", &json!({})).await.expect(202);
    let path = format!("/patch/compliance/scans/{}", started["id"].as_str().unwrap());
    for _ in 0..600 {
        let scan = platform.patch.get(&path).await.expect(200);
        if scan["finished_at"].is_string() {
            assert_eq!(scan["state"], "succeeded", "{scan:#}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the scan has not ended");
}

fn of<'a>(comparison: &'a Value, list: &str, strategy: &str) -> &'a Value {
    comparison[list].as_array().unwrap().iter().find(|outcome| outcome["strategy"] == strategy).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn strategies_of_a_fleet_differ_and_show_their_harm() {
    let platform = platform!();
    platform.fleet(4, 2).await;
    scan(&platform).await;
    let compared = compare(&platform, json!({ "check_failures": 0 })).await;
    let (bigbang, rolling) = (of(&compared, "outcomes", "bigbang"), of(&compared, "outcomes", "rolling"));
    assert_eq!((&bigbang["waves"], &rolling["waves"]), (&json!(1), &json!(2)), "{compared:#}");
    assert_eq!(bigbang["max_hosts_down"], 4);
    assert!(bigbang["expected_service_down_seconds"].as_f64().unwrap() > 1.0, "{bigbang:#}");
    assert_eq!(rolling["expected_service_down_seconds"], 0.0);
    let codes: Vec<&Value> =
        bigbang["broken_rules"].as_array().unwrap().iter().map(|note| &note["code"]).collect();
    assert_eq!(codes, ["service-cannot-keep-min-up", "wave-larger-than-max-parallel"]);
    assert_eq!((&bigbang["pareto"], &rolling["broken_rules"]), (&json!(false), &Value::Null));
    // One service, whose hosts are alike.
    assert_eq!(rolling["same_plan_as"], "batch_rolling");
    assert_ne!(compared["recommended"], "bigbang");
    assert!(rolling["exposure_p95"].as_f64().unwrap() >= rolling["exposure_p50"].as_f64().unwrap());
    assert_eq!(compared["refused"][0]["strategy"], "bluegreen", "{compared:#}");
    // The proof is about the same plans.
    assert_eq!(of(&compared, "checks", "rolling")["verdict"], "safe", "{compared:#}");
    assert_eq!(of(&compared, "checks", "bigbang")["verdict"], "unsafe");
    let one_fails = compare(&platform, json!({ "check_failures": 1, "strategies": ["rolling"] })).await;
    let check = &one_fails["checks"][0];
    assert_eq!((&check["verdict"], &check["failures"]), (&json!("unsafe"), &json!(1)));
    assert!(
        check["explanation"].as_str().unwrap().contains("fails, then `svc-web` has 1 up and needs 2"),
        "{check}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bigbang_that_breaks_a_budget_is_not_run_and_one_that_keeps_them_is() {
    let platform = platform!();
    platform.fleet(3, 1).await;
    platform.policy(json!({ "strategy": "bigbang", "max_parallel": 3 })).await;
    let refused = platform.until_ended(&platform.run().await).await;
    assert_eq!(refused["hosts"]["succeeded"], 0, "{refused:#}");
    assert!(refused["reason"].as_str().unwrap().contains("service-cannot-keep-min-up"), "{refused:#}");
    platform.cmdb.patch("/cmdb/cis/svc-web", &json!({ "attributes": { "min_up": 0 } })).await.expect(200);
    let run = platform.run().await;
    platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(
        (&ended["state"], &ended["hosts"]["succeeded"]),
        (&json!("succeeded"), &json!(3)),
        "{ended:#}"
    );
    assert_eq!(ended["plan"]["waves"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn run_keeps_max_unavailable_and_shows_its_prediction_until_it_says_nothing() {
    let platform = platform!();
    platform.fleet(3, 0).await;
    platform.policy(json!({ "max_parallel": 3, "max_unavailable": "40%" })).await;
    let run = platform.run().await;
    platform.approve(&run).await;
    let ended = platform.until_ended(&run).await;
    assert_eq!(ended["state"], "succeeded", "{ended:#}");
    assert_eq!(ended["plan"]["services"]["svc-web"]["max_unavailable"], 1);
    assert_eq!(ended["plan"]["waves"].as_array().unwrap().len(), 3);
    let report = platform.patch.get(&format!("/patch/runs/{run}/report")).await.expect(200);
    assert_eq!(report["actual"]["max_hosts_down"], 1);
    assert_eq!(ended["prediction"], report["prediction"]);
    assert!(ended["prediction"]["exposure_p50"].as_f64().unwrap() > 0.0, "{ended:#}");
    assert_eq!(ended["prediction"]["max_hosts_down"], 1);

    // A replay of a service that is patched one by one in any case.
    let asked = json!({ "replay_of": run, "strategies": ["rolling", "batch_rolling"] });
    let replayed = platform.patch.post("/patch/plans/simulate", &asked).await.expect(200);
    assert_eq!(replayed["nothing_differs"], true, "{replayed:#}");
    assert!(replayed["why"].as_str().unwrap().starts_with("nothing differs"), "{replayed:#}");

    let ledger = async || platform.patch.get("/patch/predictions").await.expect(200);
    assert_eq!(ledger().await["items"][0]["run_id"].as_str(), Some(run.as_str()));
    // As if it had ended before it began with any host.
    let mut conn = PgConnection::connect(&platform.database_url).await.unwrap();
    let untouched = "UPDATE patch.run_hosts SET attempts = 0 WHERE run_id::text = $1";
    sqlx::query(untouched).bind(&run).execute(&mut conn).await.unwrap();
    let ledger = ledger().await;
    assert_eq!((&ledger["items"], &ledger["calibration"]), (&json!([]), &Value::Null), "{ledger:#}");
}
