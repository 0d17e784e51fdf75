use std::fs;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    fleet::{Age, import, inventory, seeds},
    platform::Platform,
};

fn record(name: &str) -> Value {
    serde_json::from_slice(&fs::read(seeds().join(name)).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_advisory_that_arrives_tells_at_once_who_is_affected() {
    let platform = Platform::start().await;
    platform.import_seeds().await;
    platform.add_fleet().await;
    platform.push(&inventory("web-1", "rocky9", &["openssl", "nginx"], Age::Base)).await;
    platform.push(&inventory("db-1", "debian12", &["libssl3"], Age::Base)).await;
    platform.push(&inventory("web-2", "rocky9", &["nginx"], Age::Base)).await;

    let report = platform.import_file("incoming/DCOS-2026-0100.json").await;
    assert_eq!(
        (&report["format"], &report["read"], &report["new"], &report["cis_changed"]),
        (&json!("osv"), &json!(1), &json!(1), &json!(2)),
        "two of three hosts have openssl"
    );
    let again = platform.import_file("incoming/DCOS-2026-0100.json").await;
    assert_eq!((&again["unchanged"], &again["cis_changed"]), (&json!(1), &json!(0)));
    let due = |detail: &Value| detail["affected"][0]["due"].as_str().unwrap()[..10].to_owned();
    let detail = platform.operator.get("/patch/advisories/CVE-2026-90100").await.expect(200);
    assert_eq!(
        (&detail["affected_total"], due(&detail).as_str()),
        (&json!(2), "2026-03-17"),
        "critical: 7 days"
    );

    let kev = platform.import_file("incoming/known-exploited.json").await;
    assert_eq!(
        (&kev["format"], &kev["new"], &kev["cis_changed"]),
        (&json!("kev-json"), &json!(1), &json!(2))
    );
    assert_eq!(platform.import_file("incoming/known-exploited.json").await["unchanged"], 1);
    let web = platform.compliance_of("web-1").await;
    let ssl = web["pending_patches"]
        .as_array()
        .unwrap()
        .iter()
        .find(|p| p["advisory_id"] == "DCOS-2026-0100")
        .unwrap();
    assert_eq!(ssl["exploited"], true);
    platform.expect_exact_rollups().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn known_exploitation_shortens_the_time_and_holds_for_advisories_that_come_later() {
    let platform = Platform::start().await;
    // The sudo hole is critical and stays at its 7 days; a low one would get 14.
    let mut low = record("DCOS-2025-0007.json");
    let cve = low["upstream"][0].as_str().unwrap().to_owned();
    let catalogue = format!(
        "cveID,vendorProject,product,vulnerabilityName,dateAdded,dueDate,knownRansomwareCampaignUse\n{cve},redis,redis,x,2026-01-01,2026-01-15,Known\n"
    );
    let report = import(&platform.operator, catalogue.into_bytes()).await;
    assert_eq!((&report["format"], &report["new"]), (&json!("kev-csv"), &json!(1)));
    low["modified"] = "2026-01-01T00:00:00Z".into();
    import(&platform.operator, low.to_string().into_bytes()).await;
    platform.add_fleet().await;
    platform.push(&inventory("web-1", "rocky9", &["redis"], Age::Base)).await;
    let web = platform.compliance_of("web-1").await;
    let patch = &web["pending_patches"][0];
    assert_eq!((&patch["exploited"], &patch["severity"]), (&json!(true), &json!("low")));
    assert!(patch["due"].as_str().unwrap().starts_with("2025-12-25"), "14 days from 2025-12-11: {patch}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_record_loses_no_other() {
    let platform = Platform::start().await;
    let good = record("DCOS-2025-0001.json");
    let mut dateless = record("DCOS-2025-0002.json");
    dateless["modified"] = "yesterday".into();
    let body = format!("{good}\n{{\"id\": \n{dateless}\n{}\n", record("DCOS-2025-0004.json"));
    let report = import(&platform.operator, body.into_bytes()).await;
    assert_eq!((&report["read"], &report["new"]), (&json!(4), &json!(2)), "{report}");
    assert_eq!(report["refused"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_withdrawn_or_moved_is_pending_no_more() {
    let platform = Platform::start().await;
    platform.import_seeds().await;
    platform.add_fleet().await;
    platform.push(&inventory("web-1", "rocky9", &["sudo"], Age::Base)).await;
    assert_eq!(platform.compliance_of("web-1").await["compliance_status"], "non_compliant");

    let mut withdrawn = record("DCOS-2026-0011.json");
    withdrawn["modified"] = "2026-03-30T00:00:00Z".into();
    withdrawn["withdrawn"] = "2026-03-30T00:00:00Z".into();
    let report = import(&platform.operator, withdrawn.to_string().into_bytes()).await;
    assert_eq!(
        (&report["changed"], &report["withdrawn"], &report["cis_changed"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(platform.compliance_of("web-1").await["compliance_status"], "compliant");
    platform.expect_exact_rollups().await;

    // The edition from before is older and does not come back.
    let old = platform.import_file("DCOS-2026-0011.json").await;
    assert_eq!((&old["unchanged"], &old["cis_changed"]), (&json!(1), &json!(0)));

    // A later edition speaks of another package alone.
    let mut moved = record("DCOS-2026-0011.json");
    moved["modified"] = "2026-03-31T00:00:00Z".into();
    let text = moved.to_string().replace("\"name\":\"sudo\"", "\"name\":\"sudo-ldap\"");
    import(&platform.operator, text.into_bytes()).await;
    assert_eq!(platform.compliance_of("web-1").await["pending_patches"], json!([]));
    platform.expect_exact_rollups().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exploit_predictions_are_told_with_the_advisory() {
    let platform = Platform::start().await;
    platform.import_seeds().await;
    let scores = "#model_version:v2025.03.14,score_date:2026-03-31\ncve,epss,percentile\nCVE-2026-90011,0.9312,0.99\nnonsense,1,1\nCVE-2026-90010,0.01,0.5\n";
    let report = import(&platform.operator, scores.as_bytes().to_vec()).await;
    assert_eq!(
        (&report["format"], &report["new"], report["refused"].as_array().unwrap().len()),
        (&json!("epss-csv"), &json!(2), 1)
    );
    let detail = platform.operator.get("/patch/advisories/DCOS-2026-0011").await.expect(200);
    assert_eq!(detail["advisories"][0]["exploit_probability"], 0.9312);
    assert_eq!(
        platform.operator.get("/patch/advisories/DCOS-2026-0012").await.expect(200)["advisories"][0]
            .get("exploit_probability"),
        None
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_feed_is_refused() {
    let platform = Platform::start().await;
    for (body, status) in [
        (&b""[..], 400),
        (b"  \n", 400),
        (b"<updates>", 422),
        (b"{\"document\":{}}", 422),
        (b"PK\x03\x04 but no archive", 422),
        (b"{\"catalogVersion\": 1}", 422),
        (b"cve,epss\n", 200),
    ] {
        let answer =
            platform.operator.send(Method::POST, "/patch/advisories/import", &[], Some(body.to_vec())).await;
        assert_eq!(answer.status.as_u16(), status, "{}: {}", String::from_utf8_lossy(body), answer.text);
    }
    let large = vec![b'x'; (64 << 20) + 1];
    platform
        .operator
        .send(Method::POST, "/patch/advisories/import", &[], Some(large))
        .await
        .expect_problem(413);
}
