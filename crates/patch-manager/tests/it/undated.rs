//! Feeds that give no dates: the day of their import is not the publication of a fix.

use serde_json::{Value, json};

use crate::{fleet::import, platform::Platform};

/// The first is only in the index of sources, which has no dates; the changelog says when the second was published.
const SOURCES: &str = "Package: liby\nVersion: 2.0-4+deb12u1\nDirectory: pool/liby\n\n\
    Package: libz\nVersion: 1.2-3+deb12u1\nDirectory: pool/libz\n";
const CHANGELOG: &str = "#source\tversion\tdistribution\turgency\tdate\tcves\n\
    libz\t1.2-3+deb12u1\tbookworm-security\tmedium\tSun, 01 Feb 2026 00:00:00 +0000\tCVE-2026-90801\n";

fn tracker() -> String {
    let state =
        json!({ "repositories": {}, "status": "resolved", "fixed_version": "3.0-2", "urgency": "high" });
    json!({ "libx": { "CVE-2026-90802": { "description": "a hole", "releases": { "bookworm": state } } } })
        .to_string()
}

fn inventory(versions: [&str; 3]) -> Value {
    let names = ["liby", "libz", "libx"].into_iter().zip(versions);
    let packages = names.map(|(name, version)| json!({ "name": name, "version": version, "source": name }));
    json!({ "ci_id": "db-1", "os": "debian:12", "packages": packages.collect::<Vec<_>>() })
}

/// Package and due date of what the host lacks, in the order of the answer.
async fn pending(platform: &Platform) -> Vec<(String, Value)> {
    let host = platform.compliance_of("db-1").await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let patches = host["pending_patches"].as_array().unwrap().iter();
    patches.map(|one| (text(&one["package"]), one["due"].clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn fix_without_a_date_has_no_due_date_and_is_never_late() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    import(&platform.operator, SOURCES.into()).await;
    import(&platform.operator, tracker().into_bytes()).await;
    platform.push(&inventory(["2.0-3", "1.2-2", "3.0-1"])).await;
    let undated = [
        ("libx".to_owned(), json!(null)),
        ("liby".to_owned(), json!(null)),
        ("libz".to_owned(), json!(null)),
    ];
    let mut found = pending(&platform).await;
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found, undated);

    // No number of days makes such a fix late, and no level gives it a due date.
    platform.advance(24 * 400);
    let levels = json!({ "exploited_days": 1, "critical_days": 1, "high_days": 1, "other_days": 1 });
    platform.patch.admin().await.put("/patch/service-levels", &levels).await.expect(200);
    platform.push(&inventory(["2.0-3", "1.2-2", "3.0-1"])).await;
    let timeliness = platform.operator.get("/patch/compliance/timeliness").await.expect(200);
    let total = &timeliness["total"];
    assert_eq!((&total["hosts_in_breach"], &total["open_cve_days"]), (&json!(0), &json!(0.0)));
    let list = platform.operator.get("/patch/compliance/hosts?os=debian:12").await.expect(200);
    assert_eq!((&list["items"][0]["pending"], &list["items"][0]["next_due"]), (&json!(3), &json!(null)));
    let cve = platform.operator.get("/patch/advisories/CVE-2026-90802").await.expect(200);
    assert_eq!(cve["affected"][0]["due"], json!(null));
    let packages = platform.operator.get("/patch/compliance/db-1/packages?limit=1").await.expect(200);
    assert_eq!(
        (&packages["items"][0]["package"], &packages["items"][0]["due"]),
        (&json!("libx"), &json!(null))
    );
    let token = packages["next_page_token"].as_str().unwrap();
    let rest = platform.operator.get(&format!("/patch/compliance/db-1/packages?page_token={token}")).await;
    assert_eq!(rest.expect(200)["items"].as_array().unwrap().len(), 2);

    // The changelog has the date of one of them. It is the same notice, in whatever order the parts are read.
    import(&platform.operator, CHANGELOG.into()).await;
    let due = json!("2026-02-02T00:00:00Z");
    assert_eq!(pending(&platform).await[0], ("libz".to_owned(), due.clone()), "what has a due date is first");
    let again = import(&platform.operator, SOURCES.into()).await;
    assert_eq!((&again["new"], &again["changed"]), (&json!(0), &json!(0)), "{again}");
    let list = platform.operator.get("/patch/compliance/hosts?os=debian:12").await.expect(200);
    assert_eq!(list["items"][0]["next_due"], due);
    let timeliness = platform.operator.get("/patch/compliance/timeliness").await.expect(200);
    let total = &timeliness["total"];
    assert_eq!(total["hosts_in_breach"], 1);
    // 400 days after 1 April noon; the CVE of `libx` has no date.
    assert_eq!(total["open_cve_days"], json!(459.5));

    // Only the fix with a date counts as late.
    platform.push(&inventory(["2.0-4+deb12u1", "1.2-3+deb12u1", "3.0-2"])).await;
    let timeliness = platform.operator.get("/patch/compliance/timeliness").await.expect(200);
    let total = &timeliness["total"];
    assert_eq!((&total["fixes_installed"], &total["fixes_installed_late"]), (&json!(1), &json!(1)));
    assert_eq!(total["mean_days_to_patch"], json!(459.5));
}

#[tokio::test(flavor = "multi_thread")]
async fn severity_that_no_source_gives_is_unknown_and_not_none() {
    let platform = Platform::start().await;
    platform.add_fleet().await;
    import(&platform.operator, SOURCES.into()).await;
    platform.push(&inventory(["2.0-3", "1.2-2", "3.0-1"])).await;
    let severities = async || -> Vec<Value> {
        let host = platform.compliance_of("db-1").await;
        host["pending_patches"].as_array().unwrap().iter().map(|one| one["severity"].clone()).collect()
    };
    assert_eq!(severities().await, ["unknown", "unknown"]);
    let worst = async |severity: &str| -> Vec<Value> {
        let list =
            platform.operator.get(&format!("/patch/compliance/hosts?severity={severity}")).await.expect(200);
        list["items"].as_array().unwrap().iter().map(|one| one["worst_severity"].clone()).collect()
    };
    assert_eq!((worst("unknown").await, worst("none").await), (vec![json!("unknown")], vec![]));
    let rated = platform.operator.get("/patch/advisories?severity=unknown").await.expect(200);
    assert_eq!(rated["items"].as_array().unwrap().len(), 2);

    // What is known to be harmful is worse than what may be.
    import(&platform.operator, tracker().into_bytes()).await;
    assert_eq!(worst("high").await, ["high"]);
}
