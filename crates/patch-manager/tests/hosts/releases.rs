//! The vendor's own program brings a version of the product to a customer's host, once for each deployment.

use ansible::{HostOutcome, HostOutcomeKind, Playbook};

use crate::lab::Lab;

const HOST: &str = "deb-01";
const PROGRAM: &str = "/etc/patch-manager/deploy-release";

async fn install(lab: &Lab, body: &str) {
    let line = format!(
        "mkdir -p /etc/patch-manager && printf '%s\\n' '#!/bin/sh' '{body}' > {PROGRAM} && chmod 755 {PROGRAM}"
    );
    lab.ssh(HOST, &line).await;
}

async fn deploy(
    lab: &Lab,
    id: &str,
    direction: &str,
    (from, to): (&str, &str),
) -> (HostOutcome, Option<String>) {
    let run = lab.run(Playbook::DeployRelease, &[HOST], &lab.run_id(), |_, variables| {
        variables
            .set("pm_deployment_id", id)
            .set("pm_release_version", to)
            .set("pm_release_from", from)
            .set("pm_release_direction", direction)
            .set("pm_release_artefact", "registry.example/product; touch /root/escaped")
            .set("pm_release_timeout_seconds", 30);
    });
    let told = lab.play(run).await;
    let previous = told.results(HOST).find_map(|result| result.previous_release());
    (told.outcome(HOST), previous)
}

pub async fn release_is_deployed_once_by_the_vendors_program(lab: &Lab) {
    let (missing, _) = deploy(lab, "d-0", "forward", ("v1.0.0", "v1.0.1")).await;
    assert_eq!(missing.outcome, HostOutcomeKind::Failed);
    assert!(missing.reason.as_deref().unwrap().contains("deploy-release` cannot be run"), "{missing:?}");

    install(
        lab,
        "echo \"$RELEASE_DIRECTION $RELEASE_FROM $RELEASE_VERSION $RELEASE_ARTEFACT\" >> /root/deployed",
    )
    .await;
    for _ in 0..2 {
        let (done, previous) = deploy(lab, "d-1", "forward", ("v1.0.0", "v1.0.1")).await;
        assert_eq!((done.outcome, previous), (HostOutcomeKind::Succeeded, None), "{:?}", done.reason);
    }
    let (back, previous) = deploy(lab, "d-2", "back", ("v1.0.1", "v1.0.0")).await;
    assert_eq!((back.outcome, previous.as_deref()), (HostOutcomeKind::Succeeded, Some("v1.0.1")));
    let artefact = "registry.example/product; touch /root/escaped";
    let expected = format!("forward v1.0.0 v1.0.1 {artefact}\nback v1.0.1 v1.0.0 {artefact}");
    assert_eq!(lab.ssh(HOST, "cat /root/deployed; test ! -e /root/escaped").await, expected);

    install(lab, "echo tried >> /root/tried; echo no space left on device; exit 3").await;
    for _ in 0..2 {
        let (failed, _) = deploy(lab, "d-3", "forward", ("v1.0.0", "v1.0.1")).await;
        let reason = failed.reason.as_deref();
        assert_eq!((failed.outcome, reason), (HostOutcomeKind::Failed, Some("no space left on device")));
    }
    assert_eq!(lab.ssh(HOST, "cat /root/tried").await, "tried");
    lab.ssh(HOST, "rm -r /etc/patch-manager /root/deployed /root/tried /var/lib/patch-manager/releases")
        .await;
}
