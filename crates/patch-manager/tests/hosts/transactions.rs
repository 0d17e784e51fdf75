//! The exact transaction of a host: foreseen, and then the only one that is done.
//!
//! The packages are made for this scenario, in a repository on the host itself: a metapackage that brings a new package under
//! a new name, an update that removes another package, and one that is refused.

use std::collections::BTreeSet;

use ansible::{HostOutcome, HostOutcomeKind, Playbook, Variables};
use domain::transaction::{Answer, Foreseen, Transaction};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    lab::{Lab, Recording},
    made::MAKE_DEBS,
};

const APT: &str = "deb-01";
const DNF: &str = "rpm-01";

async fn make_debs(lab: &Lab) {
    let old = "
deb demo-image-1 1.0-1; deb demo-meta 1.0-1 'Depends: demo-image-1'
deb demo-lib 1.0-1; deb demo-plugin 1.0-1 'Depends: demo-lib (<< 2)'; deb demo-app 1.0-1
index
echo 'deb [trusted=yes] file:/srv/scenario ./' >/etc/apt/sources.list.d/scenario.list
apt-get -qq update && apt-get -qq -y install demo-meta demo-lib demo-plugin demo-app >/dev/null";
    let new = "
deb demo-image-2 2.0-1; deb demo-meta 2.0-1 'Depends: demo-image-2'
deb demo-lib 2.0-1; deb demo-app 2.0-1
index; apt-get -qq update";
    lab.ssh(APT, &format!("{MAKE_DEBS}{old}{new}")).await;
}

async fn remove_debs(lab: &Lab) {
    let line = "apt-get -qq -y purge 'demo-meta' 'demo-image-*' demo-lib demo-plugin demo-app >/dev/null; \
                rm -rf /srv/scenario /etc/apt/sources.list.d/scenario.list; apt-get -qq update";
    lab.ssh(APT, line).await;
}

#[derive(Deserialize)]
pub struct Output {
    pub answers: Vec<Answer>,
    pub packages: BTreeSet<String>,
    transaction: Option<Foreseen>,
}

impl Output {
    pub fn transaction(&self) -> &Transaction {
        self.transaction.as_ref().and_then(Foreseen::resolved).expect("a transaction")
    }
}

/// What the host would do for these packages, each of which is a group of its own.
pub async fn foresee(lab: &Lab, host: &str, updates: &Value, allow_removals: bool) -> Output {
    ask(lab, host, updates, |variables| {
        variables.set("pm_allow_removals", allow_removals);
    })
    .await
}

pub async fn ask(lab: &Lab, host: &str, updates: &Value, adjust: impl Fn(&mut Variables)) -> Output {
    let run_id = lab.run_id();
    let results = lab.folder.path().join(format!("foreseen-{run_id}"));
    std::fs::create_dir(&results).unwrap();
    let groups: Vec<Vec<&String>> = updates.as_object().unwrap().keys().map(|name| vec![name]).collect();
    let mut run = lab.run(Playbook::PlanTransaction, &[host], &run_id, |_, variables| {
        variables.set("pm_updates", updates.clone());
        variables.set("pm_update_groups", json!(groups));
        adjust(variables);
    });
    run.extra_vars.set("pm_results_dir", results.to_str().unwrap());
    let recording = lab.play(run).await;
    let text = std::fs::read(results.join(format!("{host}.json")));
    let text = text.unwrap_or_else(|error| panic!("{error}: {}", recording.output()));
    serde_json::from_slice(&text).unwrap()
}

pub async fn patch(lab: &Lab, host: &str, updates: &Value, removals: &[&str]) -> (HostOutcome, Recording) {
    let run = lab.run(Playbook::PatchMixed, &[host], &lab.run_id(), |_, variables| {
        variables
            .set("pm_updates", updates.clone())
            .set("pm_removals", json!(removals))
            .set("pm_reboot", "never");
    });
    let recording = lab.play(run).await;
    (recording.outcome(host), recording)
}

/// The changes of a host: package, from, to.
pub fn changes(outcome: &HostOutcome) -> Vec<(&str, Option<&str>, Option<&str>)> {
    let changed = outcome.changed.iter();
    changed.map(|one| (one.package.as_str(), one.from.as_deref(), one.to.as_deref())).collect()
}

pub async fn apt_does_exactly_what_was_foreseen(lab: &Lab) {
    make_debs(lab).await;
    let updates = json!({ "demo-app": "2.0-1", "demo-lib": "2.0-1", "demo-meta": "2.0-1" });

    let output = foresee(lab, APT, &updates, false).await;
    let kept: Vec<&str> = output.packages.iter().map(String::as_str).collect();
    assert_eq!(kept, ["demo-app", "demo-meta"], "`demo-lib` would remove `demo-plugin`");
    assert!(output.answers.len() > 1, "the cause was looked for");
    let transaction = output.transaction();
    let updated: Vec<&str> = transaction.updates.iter().map(|one| one.package.as_str()).collect();
    assert_eq!(updated, ["demo-app", "demo-meta"]);
    assert_eq!(transaction.installs.len(), 1);
    assert_eq!(
        (transaction.installs[0].package.as_str(), transaction.installs[0].version.as_str()),
        ("demo-image-2", "2.0-1")
    );
    assert_eq!(transaction.installs[0].origins, ["Scenario:scenario"], "as apt names a flat repository");
    assert!(transaction.removals.is_empty());
    let download = transaction.download_bytes.expect("the sizes are in the lists");
    assert!((60_000..80_000).contains(&download), "three files: {download}");
    // One new package of 40 KiB, and two that stay as large.
    assert_eq!(transaction.disk_bytes, Some(download + 40 * 1024));

    let output = foresee(lab, APT, &updates, true).await;
    let removed: Vec<&str> = output.transaction().removals.iter().map(|one| one.package.as_str()).collect();
    assert_eq!((output.packages.len(), removed), (3, vec!["demo-plugin"]), "the policy allows it");

    let (refused, recording) = patch(lab, APT, &updates, &[]).await;
    assert_eq!(refused.outcome, HostOutcomeKind::Failed, "nobody approved the removal");
    assert!(
        refused.reason.as_ref().unwrap().contains("need to be removed"),
        "{:?} {}",
        refused.reason,
        recording.output()
    );
    let (refused, _) = patch(lab, APT, &updates, &["something-else"]).await;
    assert!(refused.reason.as_ref().unwrap().contains("would remove demo-plugin"), "{:?}", refused.reason);
    assert_eq!(lab.version(APT, "demo-app").await, "1.0-1", "nothing is half done");

    let (done, recording) = patch(lab, APT, &json!({ "demo-app": "2.0-1", "demo-meta": "2.0-1" }), &[]).await;
    assert_eq!(done.outcome, HostOutcomeKind::Succeeded, "{}", recording.output());
    assert_eq!(
        changes(&done),
        [
            ("demo-app", Some("1.0-1"), Some("2.0-1")),
            ("demo-image-2", None, Some("2.0-1")),
            ("demo-meta", Some("1.0-1"), Some("2.0-1")),
        ]
    );
    let (done, recording) = patch(lab, APT, &json!({ "demo-lib": "2.0-1" }), &["demo-plugin"]).await;
    assert_eq!(done.outcome, HostOutcomeKind::Succeeded, "{}", recording.output());
    assert_eq!(
        changes(&done),
        [("demo-lib", Some("1.0-1"), Some("2.0-1")), ("demo-plugin", Some("1.0-1"), None)]
    );
    remove_debs(lab).await;
}

pub async fn held_package_and_version_that_is_gone_are_left_out_with_apts_words(lab: &Lab) {
    make_debs(lab).await;
    lab.ssh(APT, "apt-mark hold demo-app >/dev/null").await;
    let updates = json!({ "demo-app": "2.0-1", "demo-lib": "9.9-9", "demo-meta": "2.0-1" });
    let output = foresee(lab, APT, &updates, false).await;
    assert_eq!(output.packages, BTreeSet::from(["demo-meta".to_owned()]));
    let said = serde_json::to_string(&output.answers).unwrap();
    assert!(said.contains("Held packages were changed"), "{said}");
    assert!(said.contains("Version '9.9-9' for 'demo-lib' was not found"), "{said}");
    lab.ssh(APT, "apt-mark unhold demo-app >/dev/null").await;
    remove_debs(lab).await;
}

/// The site's own command instead of the platform's update: once, with what it changed in the outcome.
pub async fn own_update_runs_once_and_reports_what_it_changed(lab: &Lab) {
    const HOST: &str = "deb-02";
    let run_id = lab.run_id();
    let count = "grep -c '^Commandline:.*SiteUpdate=1' /var/log/apt/history.log || true";
    let command = ["apt-get", "-y", "-q", "-o", "SiteUpdate=1", "--only-upgrade", "install", "openssl"];
    for _again in 0..2 {
        let run = lab.run(Playbook::PatchMixed, &[HOST], &run_id, |_, variables| {
            variables.set("pm_update_commands", json!([command])).set("pm_reboot", "never");
        });
        let recording = lab.play(run).await;
        let outcome = recording.outcome(HOST);
        assert_eq!(
            outcome.outcome,
            HostOutcomeKind::Succeeded,
            "{:?} {}",
            outcome.reason,
            recording.output()
        );
        assert!(outcome.changed.iter().any(|change| change.package == "openssl"), "{outcome:?}");
        assert_eq!(lab.ssh(HOST, count).await, "1", "the command ran again");
    }
    lab.roll_back(&[HOST]).await;
    let run = lab.run(Playbook::PatchMixed, &[HOST], &lab.run_id(), |_, variables| {
        variables.set("pm_update_commands", json!([["true"]])).set("pm_reboot", "never");
    });
    let outcome = lab.play(run).await.outcome(HOST);
    assert_eq!(outcome.outcome, HostOutcomeKind::Failed, "the command did not bring what was planned");
    assert!(outcome.reason.as_ref().unwrap().contains("instead of the planned"), "{:?}", outcome.reason);
}

pub async fn dnf_is_asked_with_the_options_of_the_update(lab: &Lab) {
    let updates =
        json!({ "openssl": "1:3.2.2-7.el9_7", "demo-kernel": "6.1.147-1.el9", "demo-tools": "9.9-9" });
    let output = foresee(lab, DNF, &updates, false).await;
    let kept: Vec<&str> = output.packages.iter().map(String::as_str).collect();
    assert_eq!(kept, ["demo-kernel", "openssl"], "{}", serde_json::to_string(&output.answers).unwrap());
    let transaction = output.transaction();
    let updated: Vec<_> = transaction
        .updates
        .iter()
        .map(|one| (one.package.as_str(), one.from.as_str(), one.to.as_str()))
        .collect();
    assert_eq!(
        updated,
        [
            ("demo-kernel", "6.1.140-1.el9", "6.1.147-1.el9"),
            ("openssl", "1:3.2.2-6.el9_6.2", "1:3.2.2-7.el9_7"),
        ]
    );
    assert!(transaction.updates.iter().all(|one| one.origins.len() == 1), "{transaction:?}");
    assert!(transaction.download_bytes.is_some_and(|bytes| bytes > 100_000), "{transaction:?}");
    let said = serde_json::to_string(&output.answers).unwrap();
    assert!(said.contains("demo-tools-9.9-9.noarch"), "{said}");
    assert_eq!(lab.version(DNF, "openssl").await, "1:3.2.2-6.el9_6.2", "nothing was done");
}
