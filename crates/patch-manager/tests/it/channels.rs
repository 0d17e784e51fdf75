//! Lines of a host beyond its release: channels, repositories that serve several distributions, publishers, sources.

use serde_json::{Value, json};

use crate::{fleet::import, platform::Platform};

/// An OSV record of one source or package.
fn notice(id: &str, ecosystem: &str, package: &str, fixed: &str, published: &str) -> Value {
    json!({
        "id": id, "modified": published, "published": published, "summary": "security update",
        "affected": [{ "package": { "ecosystem": ecosystem, "name": package },
            "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": fixed }] }] }],
    })
}

async fn import_notice(platform: &Platform, notice: &Value) -> Value {
    import(&platform.operator, format!("{notice}\n").into_bytes()).await
}

fn host(ci: &str, os: &str, packages: &[(&str, &str)]) -> Value {
    let packages: Vec<Value> =
        packages.iter().map(|(name, version)| json!({ "name": name, "version": version })).collect();
    json!({ "ci_id": ci, "os": os, "packages": packages })
}

/// Status and cause of a host.
async fn status(platform: &Platform, ci: &str) -> (Value, Value) {
    let mut found = platform.compliance_of(ci).await;
    (found["compliance_status"].take(), found["unknown_cause"].take())
}

#[tokio::test(flavor = "multi_thread")]
async fn channel_adds_its_notices_and_its_support() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    import_notice(
        &platform,
        &notice("USN-9-1", "Ubuntu:20.04:LTS", "curl", "7.68-2", "2025-05-01T00:00:00Z"),
    )
    .await;
    let fixed = [("curl", "7.68-2"), ("openssl", "1.1.1f-1")];
    platform.push(&host("web-1", "ubuntu:20.04", &fixed)).await;
    let mut subscribed = host("web-2", "ubuntu:20.04", &fixed);
    subscribed["channels"] = json!(["esm-infra"]);
    platform.push(&subscribed).await;
    assert_eq!(status(&platform, "web-1").await, (json!("unknown"), json!("out_of_support")));
    assert_eq!(
        status(&platform, "web-2").await,
        (json!("unknown"), json!("not_covered")),
        "no feed of the channel"
    );

    // The packages are those of the base release; the notice arrives after them.
    import_notice(
        &platform,
        &notice("USN-9-2", "Ubuntu:Pro:20.04:LTS", "openssl", "1.1.1f-1+esm2", "2026-03-01T00:00:00Z"),
    )
    .await;
    assert_eq!(status(&platform, "web-1").await, (json!("unknown"), json!("out_of_support")));
    assert_eq!(status(&platform, "web-2").await, (json!("non_compliant"), json!(null)));

    // Its build proves the channel, and the channel has the fixes after the end of support.
    platform.push(&host("web-2", "ubuntu:20.04", &[("curl", "7.68-2"), ("openssl", "1.1.1f-1+esm2")])).await;
    assert_eq!(status(&platform, "web-2").await, (json!("compliant"), json!(null)));
    assert_eq!(platform.compliance_of("web-2").await["current_patch_level"], "2026-04");

    let mut wrong = host("web-1", "ubuntu:20.04", &fixed);
    wrong["channels"] = json!(["fips", "rhel-eus:9.2"]);
    let problem = platform.operator.post("/patch/inventory", &wrong).await.expect_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/channels/1");
    wrong["channels"] = json!([]);
    wrong["enabled_modules"] = json!(["nodejs"]);
    let problem = platform.operator.post("/patch/inventory", &wrong).await.expect_problem(422);
    assert_eq!(problem["errors"][0]["pointer"], "/enabled_modules/0");
    platform.expect_exact_rollups().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_of_a_host_show_its_channel() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    for (id, ecosystem) in [
        ("RHSA-2026:9001", "Red Hat:enterprise_linux:9::baseos"),
        ("RHSA-2026:9002", "Red Hat:rhel_eus:9.2::baseos"),
    ] {
        let fixed = if id.ends_with('1') { ("curl", "9-1.el9") } else { ("tool", "2-1.el9_2") };
        import_notice(&platform, &notice(id, ecosystem, fixed.0, fixed.1, "2026-03-01T00:00:00Z")).await;
    }
    let mut pushed = host("web-1", "rhel:9", &[("tool", "1-1.el9_2")]);
    platform.push(&pushed).await;
    assert_eq!(status(&platform, "web-1").await.0, "compliant");
    pushed["repository_urls"] = json!(["https://cdn.redhat.com/content/eus/rhel9/9.2/x86_64/baseos/os"]);
    platform.push(&pushed).await;
    assert_eq!(status(&platform, "web-1").await.0, "non_compliant");
}

#[tokio::test(flavor = "multi_thread")]
async fn repository_of_several_distributions_is_matched_and_covers_none_of_them() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    platform.push(&host("web-1", "rocky9", &[("htop", "3.2.1-1.el9")])).await;
    import_notice(
        &platform,
        &notice("FEDORA-EPEL-2026-99", "EPEL:9", "htop", "3.3.0-1.el9", "2026-03-02T00:00:00Z"),
    )
    .await;
    assert_eq!(status(&platform, "web-1").await, (json!("non_compliant"), json!(null)));
    platform.push(&host("web-1", "rocky9", &[("htop", "3.3.0-1.el9")])).await;
    assert_eq!(
        status(&platform, "web-1").await,
        (json!("unknown"), json!("not_covered")),
        "of Rocky nothing is known"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn notice_is_not_replaced_by_another_publishers() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    let update = |from: &str, version: &str| {
        format!(
            r#"<?xml version="1.0"?><updates><update from="{from}" status="final" type="security" version="1"><id>2026-17</id><title>t</title>
            <issued date="2026-02-03"/><pkglist><collection><package name="agent" version="{version}" release="1.el9" epoch="0" arch="x86_64"/>
            </collection></pkglist></update></updates>"#
        )
        .into_bytes()
    };
    let report = import(&platform.operator, update("errata@one.example", "2")).await;
    assert_eq!((&report["new"], &report["refused"]), (&json!(1), &json!([])));
    let report = import(&platform.operator, update("errata@two.example", "1")).await;
    assert_eq!((&report["new"], &report["changed"], &report["read"]), (&json!(0), &json!(0), &json!(1)));
    let reason = report["refused"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("`one.example`") && reason.contains("`two.example`"), "{reason}");
    let report = import(&platform.operator, update("errata@one.example", "3")).await;
    assert_eq!(report["changed"], 1, "the publisher itself reissues it: {report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn debian_host_whose_packages_do_not_name_their_sources_is_never_compliant() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    import_notice(&platform, &notice("DSA-9-1", "Debian:12", "openssl", "3.0.15-1", "2026-03-02T00:00:00Z"))
        .await;
    let mut pushed = host("db-1", "debian12", &[("libssl3", "3.0.11-1"), ("bash", "5.2-1")]);
    platform.push(&pushed).await;
    assert_eq!(status(&platform, "db-1").await, (json!("unknown"), json!("partly_read")));
    pushed["packages"][0]["source"] = "openssl".into();
    platform.push(&pushed).await;
    assert_eq!(status(&platform, "db-1").await.0, "non_compliant");
}
