//! A run event by event: played before it starts, and read from its records afterwards.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::platform::{Platform, platform};

fn events(trace: &Value) -> &Vec<Value> {
    trace["events"].as_array().unwrap()
}

/// The last state of each host, and the most hosts that were down at once.
fn course(trace: &Value) -> (BTreeMap<&str, &str>, u64) {
    let mut states = BTreeMap::new();
    for event in events(trace) {
        if let (Some(host), Some(state)) = (event["host"].as_str(), event["state"].as_str()) {
            states.insert(host, state);
        }
    }
    let down = events(trace).iter().map(|event| event["figures"]["down"].as_u64().unwrap()).max().unwrap();
    (states, down)
}

/// Whatever its source, a trace is in order, and its last event is its end.
fn assert_in_order(trace: &Value) {
    let times: Vec<f64> = events(trace).iter().map(|event| event["at_seconds"].as_f64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let last = events(trace).last().unwrap();
    assert_eq!((&last["kind"], &last["at_seconds"]), (&json!("ends"), &trace["seconds"]), "{last}");
    let hosts = trace["hosts"].as_array().unwrap().len() as u64;
    for event in events(trace) {
        let figures = event["figures"].as_object().unwrap();
        let states = ["pending", "working", "succeeded", "failed", "left_out"];
        assert_eq!(states.iter().map(|name| figures[*name].as_u64().unwrap()).sum::<u64>(), hosts, "{event}");
    }
}

async fn play(platform: &Platform, more: Value) -> Value {
    let mut asked = json!({ "policy_id": "p" });
    asked.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    platform.patch.post("/patch/plans/trace", &asked).await.expect(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_is_played_before_the_run_and_the_run_is_read_after_it() {
    let platform = platform!();
    platform.fleet(4, 2).await;
    platform.policy(json!({ "max_parallel": 2, "error_threshold": 3 })).await;
    let none =
        platform.patch.post("/patch/plans/trace", &json!({ "policy_id": "p" })).await.expect_problem(409);
    assert!(none["detail"].as_str().unwrap().contains("nothing to play"), "nothing is scanned yet: {none}");
    crate::comparison::scan(&platform).await;

    let played = play(&platform, json!({})).await;
    assert_in_order(&played);
    assert_eq!((&played["source"], &played["hosts"].as_array().unwrap().len()), (&json!("simulated"), &4));
    assert_eq!(played["services"], json!([{ "id": "svc-web", "members": 4, "min_up": 2, "up": 4 }]));
    let (states, down) = course(&played);
    assert!(states.len() == 4 && down == 2, "{states:?} {down}");
    let fewest = events(&played).iter().flat_map(|event| event["services"].as_array().into_iter().flatten());
    assert_eq!(fewest.map(|service| service["up"].as_u64().unwrap()).min(), Some(2));
    assert_eq!(events(&play(&platform, json!({ "play": 0 })).await), events(&played), "the same play");
    let others = [1, 2, 3].map(|number| json!({ "play": number }));
    let mut differ = false;
    for other in others {
        differ |= play(&platform, other).await["seconds"] != played["seconds"];
    }
    assert!(differ, "every play takes as long");
    let bigbang = play(&platform, json!({ "strategy": "bigbang" })).await;
    assert_eq!((course(&bigbang).1, &bigbang["strategy"]), (4, &json!("bigbang")));
    assert!(events(&bigbang).iter().any(|event| event["figures"]["services_below"] == 1));

    platform.sim.post("/sim/inject/patch-failure", &json!({ "vm_id": "h-3", "times": 9 })).await.expect(201);
    let run = platform.run().await;
    let open = platform.patch.get(&format!("/patch/runs/{run}/trace")).await.expect_problem(409);
    assert!(open["detail"].as_str().unwrap().contains("only a run that has ended"), "{open}");
    platform.approve(&run).await;
    platform.until_ended(&run).await;
    let recorded = platform.patch.get(&format!("/patch/runs/{run}/trace")).await.expect(200);
    assert_in_order(&recorded);
    assert_eq!(recorded["source"], "recorded");
    let (states, _) = course(&recorded);
    let hosts = platform.patch.get(&format!("/patch/runs/{run}/hosts")).await.expect(200);
    for host in hosts["items"].as_array().unwrap() {
        let id = host["ci_id"].as_str().unwrap();
        assert_eq!(states[id], host["state"].as_str().unwrap(), "{id}");
    }
    assert!(["rolled_back", "failed"].contains(&states["h-3"]), "{states:?}");
    let texts: Vec<&str> = events(&recorded).iter().map(|event| event["text"].as_str().unwrap()).collect();
    assert!(texts.contains(&"h-1: update begins"), "{texts:?}");
    assert!(texts.iter().any(|text| text.starts_with("h-3: update fails")), "{texts:?}");

    // A run and its change are found by a few characters.
    let found =
        platform.patch.get(&format!("/patch/search?text={}&kinds=run,change", &run[..13])).await.expect(200);
    assert_eq!(found["groups"][0]["items"][0]["id"], json!(run), "{found}");
    let change = platform.get(&run).await["change_id"].as_str().unwrap().to_owned();
    for text in [change.to_lowercase(), "patch".to_owned()] {
        let found = platform.patch.get(&format!("/patch/search?text={text}&kinds=change")).await.expect(200);
        let ids: Vec<&Value> =
            found["groups"][0]["items"].as_array().unwrap().iter().map(|hit| &hit["id"]).collect();
        assert!(ids.contains(&&json!(change)), "`{text}`: {found}");
    }
    let by_policy = platform.patch.get("/patch/search?text=p-nothing&kinds=run").await.expect(200);
    assert_eq!(by_policy["groups"][0]["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn customer_is_found_by_its_name() {
    let Some(platform) = crate::releases::platform().await else { return };
    crate::releases::customers(&platform, &[("acme-corp", "standard"), ("globex", "enterprise")], json!({}))
        .await;
    let found = platform.patch.get("/patch/search?text=Customer%20ac&kinds=customer").await.expect(200);
    let hits = found["groups"][0]["items"].as_array().unwrap();
    assert_eq!((hits.len(), &hits[0]["id"]), (1, &json!("acme-corp")), "{found}");
    assert_eq!(hits[0]["detail"], "standard customer, runs v1.0.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_settings_are_tried_out_without_changing_the_policy() {
    let platform = platform!();
    platform.fleet(4, 0).await;
    let window = json!({ "opens": "0 0 * * *", "duration_minutes": 1440, "time_zone": "UTC" });
    platform.policy(json!({ "max_parallel": 4, "window": window })).await;
    crate::comparison::scan(&platform).await;
    let simulate = async |more: Value| {
        let mut asked = json!({ "policy_id": "p", "runs": 50, "strategies": ["rolling"] });
        asked.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        platform.patch.post("/patch/plans/simulate", &asked).await
    };
    let usual = simulate(json!({})).await.expect(200);
    let one = simulate(json!({ "max_parallel": 1 })).await.expect(200);
    assert_eq!(
        (&one["outcomes"][0]["max_hosts_down"], &usual["outcomes"][0]["max_hosts_down"]),
        (&json!(1), &json!(4))
    );
    simulate(json!({ "window_minutes": 60 })).await.expect(200);
    let policy = platform.patch.get("/patch/policies/p").await.expect(200);
    assert_eq!((&policy["max_parallel"], &policy["window"]["duration_minutes"]), (&json!(4), &json!(1440)));
    for (wrong, pointer) in [
        (json!({ "max_parallel": 0 }), "/max_parallel"),
        (json!({ "window_minutes": 0 }), "/window_minutes"),
        (json!({ "window_minutes": 10_081 }), "/window_minutes"),
    ] {
        let problem = simulate(wrong).await.expect_problem(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}
