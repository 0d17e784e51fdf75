//! Services that run a replaced library: found on real hosts, restarted, and reported.

use ansible::{HostOutcome, HostOutcomeKind, Playbook};
use serde_json::json;

use crate::lab::{FIRST, Lab};

/// Puts a copy in the place of the library that sshd has loaded, as a package manager does.
const REPLACE_LIBRARY: &str = "lib=$(grep -o '/[^ ]*libcrypto[^ ]*' /proc/$(systemctl show -P MainPID ssh)/maps | head -1); \
                               cp -p \"$lib\" \"$lib.new\" && mv -f \"$lib.new\" \"$lib\" && echo \"$lib\"";

async fn patch(lab: &Lab, rule: &str) -> Vec<HostOutcome> {
    let mut run = lab.run(Playbook::PatchMixed, &FIRST, &lab.run_id(), |_, variables| {
        variables.set("pm_updates", json!({})).set("pm_reboot", "never");
    });
    run.extra_vars.set("pm_restart_services", rule);
    let recording = lab.play(run).await;
    let outcomes: Vec<HostOutcome> = FIRST.iter().map(|host| recording.outcome(host)).collect();
    for outcome in &outcomes {
        assert_eq!(outcome.outcome, HostOutcomeKind::Succeeded, "{}", recording.output());
    }
    outcomes
}

fn runs_old_library(outcome: &HostOutcome) -> bool {
    let found = outcome.stale_services.as_ref().expect("the host was asked").found();
    found.iter().any(|service| service.name == "ssh.service")
}

pub async fn services_with_a_replaced_library_are_reported_and_restarted(lab: &Lab) {
    for host in FIRST {
        assert!(lab.ssh(host, REPLACE_LIBRARY).await.contains("libcrypto"), "{host}");
    }
    assert!(patch(lab, "never").await.iter().all(runs_old_library));
    let before = lab.ssh(FIRST[0], "systemctl show -P MainPID ssh").await;
    let outcomes = patch(lab, "all").await;
    // The connection of the run outlives the restart and does not count.
    assert!(!outcomes.iter().any(runs_old_library), "{outcomes:?}");
    assert_ne!(lab.ssh(FIRST[0], "systemctl show -P MainPID ssh").await, before);
}
