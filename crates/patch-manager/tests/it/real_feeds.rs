//! A vendor's whole feed and a real host's packages: the service finds the same as the pure matching.

use std::{collections::BTreeSet, fs, io::Cursor, ops::ControlFlow};

use advisories::{
    Advisory, HostFacts, Index, Inventory,
    feed::{Limits, osv::read_archive},
    inventory::read_tsv,
    match_host,
    matching::match_running_kernel,
};
use serde_json::{Value, json};
use test_support::shared_data;

use crate::{fleet::import, platform::Platform};

const KERNEL: &str = "5.14.0-70.13.1.el9_0.x86_64";

#[tokio::test(flavor = "multi_thread")]
async fn whole_feed_of_almalinux_matches_a_real_host_as_the_pure_matching_does() {
    let (Some(feed), Some(packages), Some(kev)) = (
        shared_data("advisories/osv/almalinux9-all.zip"),
        shared_data("inventories/alma_9.tsv"),
        shared_data("advisories/kev/known_exploited_vulnerabilities.json"),
    ) else {
        return;
    };
    let archive = fs::read(feed).unwrap();
    let read = read_tsv(Cursor::new(fs::read(packages).unwrap()), advisories::Packaging::Rpm).unwrap();
    let platform = Platform::start().await;
    platform.clock.advance(chrono::TimeDelta::days(60));
    platform.add_host("real-1", json!({ "env": "prod", "os": "alma9" })).await;
    let pushed: Vec<Value> = read
        .packages
        .iter()
        .map(|package| {
            json!({ "name": package.name, "version": package.version, "arch": package.arch, "source": package.source_name,
                "source_version": package.source_version, "module": package.module.as_ref().map(|m| format!("{m}:1:x")),
                "held": package.held, "candidate": package.candidate })
        })
        .collect();
    let host = json!({ "ci_id": "real-1", "os": "alma9", "running_kernel": KERNEL, "packages": pushed });
    platform.push(&host).await;

    let known = import(&platform.operator, fs::read(kev).unwrap()).await;
    assert!(known["new"].as_u64().unwrap() > 1000, "{known}");
    let report = import(&platform.operator, archive.clone()).await;
    assert_eq!(
        (&report["format"], &report["cis_changed"], &report["refused"]),
        (&json!("zip"), &json!(1), &json!([]))
    );

    let mut stored: Vec<Advisory> = Vec::new();
    let limits = Limits::default();
    read_archive(Cursor::new(&archive), &limits, &mut |record| {
        stored.extend(record.ok());
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(report["new"].as_u64().unwrap() as usize, stored.len());
    let index = Index::new(stored);
    let mut facts = HostFacts::new("alma9".parse().unwrap());
    facts.running_kernel = Some(KERNEL.to_owned());
    let inventory = Inventory { facts, packages: read.packages, unread: Vec::new() };
    let mut matches = match_host(&index, &inventory);
    matches.extend(match_running_kernel(&index, &inventory));
    let expected: BTreeSet<(String, String, String)> = matches
        .iter()
        .map(|m| (m.advisory.id.clone(), m.package_name().to_owned(), m.fixed().to_owned()))
        .collect();

    let compliance = platform.compliance_of("real-1").await;
    let text = |patch: &Value, field: &str| patch[field].as_str().unwrap().to_owned();
    let pending = compliance["pending_patches"].as_array().unwrap();
    let found: BTreeSet<(String, String, String)> =
        pending.iter().map(|p| (text(p, "advisory_id"), text(p, "package"), text(p, "fixed"))).collect();
    assert!(found.len() > 100, "such an old host is missing many fixes: {}", found.len());
    assert_eq!(found, expected);
    assert!(pending.iter().any(|patch| patch["exploited"] == true), "some are known to be exploited");
    assert_eq!(compliance["compliance_status"], "non_compliant");

    let again = import(&platform.operator, archive).await;
    assert_eq!((&again["new"], &again["changed"], &again["cis_changed"]), (&json!(0), &json!(0), &json!(0)));
    platform.expect_exact_rollups().await;
}
