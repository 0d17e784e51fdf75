//! Packages that policies deny are not planned, however their fixes are asked for.

use domain::policy::Policy;

use super::*;

fn policy(id: &str, tags: Value, baseline: Value) -> Policy {
    serde_json::from_value(json!({ "id": id, "name": id, "target_ci_tags": tags, "baseline": baseline }))
        .unwrap()
}

async fn store_policy(pool: &PgPool, policy: &Policy) {
    let mut conn = pool.acquire().await.unwrap();
    store::policies::insert_policy(&mut conn, policy, "olivia", april()).await.unwrap().unwrap();
}

fn two_packages() -> Value {
    json!([{ "name": "curl", "version": "7.76.1-31.el9" }, { "name": "sudo", "version": "1.9.5p2-10.el9" }])
}

async fn names(pool: &PgPool, wanted: Wanted) -> Vec<String> {
    planned(pool, "web-1", wanted).await.into_iter().map(|(package, ..)| package).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_package_is_left_out_of_selections_and_remediations() {
    let (_database, pool) = prepared(&[("web-1", "rocky9", "model")]).await;
    see(&pool, "web-1", "rocky:9", two_packages()).await;
    let deny = json!({ "deny": [{ "glob": "sud*", "reason": "r" }], "minimum_severity": "critical" });
    let elsewhere = policy("elsewhere", json!({ "env": "other" }), deny.clone());
    store_policy(&pool, &elsewhere).await;
    let all = Wanted::OfHosts { advisory: None };
    assert_eq!(names(&pool, all.clone()).await, ["curl", "sudo"], "no policy of the host denies it");

    let of_host = policy("of-host", json!({ "os": "rocky:9" }), deny);
    store_policy(&pool, &of_host).await;
    assert_eq!(names(&pool, all.clone()).await, ["curl"], "only its package lists hold");
    let hole = || Some("DCOS-2026-0011".to_owned());
    assert_eq!(names(&pool, Wanted::OfHosts { advisory: hole() }).await, Vec::<String>::new());
    let mut conn = pool.acquire().await.unwrap();
    let mut pending = pending_updates(&mut conn, &[id("web-1")], &all).await.unwrap();
    let left_out = OmittedUpdate {
        reason: Some("denied by glob `sud*`: r".to_owned()),
        ..OmittedUpdate::new("sudo", OmitCause::NotInBaseline)
    };
    assert_eq!(pending.omitted.remove(&id("web-1")).unwrap(), [left_out]);

    // Who names an advisory has decided that its severity and age do not matter.
    let strict =
        policy("p", json!({ "os": "rocky:9" }), json!({ "approve_after_days": 365 })).baseline_rules();
    let named = Wanted::Advisory { id: "DCOS-2026-0011".to_owned(), rules: strict.clone() };
    assert_eq!(names(&pool, named).await, ["sudo"]);
    assert_eq!(names(&pool, Wanted::Baseline { rules: strict, now: april() }).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_metapackage_brings_no_kernel() {
    let (_database, pool) = prepared(&[("d-1", "debian12", "ssh")]).await;
    offers::import(&pool, "DSA-1-1", "Debian:12", "linux", "6.1.935-1").await;
    let signed = |name: &str, candidate: Value| {
        json!({ "name": name, "version": "6.1.119-1", "source": "linux-signed-amd64", "source_version": "6.1.119+1",
                "candidate": candidate })
    };
    let packages = json!([
        signed("linux-image-6.1.0-28-amd64", Value::Null),
        signed("linux-image-amd64", json!("6.1.935-1"))
    ]);
    see(&pool, "d-1", "debian:12", packages).await;
    let deny = json!({ "deny": [{ "glob": "linux-image-amd64", "reason": "r" }] });
    let rules = policy("p", json!({ "os": "debian12" }), deny).baseline_rules();
    let mut conn = pool.acquire().await.unwrap();
    let wanted = Wanted::Baseline { rules, now: april() };
    let mut pending = pending_updates(&mut conn, &[id("d-1")], &wanted).await.unwrap();
    assert!(pending.updates.is_empty(), "{:?}", pending.updates);
    let causes: Vec<_> =
        pending.omitted.remove(&id("d-1")).unwrap().into_iter().map(|one| (one.package, one.cause)).collect();
    assert_eq!(
        causes,
        [
            ("linux-image-6.1.0-28-amd64".to_owned(), OmitCause::NewName),
            ("linux-image-amd64".to_owned(), OmitCause::NotInBaseline)
        ]
    );
}
