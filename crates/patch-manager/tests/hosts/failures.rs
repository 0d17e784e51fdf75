//! Every step of the workflow fails once: afterwards the host is in service and out of maintenance, or the failure is reported.

use ansible::{HostOutcome, HostOutcomeKind, Playbook, Variables};
use domain::workflow::WorkflowStep;
use serde_json::json;

use crate::lab::{ALL, DEBIAN, Lab, Recording, SECOND};

/// Makes one step of a host fail, by its variables or by a change to the host.
fn break_step(step: &str, variables: &mut Variables, hooks: &mut serde_json::Value) {
    let failing = json!([["false"]]);
    match step {
        "precheck" => variables.set("pm_min_disk_free_percent", 99.99),
        "pre_downtime" => variables.set("pm_pre_downtime_commands", failing),
        "maintenance_on" => {
            hooks["on"] = json!([["/bin/false"]]);
            variables
        }
        "drain" => variables.set("pm_drain", json!({ "command": ["false"] })),
        "pre_update" => variables.set("pm_pre_update_commands", failing),
        "reboot" => variables.set("pm_reboot", "always").set("pm_reboot_timeout_seconds", 6),
        "post_update" => variables.set("pm_post_update_commands", failing),
        "health" => variables.set("pm_post_update_commands", json!([["systemctl", "stop", "nginx"]])),
        "maintenance_off" => {
            hooks["off"] = json!([["/bin/false"]]);
            variables
        }
        "update, not offered" => variables.set("pm_updates", json!({ "openssl": "9:9.9-9" })),
        _ => variables,
    };
}

async fn play(lab: &Lab, steps: [&str; 4]) -> Recording {
    let step_of = |host: &str| steps[ALL.iter().position(|each| *each == host).unwrap()];
    let run = lab.run(Playbook::PatchMixed, &ALL, &lab.run_id(), |host, variables| {
        let marker = lab.folder.path().join(host);
        let mut hooks = json!({ "on": [["touch", marker]], "off": [["rm", "-f", marker]] });
        variables.set("pm_reboot", "never").set("pm_health_timeout_seconds", 3);
        let rule =
            json!({ "timeout_seconds": 60, "retries": 0, "backoff_seconds": 0, "on_failure": "rollback" });
        let short = json!({ "timeout_seconds": 4, "on_failure": "rollback" });
        variables.set(
            "pm_steps",
            json!({ "update": rule, "drain": short, "pre_update": { "on_failure": "abort" } }),
        );
        break_step(step_of(host), variables, &mut hooks);
        variables.set("pm_maintenance_hooks", hooks);
    });
    lab.play(run).await
}

fn failed(recording: &Recording, host: &str, step: &str) -> HostOutcome {
    let outcome = recording.outcome(host);
    assert_eq!(outcome.outcome, HostOutcomeKind::Failed, "{step} on {host}: {}", recording.output());
    assert_eq!(outcome.step.map(WorkflowStep::name), Some(step), "{host}: {:?}", outcome.reason);
    outcome
}

pub async fn every_step_that_fails_leaves_the_host_in_service(lab: &Lab) {
    let refuse = "mkdir -p /run/systemd/system/nginx.service.d && printf '[Unit]\\nRefuseManualStop=yes\\n' > /run/systemd/system/nginx.service.d/refuse.conf && systemctl daemon-reload";
    let broken = lab.inject("patch-failure", json!({ "vm_id": "deb-02", "times": 1 })).await;
    lab.ssh("rpm-01", refuse).await;
    let recording = play(lab, ["precheck", "update", "stop_services", "drain"]).await;
    lab.ssh("rpm-01", "rm -r /run/systemd/system/nginx.service.d && systemctl daemon-reload").await;
    lab.end(&broken).await;
    failed(&recording, "deb-01", "precheck");
    assert_eq!(failed(&recording, "deb-02", "update").on_failure.as_deref(), Some("rollback"));
    failed(&recording, "rpm-01", "stop_services");
    failed(&recording, "rpm-02", "drain");
    in_service(lab, &recording).await;
    assert_eq!(
        lab.ssh("deb-02", "dpkg --audit").await,
        "",
        "the package database is repaired after a failed update"
    );

    lab.ssh("deb-02", "systemctl mask --runtime reboot.target && systemctl daemon-reload").await;
    let broken = lab.inject("service-failure", json!({ "vm_id": "rpm-01", "service": "nginx" })).await;
    let recording = play(lab, ["pre_downtime", "reboot", "start_services", "maintenance_on"]).await;
    lab.end(&broken).await;
    lab.ssh("deb-02", "systemctl unmask --runtime reboot.target && systemctl daemon-reload").await;
    failed(&recording, "deb-01", "pre_downtime");
    failed(&recording, "deb-02", "reboot");
    let outcome = failed(&recording, "rpm-01", "start_services");
    assert!(outcome.reason.unwrap().contains("starting its services failed"), "the failure is not reported");
    failed(&recording, "rpm-02", "maintenance_on");
    lab.ssh("rpm-01", "systemctl reset-failed; systemctl start nginx").await;
    in_service(lab, &recording).await;

    let recording = play(lab, ["pre_update", "post_update", "health", "maintenance_off"]).await;
    assert_eq!(failed(&recording, "deb-01", "pre_update").on_failure.as_deref(), Some("abort"));
    failed(&recording, "deb-02", "post_update");
    failed(&recording, "rpm-01", "health");
    let outcome = failed(&recording, "rpm-02", "maintenance_off");
    assert!(outcome.reason.unwrap().contains("ending its maintenance failed"), "the failure is not reported");
    std::fs::remove_file(lab.folder.path().join("rpm-02")).unwrap();
    in_service(lab, &recording).await;

    let recording = play(lab, ["update, not offered"; 4]).await;
    for host in ALL {
        // Before its services stop.
        let outcome = failed(&recording, host, "download");
        assert!(outcome.changed.is_empty(), "{host}");
        let words = if DEBIAN.contains(&host) {
            "Version '9:9.9-9' for 'openssl' was not found"
        } else {
            "openssl-9:9.9-9"
        };
        assert!(outcome.reason.as_ref().unwrap().contains(words), "{:?}", outcome.reason);
    }
    in_service(lab, &recording).await;
    lab.roll_back(&ALL).await;
}

async fn in_service(lab: &Lab, recording: &Recording) {
    for host in ALL {
        let state = lab.ssh(host, "systemctl is-active nginx || true").await;
        assert_eq!(state, "active", "{host} is not in service: {}", recording.output());
        assert!(!lab.folder.path().join(host).exists(), "{host} is in maintenance: {}", recording.output());
    }
}

pub async fn steps_are_retried_or_passed_over(lab: &Lab) {
    let run = lab.run(Playbook::PatchMixed, &SECOND, &lab.run_id(), |_, variables| {
        let second_time = json!([["/bin/sh", "-c", "test -e /run/tried || { touch /run/tried; exit 1; }"]]);
        variables
            .set("pm_reboot", "never")
            .set("pm_pre_update_commands", second_time)
            .set("pm_post_update_commands", json!([["false"]]))
            .set("pm_pre_downtime_commands", json!([["sleep", "60"]]))
            .set("pm_steps", json!({
                "pre_downtime": { "timeout_seconds": 2, "on_failure": "continue" },
                "pre_update": { "timeout_seconds": 30, "retries": 2, "backoff_seconds": 1, "on_failure": "abort" },
                "post_update": { "retries": 1, "backoff_seconds": 0, "on_failure": "continue" },
            }));
    });
    let recording = lab.play(run).await;
    for host in SECOND {
        let outcome = recording.outcome(host);
        assert_eq!(outcome.outcome, HostOutcomeKind::Succeeded, "{}", recording.output());
        let passed_over: Vec<_> = outcome.passed_over.iter().map(|each| each.step.as_str()).collect();
        assert_eq!(passed_over, ["post_update", "pre_downtime"], "{host}");
        let tries = |step| {
            let result = recording.results(host).find(|result| result.step == Some(step)).unwrap();
            result.data.as_ref().unwrap()["pm_tries"].as_u64()
        };
        assert_eq!(tries(WorkflowStep::PreUpdate), Some(2), "{host}");
        assert_eq!(tries(WorkflowStep::PostUpdate), Some(2), "{host}");
    }
    lab.roll_back(&SECOND).await;
}
