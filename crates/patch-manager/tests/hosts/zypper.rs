//! A host like openSUSE Leap, patched with zypper: scanned, foreseen, updated, rebooted, rolled back.

use ansible::{End, HostOutcomeKind, Playbook};
use serde_json::{Value, json};

use crate::{
    lab::{LEAP, Lab},
    transactions::{changes, foresee, patch},
};

const OLD: &str = "3.1.4-150600.5.7.1";
const NEW: &str = "3.1.4-150600.5.15.1";
const OLD_KERNEL: &str = "6.4.0-150600.23.17.1";
const NEW_KERNEL: &str = "6.4.0-150600.23.25.1";

pub async fn zypper_is_scanned_foreseen_and_patched(lab: &Lab) {
    scan_reports_offers_locks_and_service_pack(lab).await;
    transaction_is_foreseen_and_done(lab).await;
    patches_are_chosen_by_notice_and_by_category(lab).await;
    questions_that_zypper_cannot_answer_fail_with_its_words(lab).await;
}

/// What a scan reports.
async fn scan(lab: &Lab) -> Value {
    let run_id = lab.run_id();
    let results = lab.folder.path().join(format!("scan-{run_id}"));
    std::fs::create_dir(&results).unwrap();
    let mut run = lab.run(Playbook::ScanCompliance, &[LEAP], &run_id, |_, _| {});
    run.extra_vars.set("pm_results_dir", results.to_str().unwrap());
    let recording = lab.play(run).await;
    assert_eq!(recording.ended.end, End::Succeeded, "{}", recording.output());
    serde_json::from_slice(&std::fs::read(results.join(format!("{LEAP}.json"))).unwrap()).unwrap()
}

fn package<'a>(scan: &'a Value, name: &str) -> &'a Value {
    scan["packages"].as_array().unwrap().iter().find(|package| package["name"] == name).unwrap()
}

async fn scan_reports_offers_locks_and_service_pack(lab: &Lab) {
    lab.ssh(LEAP, "zypper -nq addlock 'demo-t*'").await;
    let found = scan(lab).await;
    let release: advisories::OsRelease = found["os"].as_str().unwrap().parse().unwrap();
    assert_eq!(release.to_string(), "opensuse-leap:15.6", "each service pack is a release of its own");
    assert_eq!(found["repositories"]["state"], "asked");
    let openssl = package(&found, "openssl");
    assert_eq!((&openssl["version"], &openssl["candidate"]), (&json!(OLD), &json!(NEW)));
    assert_eq!((&openssl["returnable"], &openssl["held"]), (&json!(true), &json!(false)));
    assert_eq!(package(&found, "demo-tools")["held"], true, "locked by a pattern");
    assert_eq!(package(&found, "curl")["candidate"], Value::Null);
    assert_eq!(found["reboot_facts"]["needs_restarting"], "no");
    let kernels = json!([{ "name": "kernel-default", "version": OLD_KERNEL }]);
    assert_eq!(found["reboot_facts"]["kernels"], kernels);
    lab.ssh(LEAP, "zypper -nq removelock 'demo-t*'").await;
}

async fn transaction_is_foreseen_and_done(lab: &Lab) {
    let updates = json!({ "openssl": NEW, "libopenssl3": NEW, "kernel-default": NEW_KERNEL, "curl": "99-1" });
    let output = foresee(lab, LEAP, &updates, false).await;
    let kept: Vec<&str> = output.packages.iter().map(String::as_str).collect();
    assert_eq!(kept, ["kernel-default", "libopenssl3", "openssl"]);
    let said = serde_json::to_string(&output.answers).unwrap();
    assert!(said.contains("zypper install: ") && said.contains("curl-99-1.noarch"), "{said}");
    let transaction = output.transaction();
    let updated: Vec<_> =
        transaction.updates.iter().map(|one| (one.package.as_str(), one.to.as_str())).collect();
    assert_eq!(updated, [("libopenssl3", NEW), ("openssl", NEW)]);
    let installed: Vec<_> =
        transaction.installs.iter().map(|one| (one.package.as_str(), one.version.as_str())).collect();
    assert_eq!(installed, [("kernel-default", NEW_KERNEL)], "beside the old one");
    assert_eq!(transaction.updates[0].origins, ["Fleet security"]);
    assert!(transaction.download_bytes.is_some_and(|bytes| bytes > 150_000), "{transaction:?}");
    assert_eq!(lab.version(LEAP, "openssl").await, OLD, "nothing was done");

    let updates = json!({ "openssl": NEW, "libopenssl3": NEW, "kernel-default": NEW_KERNEL });
    let run_id = lab.run_id();
    let run = lab.run(Playbook::PatchMixed, &[LEAP], &run_id, |_, variables| {
        variables.set("pm_updates", updates.clone()).set("pm_reboot", "always");
    });
    let recording = lab.play(run).await;
    let done = recording.outcome(LEAP);
    assert_eq!(done.outcome, HostOutcomeKind::Succeeded, "{}", recording.output());
    assert!(done.rebooted);
    assert_eq!(
        changes(&done),
        [
            ("kernel-default", Some(OLD_KERNEL), Some(NEW_KERNEL)),
            ("libopenssl3", Some(OLD), Some(NEW)),
            ("openssl", Some(OLD), Some(NEW)),
        ]
    );
    let kernels = lab.ssh(LEAP, "rpm -q kernel-default | wc -l").await;
    assert_eq!(kernels, "2", "the old kernel stays");
    let history = lab.ssh(LEAP, "grep -c '|command|.*patch-manager run' /var/log/zypp/history || true").await;
    assert_ne!(history, "0", "zypper's history names the transaction");
    assert_eq!(lab.ssh(LEAP, "systemctl is-active nginx").await, "active");

    let back = lab.run(Playbook::RollbackSnapshot, &[LEAP], &run_id, |_, variables| {
        variables.set("pm_downgrades", json!({ "openssl": OLD, "libopenssl3": OLD }));
    });
    let recording = lab.play(back).await;
    assert_eq!(recording.outcome(LEAP).outcome, HostOutcomeKind::Succeeded, "{}", recording.output());
    assert_eq!(lab.version(LEAP, "openssl").await, OLD);
}

async fn patches_are_chosen_by_notice_and_by_category(lab: &Lab) {
    let selected = async |selection: &str, advisories: Value| {
        let run = lab.run(Playbook::PatchMixed, &[LEAP], &lab.run_id(), |_, variables| {
            variables.set("pm_updates", json!({})).set("pm_reboot", "never");
            variables.set("pm_selection", selection).set("pm_advisories", advisories.clone());
        });
        let recording = lab.play(run).await;
        (recording.outcome(LEAP), recording)
    };
    let (done, recording) = selected("advisories", json!(["FLEET-SLE-15.6-2026-2"])).await;
    assert_eq!(done.outcome, HostOutcomeKind::Succeeded, "{}", recording.output());
    assert_eq!(changes(&done), [("libopenssl3", Some(OLD), Some(NEW))]);
    let (done, recording) = selected("advisories", json!(["FLEET-SLE-15.6-2026-99"])).await;
    assert_eq!(done.outcome, HostOutcomeKind::Failed, "a notice that no repository has");
    let reason = done.reason.unwrap();
    assert!(reason.contains("FLEET-SLE-15.6-2026-99"), "{reason} {}", recording.output());
    let (done, recording) = selected("security", json!([])).await;
    assert_eq!(done.outcome, HostOutcomeKind::Succeeded, "{}", recording.output());
    assert_eq!(changes(&done), [("openssl", Some(OLD), Some(NEW))], "`demo-tools` is not a security update");
}

async fn questions_that_zypper_cannot_answer_fail_with_its_words(lab: &Lab) {
    let older =
        format!("zypper -nq install --oldpackage -y openssl={OLD} >/dev/null && zypper -nq addlock openssl");
    lab.ssh(LEAP, &older).await;
    let (refused, recording) = patch(lab, LEAP, &json!({ "openssl": NEW }), &[]).await;
    assert_eq!(refused.outcome, HostOutcomeKind::Failed, "{}", recording.output());
    let reason = refused.reason.unwrap();
    assert!(reason.contains("zypper") && reason.contains("conflicting requests"), "{reason}");
    assert_eq!(lab.version(LEAP, "openssl").await, OLD, "nothing is half done");
    lab.ssh(LEAP, "zypper -nq removelock openssl").await;
}
