//! Answers of the running service, compared with the schemas of its own contract.

use serde_json::{Value, json};

use crate::platform::Platform;
use crate::releases::{customers, platform, release};

/// The check of the contracts' examples; it knows the keywords that the contracts use.
#[path = "../../../xtask/src/contracts/value.rs"]
mod value;

/// Asserts that an answer is valid for its operation, and that its schema defines every field of it.
async fn assert_valid(platform: &Platform, contract: &Value, path: &str, template: &str) {
    let answer = platform.patch.get(path).await.expect(200);
    let schema =
        &contract["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
    assert!(schema.is_object(), "the contract has no schema for {template}");
    assert_eq!(value::mismatch(&answer, schema, contract), None, "{path}: {answer:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_customers_and_releases_match_the_contract() {
    let Some(platform) = platform().await else { return };
    let contract = platform.patch.get("/openapi.json").await.expect(200);
    let more = json!({ "time_zone": "Europe/Berlin", "tags": { "region": "eu" }, "pinned_to": "v2.0.0",
        "windows": [{ "opens": "0 2 * * 6", "duration_minutes": 120 },
            { "opens": { "days": ["sat"], "at": "02:00" }, "duration_minutes": 60 }],
        "baseline": { "error_rate_percent": 0.5 } });
    customers(&platform, &[("demo-1", "demo"), ("tiny", "startup")], more).await;
    release(&platform, "v1.0.1", "security").await;
    for (path, template) in [
        ("/patch/customers", "/patch/customers"),
        ("/patch/customers/tiny", "/patch/customers/{slug}"),
        ("/patch/customers/tiny/health", "/patch/customers/{slug}/health"),
        ("/patch/deployments", "/patch/deployments"),
        ("/patch/release-policies", "/patch/release-policies"),
        ("/patch/releases", "/patch/releases"),
        ("/patch/releases/v1.0.1", "/patch/releases/{version}"),
        ("/patch/releases/v1.0.1/status", "/patch/releases/{version}/status"),
        ("/patch/release-metrics", "/patch/release-metrics"),
    ] {
        assert_valid(&platform, &contract, path, template).await;
    }
}
