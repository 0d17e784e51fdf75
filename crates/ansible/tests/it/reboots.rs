//! The reboot step: facts of the host, the verdict of the platform, before and after the boot.

use ansible::{HostOutcome, HostOutcomeKind, Playbook};
use domain::workflow::WorkflowStep;
use serde_json::{Value, json};

use crate::{
    fixture::{Fixture, play, runner},
    stub::Guest,
};

const OLD: &str = "5.14.0-427.el9";
const NEW: &str = "5.14.0-427.13.1.el9_4";

fn facts(running: &str, more: Value) -> Value {
    let kernel = |version: &str| json!({ "name": "kernel-core", "version": version });
    let mut facts =
        json!({ "running_kernel": format!("{running}.x86_64"), "kernels": [kernel(OLD), kernel(NEW)] });
    facts.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    facts
}

/// Patches a guest that reports these facts at each boot. Returns its outcome and how often it was booted.
async fn patch(reboot_facts: Vec<Value>, reboot: &str) -> Option<(HostOutcome, u32)> {
    let runner = runner()?;
    let guest = Guest { reboot_facts, needs_reboot: false, ..Guest::default() };
    let fixture = Fixture::new(vec![("h1".into(), guest)]);
    let mut run = fixture.run(Playbook::PatchRhel, |_| {});
    run.extra_vars.set("pm_reboot", reboot);
    let outcome = play(&runner, run).await.outcome("h1");
    let boots = fixture.stub.world().guests["h1"].boot;
    Some((outcome, boots))
}

#[tokio::test]
async fn host_is_rebooted_into_the_newer_kernel_of_its_flavour() {
    let Some((outcome, boots)) =
        patch(vec![facts(OLD, json!({})), facts(NEW, json!({}))], "if_required").await
    else {
        return;
    };
    assert_eq!((outcome.outcome, outcome.rebooted, boots), (HostOutcomeKind::Succeeded, true, 2));
    assert_eq!(outcome.warnings, Vec::<String>::new());

    // The release's first kernel next to its update, which runs.
    let (outcome, boots) = patch(vec![facts(NEW, json!({}))], "if_required").await.unwrap();
    assert_eq!((outcome.outcome, outcome.rebooted, boots), (HostOutcomeKind::Succeeded, false, 1));
}

#[tokio::test]
async fn host_that_comes_back_with_its_old_kernel_fails() {
    let Some((outcome, boots)) = patch(vec![facts(OLD, json!({}))], "if_required").await else { return };
    assert_eq!((outcome.outcome, outcome.step), (HostOutcomeKind::Failed, Some(WorkflowStep::Reboot)));
    assert_eq!(boots, 2);
    let reason = outcome.reason.unwrap();
    assert!(reason.contains("came back with its old kernel") && reason.contains(NEW), "{reason}");
}

#[tokio::test]
async fn request_that_a_proven_reboot_leaves_is_a_warning() {
    let marker = json!({ "marker": { "path": "/run/reboot-required", "packages": ["dbus"] } });
    let Some((outcome, boots)) = patch(vec![facts(NEW, marker)], "if_required").await else { return };
    assert_eq!((outcome.outcome, outcome.rebooted, boots), (HostOutcomeKind::Succeeded, true, 2));
    assert_eq!(outcome.warnings.len(), 1);
    assert!(outcome.warnings[0].contains("`/run/reboot-required` asks for a reboot, for dbus"));
}

#[tokio::test]
async fn unknown_kernel_is_no_reason_to_reboot() {
    let unknown = facts("6.10.3-custom", json!({}));
    let Some((outcome, boots)) = patch(vec![unknown.clone()], "if_required").await else { return };
    assert_eq!((outcome.outcome, outcome.rebooted, boots), (HostOutcomeKind::Succeeded, false, 1));
    let (outcome, boots) = patch(vec![unknown], "always").await.unwrap();
    assert_eq!((outcome.outcome, outcome.rebooted, boots), (HostOutcomeKind::Succeeded, true, 2));
}
