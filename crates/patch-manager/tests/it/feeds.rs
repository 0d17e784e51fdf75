use std::fs;

use reqwest::Method;
use serde_json::{Value, json};

use patch_manager::FeedSettings;

use crate::{
    fleet::{Age, import, inventory, seeds},
    platform::{Platform, eventually},
};

fn record(name: &str) -> Value {
    serde_json::from_slice(&fs::read(seeds().join(name)).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn new_advisory_lists_affected_cis_at_once() {
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
async fn known_exploitation_shortens_the_time_of_later_advisories_too() {
    let platform = Platform::start().await;
    // A critical fix keeps its 7 days; a low one gets 14.
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
async fn bad_record_does_not_affect_others() {
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
async fn withdrawn_or_moved_fixes_are_not_pending() {
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

    // The previous version is older and is not restored.
    let old = platform.import_file("DCOS-2026-0011.json").await;
    assert_eq!((&old["unchanged"], &old["cis_changed"]), (&json!(1), &json!(0)));

    // A later version names only another package.
    let mut moved = record("DCOS-2026-0011.json");
    moved["modified"] = "2026-03-31T00:00:00Z".into();
    let text = moved.to_string().replace("\"name\":\"sudo\"", "\"name\":\"sudo-ldap\"");
    import(&platform.operator, text.into_bytes()).await;
    assert_eq!(platform.compliance_of("web-1").await["pending_patches"], json!([]));
    platform.expect_exact_rollups().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exploit_predictions_are_shown_with_the_advisory() {
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
async fn other_files_are_refused() {
    let platform = Platform::start().await;
    for (body, status) in [
        (&b""[..], 400),
        (b"  \n", 400),
        (b"<updates>", 422),
        (b"{\"document\":{}}", 200),
        (b"<html>", 422),
        (b"\x1f\x8bnonsense", 422),
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
    let headers = [("content-encoding", "br")];
    let encoded =
        platform.operator.send(Method::POST, "/patch/advisories/import", &headers, Some(b"x".to_vec()));
    encoded.await.expect_problem(415);
}

/// Waits until an import has ended, and returns it.
async fn ended(platform: &Platform, id: &str) -> Value {
    let mut import = Value::Null;
    eventually("the import ends", async || {
        import = platform.operator.get(&format!("/patch/advisories/imports/{id}")).await.expect(200);
        import["status"] != "running"
    })
    .await;
    import
}

#[tokio::test(flavor = "multi_thread")]
async fn import_continues_in_the_background() {
    let platform = Platform::start().await;
    let feed = record("DCOS-2026-0010.json").to_string().into_bytes();
    let path = "/patch/advisories/import?wait_seconds=0";
    let answer = platform.operator.send(Method::POST, path, &[], Some(feed)).await;
    let location = answer.headers["location"].to_str().unwrap().to_owned();
    let started = answer.expect(202);
    assert_eq!((&started["status"], &started["report"]["format"]), (&json!("running"), &json!("osv")));
    assert_eq!(location, format!("/patch/advisories/imports/{}", started["id"].as_str().unwrap()));
    let import = ended(&platform, started["id"].as_str().unwrap()).await;
    assert_eq!((&import["status"], &import["report"]["new"]), (&json!("succeeded"), &json!(1)));
    assert_eq!(import["bytes_read"], import["bytes_total"]);
    let list = platform.operator.get("/patch/advisories/imports?limit=1").await.expect(200);
    assert_eq!(list["items"][0]["id"], started["id"]);

    let broken = platform
        .operator
        .send(Method::POST, path, &[], Some(b"PK\x03\x04 no archive".to_vec()))
        .await
        .expect(202);
    let import = ended(&platform, broken["id"].as_str().unwrap()).await;
    assert_eq!(import["status"], "failed");
    assert!(import["problem"].as_str().unwrap().contains("cannot read the archive"), "{import}");
    platform
        .operator
        .get("/patch/advisories/imports/018f0000-0000-7000-8000-000000000000")
        .await
        .expect_problem(404);
    platform
        .operator
        .send(Method::POST, "/patch/advisories/import?wait_seconds=21", &[], None)
        .await
        .expect_problem(422);
}

const XML: &str = r#"<?xml version="1.0" encoding="UTF-8"?><updates><update status="final" type="security">
    <id>RLSA-2026:9001</id><title>Important: sudo security update</title><severity>Important</severity>
    <issued date="2026-03-20 00:00:00"/><release>Rocky Linux 9</release>
    <references><reference href="https://vendor.example/x" id="CVE-2026-90055" type="cve"/></references>
    <pkglist><collection short="baseos"><package name="PACKAGE" epoch="0" version="99" release="1.el9" arch="x86_64"/></collection></pkglist>
    </update></updates>"#;

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_notice_are_merged() {
    let platform = Platform::start().await;
    for package in ["sudo", "sudo-logsrvd"] {
        let report = import(&platform.operator, XML.replace("PACKAGE", package).into_bytes()).await;
        assert_eq!((&report["format"], &report["read"]), (&json!("updateinfo"), &json!(1)));
    }
    let detail = platform.operator.get("/patch/advisories/RLSA-2026:9001").await.expect(200);
    let names: Vec<&str> = detail["advisories"][0]["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["package"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["sudo", "sudo-logsrvd"]);
    let again = import(&platform.operator, XML.replace("PACKAGE", "sudo").into_bytes()).await;
    assert_eq!((&again["unchanged"], &again["changed"]), (&json!(1), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_on_cves_are_shown_and_never_matched() {
    let platform = Platform::start().await;
    platform.import_seeds().await;
    let page = r#"{"resultsPerPage":2,"format":"NVD_CVE","vulnerabilities":[
        {"cve":{"id":"CVE-2026-90011","published":"2026-01-13T09:00:00.000","descriptions":[{"lang":"en","value":"A hole in sudo."}],
         "metrics":{"cvssMetricV31":[{"type":"Primary","cvssData":{"vectorString":"CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H"}}]}}},
        {"cve":{"id":"nonsense","published":"2026-01-13T09:00:00.000"}}]}"#;
    let report = import(&platform.operator, page.as_bytes().to_vec()).await;
    assert_eq!((&report["format"], &report["new"]), (&json!("nvd"), &json!(1)));
    assert_eq!(report["refused"].as_array().unwrap().len(), 1);
    let detail = platform.operator.get("/patch/advisories/CVE-2026-90011").await.expect(200);
    assert_eq!(
        (&detail["notes"][0]["score"], &detail["notes"][0]["description"]),
        (&json!(7.8), &json!("A hole in sudo."))
    );
    assert_eq!(import(&platform.operator, page.as_bytes().to_vec()).await["unchanged"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawal_without_dates_ends_a_notice_once() {
    let platform = Platform::start().await;
    let document = r#"{"document":{"category":"csaf_vex","csaf_version":"2.0","title":"x","publisher":{"name":"Red Hat Product Security"},
        "tracking":{"id":"CVE-2026-90066","status":"final","initial_release_date":"2026-01-01T00:00:00Z","current_release_date":"2026-01-01T00:00:00Z"}}}"#;
    assert_eq!(import(&platform.operator, document.as_bytes().to_vec()).await["new"], 1);
    let deleted = br#"{"document":{"tracking":{"id":"CVE-2026-90066","status":"deleted"}}}"#.to_vec();
    let report = import(&platform.operator, deleted.clone()).await;
    assert_eq!((&report["changed"], &report["withdrawn"]), (&json!(1), &json!(1)));
    platform.advance(24);
    assert_eq!(import(&platform.operator, deleted).await["unchanged"], 1);
    assert_eq!(import(&platform.operator, document.as_bytes().to_vec()).await["unchanged"], 1);
    let detail = platform.operator.get("/patch/advisories/REDHAT-CVE-2026-90066").await.expect(200);
    assert!(detail["advisories"][0]["withdrawn"].is_string(), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn watched_folder_is_imported() {
    let folder = tempfile::tempdir().unwrap();
    let feeds = FeedSettings { feeds_dir: Some(folder.path().to_owned()), ..FeedSettings::default() };
    let platform = Platform::start_with_feeds(feeds).await;
    let file = folder.path().join("sudo.xml");
    fs::write(folder.path().join("notes.txt"), "no feed").unwrap();
    fs::write(&file, XML.replace("PACKAGE", "sudo")).unwrap();
    let imports =
        async || platform.operator.get("/patch/advisories/imports").await.expect(200)["items"].clone();
    eventually("the file is imported", async || imports().await[0]["status"] == "succeeded").await;
    let first = imports().await;
    assert_eq!((&first[0]["report"]["new"], first.as_array().unwrap().len()), (&json!(1), 1));
    assert_eq!(first[0]["origin"], file.display().to_string());

    fs::write(&file, XML.replace("PACKAGE", "sudo-again")).unwrap();
    eventually("the changed file is imported", async || imports().await[0]["report"]["changed"] == 1).await;
    assert_eq!(imports().await.as_array().unwrap().len(), 2);
}
