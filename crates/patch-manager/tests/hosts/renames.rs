//! Packages that are renamed, replaced or in conflict: the plan names what is installed and removed, a loss needs the policy's
//! consent, and the run ends with what was planned.

use ansible::HostOutcomeKind;
use domain::transaction::Transaction;
use serde_json::json;

use crate::{
    lab::{DEBIAN, Lab},
    made::{Made, install, plain, publish, remove},
    transactions::{changes, foresee, patch},
};

const APT: &str = "deb-01";
const DNF: &str = "rpm-01";
const NAMES: [&str; 4] = ["demo-old", "demo-new", "demo-suite", "demo-addon"];

const BEFORE: [Made; 3] =
    [plain("demo-old", "1.0-1"), plain("demo-suite", "1.0-1"), plain("demo-addon", "1.0-1")];

/// `demo-new` replaces `demo-old`; `demo-suite` cannot be installed next to `demo-addon` any more.
const AFTER: [Made; 3] = [
    Made {
        name: "demo-new",
        version: "2.0-1",
        deb: &["Provides: demo-old-api", "Replaces: demo-old (<< 2.0)", "Breaks: demo-old (<< 2.0)"],
        rpm: &["Provides: demo-old = 2.0", "Obsoletes: demo-old < 2.0"],
    },
    Made {
        name: "demo-suite",
        version: "2.0-1",
        deb: &["Conflicts: demo-addon"],
        rpm: &["Conflicts: demo-addon"],
    },
    Made { name: "demo-app", version: "2.0-1", deb: &["Depends: demo-new"], rpm: &["Requires: demo-new"] },
];
/// What Debian leaves behind for a package that was renamed.
const TRANSITIONAL: Made = Made { name: "demo-old", version: "2.0-1", deb: &["Depends: demo-new"], rpm: &[] };
const APP_BEFORE: Made = plain("demo-app", "1.0-1");

fn removed(transaction: &Transaction) -> Vec<(&str, Option<&str>)> {
    let removals = transaction.removals.iter();
    removals.map(|one| (one.package.as_str(), one.replaced_by.as_deref())).collect()
}

fn installed(transaction: &Transaction) -> Vec<&str> {
    transaction.installs.iter().map(|one| one.package.as_str()).collect()
}

async fn prepare(lab: &Lab, host: &str) {
    let before = [&BEFORE[..], &[APP_BEFORE]].concat();
    publish(lab, host, &before).await;
    install(lab, host, &["demo-old", "demo-suite", "demo-addon", "demo-app"]).await;
    let mut after = [&before[..], &AFTER[..]].concat();
    if DEBIAN.contains(&host) {
        after.push(TRANSITIONAL);
    }
    publish(lab, host, &after).await;
}

pub async fn renamed_and_conflicting_packages_are_planned_and_done(lab: &Lab) {
    tokio::join!(apt(lab), dnf(lab));
}

async fn apt(lab: &Lab) {
    prepare(lab, APT).await;
    let updates = json!({ "demo-old": "2.0-1", "demo-suite": "2.0-1" });
    let output = foresee(lab, APT, &updates, false).await;
    assert_eq!(output.packages.iter().collect::<Vec<_>>(), ["demo-old"], "the other costs an add-on");
    assert_eq!((installed(output.transaction()), removed(output.transaction())), (vec!["demo-new"], vec![]));
    let output = foresee(lab, APT, &updates, true).await;
    assert_eq!(output.packages.len(), 2, "with the policy's consent");
    assert_eq!(removed(output.transaction()), [("demo-addon", None)]);

    let (refused, recording) = patch(lab, APT, &json!({ "demo-suite": "2.0-1" }), &[]).await;
    assert_eq!(refused.outcome, HostOutcomeKind::Failed, "{}", recording.output());
    assert_eq!(lab.version(APT, "demo-addon").await, "1.0-1", "nobody approved its loss");
    let (done, recording) = patch(lab, APT, &updates, &["demo-addon"]).await;
    assert_eq!(done.outcome, HostOutcomeKind::Succeeded, "{:?} {}", done.reason, recording.output());
    assert_eq!(
        changes(&done),
        [
            ("demo-addon", Some("1.0-1"), None),
            ("demo-new", None, Some("2.0-1")),
            ("demo-old", Some("1.0-1"), Some("2.0-1")),
            ("demo-suite", Some("1.0-1"), Some("2.0-1")),
        ]
    );
    remove(lab, APT, &[&NAMES[..], &["demo-app"]].concat()).await;
}

async fn dnf(lab: &Lab) {
    prepare(lab, DNF).await;
    let updates = json!({ "demo-app": "2.0-1", "demo-suite": "2.0-1" });
    let output = foresee(lab, DNF, &updates, false).await;
    let said = serde_json::to_string(&output.answers).unwrap();
    assert_eq!(output.packages.iter().collect::<Vec<_>>(), ["demo-app"], "{said}");
    assert!(said.contains("conflicts with demo-addon"), "{said}");
    let transaction = output.transaction();
    // Its vendor replaces it, so the policy need not allow it.
    assert_eq!(removed(transaction), [("demo-old", Some("demo-new"))], "{transaction:?}");
    assert_eq!(installed(transaction), ["demo-new"]);

    let (refused, recording) = patch(lab, DNF, &json!({ "demo-app": "2.0-1" }), &[]).await;
    assert_eq!(refused.outcome, HostOutcomeKind::Failed, "{}", recording.output());
    assert!(refused.reason.as_ref().unwrap().contains("would remove demo-old"), "{:?}", refused.reason);
    let (done, recording) = patch(lab, DNF, &json!({ "demo-app": "2.0-1" }), &["demo-old"]).await;
    assert_eq!(done.outcome, HostOutcomeKind::Succeeded, "{:?} {}", done.reason, recording.output());
    assert_eq!(
        changes(&done),
        [
            ("demo-app", Some("1.0-1"), Some("2.0-1")),
            ("demo-new", None, Some("2.0-1")),
            ("demo-old", Some("1.0-1"), None),
        ]
    );
    assert_eq!(lab.version(DNF, "demo-suite").await, "1.0-1", "what conflicts was left out");
    remove(lab, DNF, &["demo-new", "demo-suite", "demo-addon", "demo-app"]).await;
}
