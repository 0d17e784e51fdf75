//! Updates of a plan, from a real database with the seeded advisories.

mod baselines;
mod offers;

use std::{fs, path::PathBuf};

use advisories::{
    Advisory,
    feed::{Limits, osv::parse_record},
};
use api_types::patch::Inventory;
use domain::{baseline::BaselineRules, selector::Tags};
use serde_json::{Value, json};
use sqlx::PgPool;
use test_support::TestDatabase;

use super::*;
use crate::{
    app::{compliance, criteria_cache::CriteriaCache, inventory, observation},
    store::{advisories::NewAdvisory, hosts::HostRecord},
};

fn april() -> DateTime<Utc> {
    "2026-04-01T12:00:00Z".parse().unwrap()
}

fn id(name: &str) -> CiId {
    CiId::new(name).unwrap()
}

fn seeded() -> Vec<NewAdvisory> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../seeds/advisories");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let records = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("DCOS-"));
    let read = |path: PathBuf| -> Advisory {
        parse_record(&fs::read(path).unwrap(), "seed", &Limits::default()).unwrap().advisory
    };
    records
        .map(read)
        .map(|advisory| NewAdvisory { digest: Vec::new(), due: advisory.published, advisory })
        .collect()
}

/// A database with the seeded advisories and hosts by name, OS and driver.
async fn prepared(hosts: &[(&str, &str, &str)]) -> (TestDatabase, PgPool) {
    let database = TestDatabase::create().await;
    let pool = service_kit::database::connect(database.url(), "test", 4).unwrap();
    service_kit::database::migrate(&pool, crate::SCHEMA, crate::migrator()).await.unwrap();
    let records: Vec<HostRecord> = hosts
        .iter()
        .map(|(name, os, driver)| HostRecord {
            ci_id: (*name).to_owned(),
            os: (*os).to_owned(),
            os_key: advisories::os_key(os),
            driver: (*driver).to_owned(),
            tags: Tags::from([("os".to_owned(), (*os).to_owned())]),
        })
        .collect();
    let mut conn = pool.acquire().await.unwrap();
    store::advisories::upsert_advisories(&mut conn, &seeded()).await.unwrap();
    store::hosts::upsert_hosts(&mut conn, &records).await.unwrap();
    let releases = ["rocky:9", "debian:12"].map(str::to_owned);
    let feeds = ["datacenteros", "datacenteros"].map(str::to_owned);
    store::coverage::record_fetched(&mut conn, &releases, &feeds, april()).await.unwrap();
    (database, pool)
}

async fn see(pool: &PgPool, host: &str, os: &str, packages: Value) {
    see_inventory(pool, json!({ "ci_id": host, "os": os, "packages": packages })).await;
}

async fn see_inventory(pool: &PgPool, pushed: Value) {
    let pushed: Inventory = serde_json::from_value(pushed).unwrap();
    let observation = observation::observe(pushed, april()).unwrap();
    let mut transaction = pool.begin().await.unwrap();
    store::lock_results_shared(&mut transaction).await.unwrap();
    let ingested =
        inventory::store_observations(&mut transaction, &CriteriaCache::default(), &[observation], april())
            .await
            .unwrap();
    assert_eq!(ingested.changed, 1);
    transaction.commit().await.unwrap();
}

async fn planned(pool: &PgPool, host: &str, wanted: Wanted) -> Vec<(String, String, Vec<String>)> {
    let mut conn = pool.acquire().await.unwrap();
    let mut updates = pending_updates(&mut conn, &[id(host)], &wanted).await.unwrap().updates;
    let updates = updates.remove(&id(host)).unwrap_or_default();
    updates.into_iter().map(|update| (update.package, update.to, update.advisories)).collect()
}

fn update(package: &str, to: &str, advisories: &[&str]) -> (String, String, Vec<String>) {
    (package.to_owned(), to.to_owned(), advisories.iter().map(|id| (*id).to_owned()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn package_is_updated_to_the_highest_wanted_fix_and_no_further() {
    let (_database, pool) = prepared(&[("web-1", "rocky9", "model")]).await;
    let packages = json!([
        { "name": "curl", "version": "7.76.1-31.el9", "candidate": "7.76.1-40.el9" },
        { "name": "sudo", "version": "1.9.5p2-10.el9" }
    ]);
    see(&pool, "web-1", "rocky:9", packages).await;
    assert_eq!(
        planned(&pool, "web-1", Wanted::OfHosts { advisory: None }).await,
        [
            update("curl", "7.76.1-34.el9_7.2", &["DCOS-2025-0002", "DCOS-2026-0016"]),
            update("sudo", "1.9.5p2-10.el9_6.2", &["DCOS-2026-0011"]),
        ],
        "the highest fixed version, although the repository offers a newer one"
    );
    let november = Wanted::Baseline {
        rules: BaselineRules { level: Some("2025-11".parse().unwrap()), ..BaselineRules::default() },
        now: april(),
    };
    assert_eq!(
        planned(&pool, "web-1", november).await,
        [update("curl", "7.76.1-31.el9_6.1", &["DCOS-2025-0002"])]
    );
    let of = |name: &str| Wanted::OfHosts { advisory: Some(name.to_owned()) };
    let hole = [update("sudo", "1.9.5p2-10.el9_6.2", &["DCOS-2026-0011"])];
    for name in ["CVE-2026-90011", "DCOS-2026-0011"] {
        assert_eq!(planned(&pool, "web-1", of(name)).await, hole);
    }
    assert_eq!(planned(&pool, "web-1", of("CVE-1999-1")).await, []);
    let mut conn = pool.acquire().await.unwrap();
    assert_eq!(severities(&mut conn, &[id("web-1")]).await.unwrap()[&id("web-1")], 9.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_or_may_not_be_installed_is_not_planned() {
    let (_database, pool) = prepared(&[("web-1", "rocky9", "model")]).await;
    let packages = json!([
        { "name": "sudo", "version": "1.9.5p2-10.el9", "held": true },
        { "name": "nginx", "version": "1:1.20.1-20.el9", "candidate": "1:1.20.1-21.el9" },
        { "name": "haproxy", "version": "2.4.22-3.el9_5" }
    ]);
    see(&pool, "web-1", "rocky:9", packages).await;
    let haproxy = [update("haproxy", "2.4.22-4.el9_6.1", &["DCOS-2026-0012"])];
    assert_eq!(planned(&pool, "web-1", Wanted::OfHosts { advisory: None }).await, haproxy);
    sqlx::query(
        "INSERT INTO patch.exceptions (id, owner, reason, expires_at, package, created_by, created_at)
         VALUES (gen_random_uuid(), 'o', 'r', now() + interval '1 day', 'haproxy', 'o', now())",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert_eq!(planned(&pool, "web-1", Wanted::OfHosts { advisory: None }).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn debian_archives_keep_only_the_newest_version() {
    let (_database, pool) = prepared(&[("real", "debian12", "ssh"), ("model", "debian12", "model")]).await;
    let curl = json!([{ "name": "libcurl4", "version": "7.88.1-10+deb12u8", "source": "curl", "candidate": "7.88.1-10+deb12u20" }]);
    for host in ["real", "model"] {
        see(&pool, host, "debian:12", curl.clone()).await;
    }
    let fixes = &["DCOS-2025-0002", "DCOS-2026-0016"];
    let level = || Wanted::OfHosts { advisory: None };
    assert_eq!(planned(&pool, "real", level()).await, [update("libcurl4", "7.88.1-10+deb12u20", fixes)]);
    assert_eq!(planned(&pool, "model", level()).await, [update("libcurl4", "7.88.1-10+deb12u14", fixes)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn newest_of_several_installed_versions_is_returned() {
    let (_database, pool) = prepared(&[("web-1", "rocky9", "model")]).await;
    let packages = json!([
        { "name": "kernel-core", "version": "5.14.0-611.16.1.el9_7" },
        { "name": "kernel-core", "version": "5.14.0-70.1.el9" }
    ]);
    see(&pool, "web-1", "rocky:9", packages).await;
    let mut conn = pool.acquire().await.unwrap();
    let installed = installed_versions(&mut conn, &[id("web-1")]).await.unwrap();
    assert_eq!(installed[&id("web-1")]["kernel-core"], "5.14.0-611.16.1.el9_7");
    assert!(
        is_at_least(Packaging::Rpm, "1:1.0-1", "2.0-1") && !is_at_least(Packaging::Dpkg, "1.0~rc1", "1.0")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn share_and_patch_state_follow_the_results() {
    let (_database, pool) = prepared(&[("web-1", "rocky9", "model"), ("web-2", "rocky9", "model")]).await;
    see(&pool, "web-1", "rocky:9", json!([{ "name": "sudo", "version": "1.9.5p2-10.el9_6.2" }])).await;
    see(&pool, "web-2", "rocky:9", json!([{ "name": "sudo", "version": "1.9.5p2-10.el9" }])).await;
    let mut conn = pool.acquire().await.unwrap();
    let share = compliance::share(&mut conn, &[id("web-1"), id("web-2")]).await.unwrap();
    assert_eq!((share.compliant, share.total), (1, 2));
    compliance::record_patched(&mut conn, &[id("web-1")], april()).await.unwrap();
    let state = compliance::patch_state_by(&mut conn, &CriteriaCache::default(), &id("web-1"), april())
        .await
        .unwrap();
    assert_eq!((state.compliance_status.as_str(), state.last_patched), ("compliant", Some(april())));
    assert_eq!(state.current_patch_level.as_deref(), Some("2026-04"));
}
