//! What gets in a change's way.

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::lab::{Lab, with};

#[tokio::test(flavor = "multi_thread")]
async fn every_open_change_on_a_shared_ci_in_the_span_is_reported() {
    let lab = Lab::start().await;
    let now = lab.now();
    let change = |cis: Value, from: i64, to: i64| {
        let (start, end) = (now + TimeDelta::hours(from), now + TimeDelta::hours(to));
        with(lab.normal(), &[("ci_ids", cis), ("start_at", json!(start)), ("end_at", json!(end))])
    };
    let path = lab.draft(&change(json!(["web-01", "web-02", "db-01"]), 10, 20)).await;
    let none = lab.operator.get(&format!("{path}/conflicts")).await.expect(200);
    assert_eq!(none["conflicts"], json!([]));

    let overlapping = lab.submitted(&change(json!(["web-02", "web-01", "cache-01"]), 5, 11)).await;
    let inside = lab.draft(&change(json!(["db-01"]), 12, 13)).await;
    lab.draft(&change(json!(["web-01"]), 1, 10)).await; // touches
    lab.draft(&change(json!(["web-01"]), 20, 22)).await; // touches
    lab.draft(&change(json!(["cache-01"]), 10, 20)).await; // another CI
    let over = lab.draft(&change(json!(["web-01"]), 12, 13)).await;
    lab.operator.post(&format!("{over}/cancel"), &json!({})).await.expect(200);

    let found = lab.operator.get(&format!("{path}/conflicts")).await.expect(200);
    let found: Vec<_> = found["conflicts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["kind"].clone(), c["with"].clone(), c["state"].clone(), c["ci_ids"].clone()))
        .collect();
    let id = |path: &str| json!(path.rsplit('/').next().unwrap());
    assert_eq!(
        found,
        [
            (json!("change"), id(&overlapping), json!("pending_approval"), json!(["web-01", "web-02"])),
            (json!("change"), id(&inside), json!("draft"), json!(["db-01"])),
        ]
    );
    lab.operator.get("/itsm/changes/CHG9999999/conflicts").await.expect_problem(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_are_not_cut_off() {
    let lab = Lab::start().await;
    let path = lab.draft(&lab.normal()).await;
    for _ in 0..130 {
        lab.draft(&lab.normal()).await;
    }
    let found = lab.operator.get(&format!("{path}/conflicts")).await.expect(200);
    assert_eq!(found["conflicts"].as_array().unwrap().len(), 130);
}
