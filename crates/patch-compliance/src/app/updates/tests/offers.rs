//! What is planned by what the repositories of a host offer, and what if nobody asked them.

use super::*;

pub(super) async fn import(pool: &PgPool, id: &str, ecosystem: &str, package: &str, fixed: &str) {
    let record = json!({
        "id": id, "modified": "2026-03-10T00:00:00Z", "published": "2026-03-09T00:00:00Z",
        "affected": [{ "package": { "ecosystem": ecosystem, "name": package },
                       "ranges": [{ "type": "ECOSYSTEM", "events": [{ "introduced": "0" }, { "fixed": fixed }] }] }],
    });
    let advisory = parse_record(record.to_string().as_bytes(), "test", &Limits::default()).unwrap().advisory;
    let new = NewAdvisory { digest: Vec::new(), due: advisory.published, advisory };
    let mut conn = pool.acquire().await.unwrap();
    store::advisories::upsert_advisories(&mut conn, &[new]).await.unwrap();
}

fn source(name: &str, version: &str, source: &str) -> Value {
    json!({ "name": name, "version": version, "source": source, "source_version": version })
}

async fn pending(pool: &PgPool, host: &str) -> (Vec<String>, Vec<OmittedUpdate>) {
    let mut conn = pool.acquire().await.unwrap();
    let mut pending =
        pending_updates(&mut conn, &[id(host)], &Wanted::OfHosts { advisory: None }).await.unwrap();
    let updates = pending.updates.remove(&id(host)).unwrap_or_default();
    let updates = updates.into_iter().map(|update| format!("{} {}", update.package, update.to));
    (updates.collect(), pending.omitted.remove(&id(host)).unwrap_or_default())
}

fn renamed(package: &str, brought_by: Option<&str>) -> OmittedUpdate {
    OmittedUpdate {
        brought_by: brought_by.map(str::to_owned),
        ..OmittedUpdate::new(package, OmitCause::NewName)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kernel_of_ubuntu_comes_through_all_metapackages_of_its_line() {
    let (_database, pool) = prepared(&[("u-1", "ubuntu2204", "ssh"), ("u-2", "ubuntu2204", "ssh")]).await;
    import(&pool, "USN-1-1", "Ubuntu:22.04:LTS", "linux", "5.15.0-1300.140").await;
    import(&pool, "USN-2-1", "Ubuntu:22.04:LTS", "linux-aws", "5.15.0-9075.82").await;
    let image = source("linux-image-5.15.0-991-generic", "5.15.0-991.101", "linux-signed");
    let modules = source("linux-modules-5.15.0-991-generic", "5.15.0-991.101", "linux");
    let aws = source("linux-image-5.15.0-9052-aws", "5.15.0-9052.57", "linux-signed-aws");
    let meta = |name: &str, candidate: Value| json!({ "name": name, "version": "5.15.0.991.88", "source": "linux-meta", "candidate": candidate });
    let new = json!("5.15.0.1300.128");
    let all =
        json!([image, modules, aws, meta("linux-image-generic", new.clone()), meta("linux-generic", new)]);
    see(&pool, "u-1", "ubuntu:22.04", all).await;
    let (updates, omitted) = pending(&pool, "u-1").await;
    assert_eq!(updates, ["linux-generic 5.15.0.1300.128", "linux-image-generic 5.15.0.1300.128"]);
    let brought_by = Some("linux-image-generic");
    assert_eq!(
        omitted,
        [
            renamed("linux-image-5.15.0-9052-aws", None),
            renamed("linux-image-5.15.0-991-generic", brought_by),
            renamed("linux-modules-5.15.0-991-generic", brought_by),
        ]
    );

    // The repository's metapackage is older than the fix.
    let image = source("linux-image-5.15.0-991-generic", "5.15.0-991.101", "linux-signed");
    see(&pool, "u-2", "ubuntu:22.04", json!([image, meta("linux-image-generic", json!("5.15.0.1250.124"))]))
        .await;
    assert_eq!(pending(&pool, "u-2").await, (vec![], vec![renamed("linux-image-5.15.0-991-generic", None)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn kernel_of_debian_comes_through_its_metapackage() {
    let (_database, pool) = prepared(&[("d-1", "debian12", "ssh")]).await;
    import(&pool, "DSA-1-1", "Debian:12", "linux", "6.1.935-1").await;
    let signed = |name: &str, candidate: Value| {
        json!({ "name": name, "version": "6.1.119-1", "source": "linux-signed-amd64", "source_version": "6.1.119+1",
                "candidate": candidate })
    };
    let packages = json!([
        signed("linux-image-6.1.0-28-amd64", Value::Null),
        signed("linux-image-amd64", json!("6.1.935-1")),
        source("linux-headers-6.1.0-28-common", "6.1.119-1", "linux"),
        source("linux-libc-dev", "6.1.119-1", "linux"),
    ]);
    see(&pool, "d-1", "debian:12", packages).await;
    let (updates, omitted) = pending(&pool, "d-1").await;
    assert_eq!(updates, ["linux-image-amd64 6.1.935-1", "linux-libc-dev 6.1.935-1"]);
    let brought_by = Some("linux-image-amd64");
    assert_eq!(
        omitted,
        [
            renamed("linux-headers-6.1.0-28-common", brought_by),
            renamed("linux-image-6.1.0-28-amd64", brought_by)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn not_offered_and_not_asked_are_different() {
    let (_database, pool) =
        prepared(&[("asked", "rocky9", "ssh"), ("pushed", "rocky9", "ssh"), ("d-1", "debian12", "ssh")])
            .await;
    import(&pool, "A-1", "Rocky Linux:9", "tool", "1.0-9.el9").await;
    import(&pool, "A-2", "Debian:12", "src-tool", "2.0-9").await;
    let tool = json!([{ "name": "tool", "version": "1.0-1.el9" }]);
    see(&pool, "pushed", "rocky:9", tool.clone()).await;
    see_inventory(
        &pool,
        json!({ "ci_id": "asked", "os": "rocky:9", "packages": tool, "repositories": { "state": "asked" } }),
    )
    .await;
    let not_offered = OmittedUpdate::new("tool", OmitCause::NotOffered);
    assert_eq!(pending(&pool, "pushed").await, (vec!["tool 1.0-9.el9".to_owned()], vec![]));
    assert_eq!(pending(&pool, "asked").await, (vec![], vec![not_offered]));

    // The notice names the version of the source, of which this package has another.
    let packages =
        json!([{ "name": "libtool", "version": "7.1-1", "source": "src-tool", "source_version": "2.0-1" }]);
    see(&pool, "d-1", "debian:12", packages).await;
    assert_eq!(
        pending(&pool, "d-1").await,
        (vec![], vec![OmittedUpdate::new("libtool", OmitCause::NotAsked)])
    );

    let mut conn = pool.acquire().await.unwrap();
    let not_asked = list_not_asked(&mut conn, &[id("asked"), id("pushed")]).await.unwrap();
    assert_eq!(not_asked, BTreeSet::from([id("pushed")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn oldest_offered_version_with_the_fix_is_planned() {
    let (_database, pool) = prepared(&[("r-1", "rocky9", "ssh"), ("r-2", "rocky9", "ssh")]).await;
    import(&pool, "A-1", "Rocky Linux:9", "tool", "1.0-5.el9").await;
    let tool = |offered: Value| json!([{ "name": "tool", "version": "1.0-1.el9", "candidate": "1.0-9.el9", "offered": offered }]);
    see(&pool, "r-1", "rocky:9", tool(json!(["1.0-9.el9", "1.0-1.el9", "1.0-3.el9", "1.0-7.el9"]))).await;
    assert_eq!(pending(&pool, "r-1").await.0, ["tool 1.0-7.el9"], "the notice's own version is gone");
    see(&pool, "r-2", "rocky:9", tool(json!(["1.0-5.el9", "1.0-9.el9"]))).await;
    assert_eq!(pending(&pool, "r-2").await.0, ["tool 1.0-5.el9"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn host_that_cannot_resolve_is_named_with_its_reason() {
    let (_database, pool) = prepared(&[("d-1", "debian12", "ssh"), ("d-2", "debian12", "ssh")]).await;
    let failed = json!({ "state": "failed", "reason": "apt-get -s dist-upgrade: E: Unmet dependencies" });
    let packages = json!([{ "name": "curl", "version": "7.88.1-10+deb12u8" }]);
    see_inventory(
        &pool,
        json!({ "ci_id": "d-1", "os": "debian:12", "packages": packages, "repositories": failed }),
    )
    .await;
    see(&pool, "d-2", "debian:12", packages).await;
    let mut conn = pool.acquire().await.unwrap();
    let unresolved = list_unresolved(&mut conn, &[id("d-1"), id("d-2")]).await.unwrap();
    let reason =
        "its package system cannot resolve: apt-get -s dist-upgrade: E: Unmet dependencies".to_owned();
    assert_eq!(unresolved, BTreeMap::from([(id("d-1"), reason)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn offer_of_a_security_suite_without_a_notice_is_pending() {
    let (_database, pool) = prepared(&[("d-1", "debian12", "ssh")]).await;
    let offered = |name: &str, installed: &str, candidate: &str, origin: &str| json!({ "name": name, "version": installed, "candidate": candidate, "candidate_origin": origin });
    let packages = json!([
        offered("no-notice", "1.0-1", "1.0-2", "Debian-Security:12/stable-security"),
        offered("curl", "7.88.1-10+deb12u8", "7.88.1-10+deb12u20", "Debian-Security:12/stable-security"),
        offered("ordinary", "1.0-1", "1.0-2", "Debian:12.9/stable"),
    ]);
    let answer = json!({ "state": "asked" });
    see_inventory(
        &pool,
        json!({ "ci_id": "d-1", "os": "debian:12", "packages": packages, "repositories": answer }),
    )
    .await;
    let mut conn = pool.acquire().await.unwrap();
    let shown =
        compliance::ci_compliance(&mut conn, &CriteriaCache::default(), &id("d-1"), april()).await.unwrap();
    let unknown: Vec<&str> = shown.notice_unknown.iter().map(|update| update.package.as_str()).collect();
    assert_eq!(unknown, ["no-notice"]);
    assert!(shown.reason.contains("1 pending from a security suite, notice unknown"), "{}", shown.reason);
    for (origin, is_security) in [
        ("Ubuntu:22.04/jammy-updates, Ubuntu:22.04/jammy-security", true),
        ("Debian:12-updates/stable-updates", false),
        ("vendor-security-tools:1/stable", false),
    ] {
        assert_eq!(advisories::inventory::SecurityOffer::is_security_origin(origin), is_security, "{origin}");
    }
}
