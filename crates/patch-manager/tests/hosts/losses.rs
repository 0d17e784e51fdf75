//! Work that is stopped, abandoned or interrupted in the middle of a package transaction.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use ansible::{Event, HostOutcomeKind, HostStatus, Playbook, RunningPlaybook};
use domain::workflow::WorkflowStep;
use serde_json::{Value, json};

use crate::lab::{FIRST, Lab, SECOND, next, openssl, record};

async fn slow(lab: &Lab, hosts: &[&str], seconds: u32) -> Vec<Value> {
    let mut faults = Vec::new();
    for host in hosts {
        let fault = json!({ "vm_id": host, "delay_seconds": seconds, "times": 1 });
        faults.push(lab.inject("slow", fault).await);
    }
    faults
}

/// Starts a run, and returns when the package managers of all its hosts are in the middle of their transactions.
async fn in_transaction(lab: &Lab, hosts: &[&str], run_id: &str, attempt: u32) -> RunningPlaybook {
    let run = lab.run(Playbook::PatchMixed, hosts, run_id, |_, variables| {
        variables.set("pm_reboot", "never").set("pm_attempt", attempt);
    });
    let mut running = lab.runner.start(run).await.unwrap();
    crate::lab::until_step(&mut running, WorkflowStep::Update).await;
    for host in hosts {
        lab.until(
            host,
            &format!(
                "grep -q installing {} && test -s /run/fleet-faults/strikes",
                transaction_file(run_id, attempt)
            ),
        )
        .await;
    }
    running
}

fn transaction_file(run_id: &str, attempt: u32) -> String {
    format!("/var/lib/patch-manager/transactions/{run_id}_{attempt}.json")
}

async fn forget_strikes(lab: &Lab, hosts: &[&str], faults: Vec<Value>) {
    for fault in &faults {
        lab.end(fault).await;
    }
    for host in hosts {
        lab.ssh(host, "rm -f /run/fleet-faults/strikes").await;
    }
}

async fn recover(lab: &Lab, hosts: &[&str], run_id: &str) {
    let recording = lab.play(lab.run(Playbook::RecoverHost, hosts, run_id, |_, _| {})).await;
    for host in hosts {
        assert_eq!(recording.outcome(host).outcome, HostOutcomeKind::Succeeded, "{}", recording.output());
        assert_eq!(lab.ssh(host, "systemctl is-active nginx").await, "active");
    }
}

pub async fn cancel_finishes_the_transaction_and_starts_nothing_else(lab: &Lab) {
    let (run_id, faults) = (lab.run_id(), slow(lab, &FIRST, 5).await);
    let running = in_transaction(lab, &FIRST, &run_id, 1).await;
    running.request_stop();
    let recording = record(running).await;
    for host in FIRST {
        let outcome = recording.outcome(host);
        assert_eq!((outcome.outcome, outcome.step), (HostOutcomeKind::Stopped, Some(WorkflowStep::Reboot)));
        assert_eq!(lab.version(host, "openssl").await, openssl(host)["openssl"], "{host}");
        assert!(outcome.changed.iter().any(|change| change.package == "openssl"), "{host}");
    }
    recover(lab, &FIRST, &run_id).await;
    forget_strikes(lab, &FIRST, faults).await;
    lab.roll_back(&FIRST).await;
}

pub async fn transaction_survives_its_orchestrator_and_is_adopted(lab: &Lab) {
    let (run_id, faults) = (lab.run_id(), slow(lab, &FIRST, 6).await);
    let running = in_transaction(lab, &FIRST, &run_id, 1).await;
    let killed = Command::new("kill").args(["-KILL", &running.process().pid.to_string()]).status().unwrap();
    assert!(killed.success());
    let recording = record(running).await;
    assert_eq!(recording.ended.unfinished.len(), 2, "its outcome is unknown");

    // The next owner repeats the action with the same run and attempt.
    let recording = lab
        .play(lab.run(Playbook::PatchMixed, &FIRST, &run_id, |_, variables| {
            variables.set("pm_reboot", "never");
        }))
        .await;
    for host in FIRST {
        let outcome = recording.outcome(host);
        assert_eq!(outcome.outcome, HostOutcomeKind::Succeeded, "{}", recording.output());
        assert!(
            outcome.changed.iter().any(|change| change.package == "openssl"),
            "{host} does not report what was done"
        );
        lab.ssh(host, &format!("grep -q '\"began_times\": 1' {}", transaction_file(&run_id, 1))).await;
        assert_eq!(lab.ssh(host, "systemctl is-active nginx").await, "active");
    }
    forget_strikes(lab, &FIRST, faults).await;
    lab.roll_back(&FIRST).await;
}

pub async fn host_that_dies_in_mid_transaction_is_repaired(lab: &Lab) {
    let (run_id, faults) = (lab.run_id(), slow(lab, &SECOND, 600).await);
    let running = in_transaction(lab, &SECOND, &run_id, 1).await;
    for host in SECOND {
        lab.inject("host-failure", json!({ "vm_id": host })).await;
    }
    let recording = record(running).await;
    for host in SECOND {
        assert_eq!(recording.outcome(host).outcome, HostOutcomeKind::Unreachable, "{}", recording.output());
        lab.operator.post(&format!("/sim/vms/{host}/power"), &json!({ "action": "on" })).await.expect(200);
        lab.until(host, "systemctl is-active nginx").await;
    }
    let recording = lab
        .play(lab.run(Playbook::PatchMixed, &SECOND, &run_id, |_, variables| {
            variables.set("pm_reboot", "never").set("pm_attempt", 2);
        }))
        .await;
    for host in SECOND {
        assert_eq!(recording.outcome(host).outcome, HostOutcomeKind::Succeeded, "{}", recording.output());
        assert_eq!(lab.version(host, "openssl").await, openssl(host)["openssl"], "{host}");
    }
    assert_eq!(lab.ssh(SECOND[0], "dpkg --audit").await, "");
    assert_eq!(lab.ssh(SECOND[1], "dnf -q -C repoquery --duplicates").await, "");
    forget_strikes(lab, &SECOND, faults).await;
    lab.roll_back(&SECOND).await;
}

pub async fn partition_ends_as_unreachable(lab: &Lab) {
    let (run_id, faults) = (lab.run_id(), slow(lab, &["deb-02"], 30).await);
    let mut running = in_transaction(lab, &["deb-02"], &run_id, 1).await;
    let cut = lab.inject("network-partition", json!({ "vm_id": "deb-02" })).await;
    let began = Instant::now();
    let mut outcome = None;
    while let Some(event) = next(&mut running).await {
        if let Event::HostResult(result) = &event {
            assert!(outcome.is_none() || result.status == HostStatus::Unreachable, "{event:?}");
            outcome = outcome.or_else(|| result.outcome());
        }
    }
    println!("a silent host was noticed after {:.1} s", began.elapsed().as_secs_f64());
    assert_eq!(outcome.unwrap().outcome, HostOutcomeKind::Unreachable);
    // Generous, because the machine may be busy: an idle one needs nine seconds and the end of the play.
    assert!(began.elapsed() < Duration::from_secs(60));
    lab.end(&cut).await;
    recover(lab, &["deb-02"], &run_id).await;
    forget_strikes(lab, &["deb-02"], faults).await;
    lab.roll_back(&["deb-02"]).await;
}
