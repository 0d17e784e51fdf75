//! Repositories, packages and hosts that are broken: each ends in a named state with the first words of the command that failed,
//! nothing half-done counts as success, and the other hosts of the playbook go on.

use std::process::Command;

use ansible::{End, HostOutcome, HostOutcomeKind, Playbook};
use domain::{preflight::PreflightCheck, workflow::WorkflowStep};
use serde_json::{Value, json};

use crate::{
    lab::{ALL, Lab, SECOND, old_openssl, openssl, record, until_step},
    made::{self, MAKE_DEBS, Made, install, plain, publish, remove},
    preflight::{self, expect},
    transactions::foresee,
};

const APT: &str = "deb-01";
const DNF: &str = "rpm-01";

#[track_caller]
fn refused(outcome: &HostOutcome, step: WorkflowStep, words: &str) {
    let reason = outcome.reason.as_deref().unwrap_or_default();
    assert_eq!((outcome.outcome, outcome.step), (HostOutcomeKind::Failed, Some(step)), "{reason}");
    assert!(reason.contains(words), "{reason}");
    assert!(outcome.changed.is_empty(), "{outcome:?}");
}

async fn patch(lab: &Lab, host: &str) -> HostOutcome {
    let run = lab.run(Playbook::PatchMixed, &[host], &lab.run_id(), |_, variables| {
        variables.set("pm_reboot", "never");
    });
    lab.play(run).await.outcome(host)
}

/// Preflight finds it before a change is opened, and a run that meets it ends before its services stop.
async fn breaks(lab: &Lab, host: &str, line: &str, mend: &str, words: &str) {
    lab.ssh(host, line).await;
    let answer = preflight::check(lab, host, lab.connection(host, preflight::known(lab, host))).await;
    let outcome = patch(lab, host).await;
    lab.ssh(host, mend).await;
    expect(&answer, PreflightCheck::Repositories, words);
    refused(&outcome, WorkflowStep::Download, words);
    assert_eq!(lab.version(host, "openssl").await, old_openssl(host)["openssl"]);
    assert_eq!(lab.ssh(host, "systemctl is-active nginx").await, "active");
}

/// One family has a repository that answers 404. The other hosts of the same playbook are patched.
pub async fn repository_that_answers_404_stops_only_its_own_hosts(lab: &Lab) {
    lab.ssh(APT, "echo 'deb http://repository.fleet:8077/none none main' >/etc/apt/sources.list.d/none.list")
        .await;
    lab.ssh(DNF, "printf '[none]\\nname=None\\nbaseurl=http://repository.fleet:8077/none\\nenabled=1\\ngpgcheck=0\\n' >/etc/yum.repos.d/none.repo").await;
    let run = lab.run(Playbook::PatchMixed, &ALL, &lab.run_id(), |_, variables| {
        variables.set("pm_reboot", "never");
    });
    let recording = lab.play(run).await;
    lab.ssh(APT, "rm /etc/apt/sources.list.d/none.list").await;
    lab.ssh(DNF, "rm /etc/yum.repos.d/none.repo").await;
    assert_eq!(recording.ended.end, End::HostsFailed);
    for host in [APT, DNF] {
        refused(&recording.outcome(host), WorkflowStep::Download, "404");
        assert_eq!(lab.ssh(host, "systemctl is-active nginx").await, "active");
    }
    for host in SECOND {
        assert_eq!(recording.outcome(host).outcome, HostOutcomeKind::Succeeded, "{}", recording.output());
    }
    lab.roll_back(&SECOND).await;
}

/// Everything else that a repository can do wrong.
pub async fn broken_repositories_are_named_with_the_words_of_the_package_manager(lab: &Lab) {
    tokio::join!(apt_repositories(lab), dnf_repositories(lab));
}

async fn apt_repositories(lab: &Lab) {
    let source = "echo 'deb [trusted=yes] file:/srv/scenario ./' >/etc/apt/sources.list.d/scenario.list";
    let stale = format!(
        "{MAKE_DEBS}\ndeb demo-stale 1.0-1\nindex 'Valid-Until: Mon, 01 Jan 2024 00:00:00 UTC'\n{source}"
    );
    let mend = "rm -rf /srv/scenario /etc/apt/sources.list.d/scenario.list; apt-get -qq update";
    breaks(lab, APT, &stale, mend, "is expired").await;
    // The lists of before do not count: each is fetched and checked again.
    let unknown = "cp /etc/apt/sources.list.d/fleet.list /root/fleet.list; \
                   sed -i 's/ \\[signed-by=[^]]*\\]//' /etc/apt/sources.list.d/fleet.list; rm -rf /var/lib/apt/lists/*";
    let mend = "mv /root/fleet.list /etc/apt/sources.list.d/fleet.list; apt-get -qq update";
    breaks(lab, APT, unknown, mend, "NO_PUBKEY").await;
    unresolvable(lab).await;
}

/// A package that is installed lost what it needs: the scan says that apt cannot resolve, and a run ends with apt's words.
async fn unresolvable(lab: &Lab) {
    let needs = Made { name: "demo-need", version: "1.0-1", deb: &["Depends: demo-base"], rpm: &[] };
    publish(lab, APT, &[needs, plain("demo-base", "1.0-1")]).await;
    install(lab, APT, &["demo-need"]).await;
    lab.ssh(APT, "dpkg --force-depends --remove demo-base >/dev/null 2>&1").await;
    let results = lab.folder.path().join("unresolvable");
    std::fs::create_dir(&results).unwrap();
    let mut run = lab.run(Playbook::ScanCompliance, &[APT], &lab.run_id(), |_, _| {});
    run.extra_vars.set("pm_results_dir", results.to_str().unwrap());
    let recording = lab.play(run).await;
    let scan = std::fs::read(results.join(format!("{APT}.json")))
        .unwrap_or_else(|_| panic!("{}", recording.output()));
    let scan: Value = serde_json::from_slice(&scan).unwrap();
    assert_eq!(scan["repositories"]["state"], "failed", "{}", scan["repositories"]);
    let words = "demo-need : Depends: demo-base but it is not";
    assert!(scan["repositories"]["reason"].as_str().unwrap().contains(words), "{}", scan["repositories"]);
    let outcome = patch(lab, APT).await;
    lab.ssh(APT, "dpkg --purge demo-need >/dev/null").await;
    refused(&outcome, WorkflowStep::Download, words);
    remove(lab, APT, &["demo-need"]).await;
}

async fn dnf_repositories(lab: &Lab) {
    let gone = "printf '[gone]\\nname=Gone\\nbaseurl=file:///srv/nowhere\\nenabled=1\\ngpgcheck=0\\n' >/etc/yum.repos.d/gone.repo";
    breaks(lab, DNF, gone, "rm /etc/yum.repos.d/gone.repo", "Failed to download metadata for repo 'gone'")
        .await;

    let needs = Made { name: "demo-need", version: "2.0-1", deb: &[], rpm: &["Requires: demo-nowhere"] };
    publish(lab, DNF, &[plain("demo-need", "1.0-1")]).await;
    install(lab, DNF, &["demo-need"]).await;
    publish(lab, DNF, &[plain("demo-need", "1.0-1"), needs]).await;
    let output = foresee(lab, DNF, &json!({ "demo-need": "2.0-1" }), false).await;
    let said = serde_json::to_string(&output.answers).unwrap();
    assert!(output.packages.is_empty() && said.contains("nothing provides demo-nowhere"), "{said}");

    signed_by_an_unknown_key(lab).await;
    remove(lab, DNF, &["demo-need"]).await;
}

/// The package is signed, and the host does not have the key.
async fn signed_by_an_unknown_key(lab: &Lab) {
    publish(lab, DNF, &[plain("demo-need", "1.0-1"), plain("demo-need", "1.1-1")]).await;
    let made = lab.folder.path().join(format!("made-{DNF}"));
    let keys = made.join("keys");
    std::fs::create_dir(&keys).unwrap();
    std::fs::set_permissions(&keys, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let gpg = |program: &str| {
        let mut command = Command::new(program);
        command.env("GNUPGHOME", &keys);
        command
    };
    let key = [
        "--batch",
        "--quiet",
        "--passphrase",
        "",
        "--quick-gen-key",
        "Scenario <scenario@example.com>",
        "rsa3072",
        "sign",
        "never",
    ];
    made::succeeds(gpg("gpg").args(key));
    let file = made.join("repository/demo-need-1.1-1.noarch.rpm");
    made::succeeds(
        gpg("rpmsign")
            .args([
                "--define",
                "_gpg_name scenario@example.com",
                "--define",
                "__gpg /usr/bin/gpg",
                "--addsign",
            ])
            .arg(file),
    );
    made::succeeds(gpg("gpgconf").args(["--kill", "gpg-agent"]));
    made::succeeds(Command::new("createrepo_c").arg("-q").arg(made.join("repository")));
    lab.send(DNF, &made.join("repository"), "/srv/scenario").await;
    lab.ssh(DNF, "sed -i 's/gpgcheck=0/gpgcheck=1/' /etc/yum.repos.d/scenario.repo").await;
    let run = lab.run(Playbook::PatchMixed, &[DNF], &lab.run_id(), |_, variables| {
        variables.set("pm_updates", json!({ "demo-need": "1.1-1" })).set("pm_reboot", "never");
    });
    let outcome = lab.play(run).await.outcome(DNF);
    refused(&outcome, WorkflowStep::Download, "GPG check FAILED");
    assert_eq!(lab.version(DNF, "demo-need").await, "1.0-1");
}

/// A program that never ends holds the lock of the package manager.
pub async fn lock_that_never_frees_ends_the_host_with_its_holder(lab: &Lab) {
    let hold = |path: &str| {
        format!(
            "systemd-run --quiet --unit=stuck python3 -c \"import fcntl, time; f = open('{path}', 'w'); fcntl.lockf(f, fcntl.LOCK_EX); time.sleep(900)\""
        )
    };
    let locks = [(SECOND[0], "/var/lib/dpkg/lock-frontend"), (SECOND[1], "/var/lib/rpm/.rpm.lock")];
    for (host, path) in locks {
        lab.ssh(host, &hold(path)).await;
        lab.until(host, "pgrep -f 'fcntl.[l]ockf' >/dev/null").await;
    }
    let run = lab.run(Playbook::PatchMixed, &SECOND, &lab.run_id(), |_, variables| {
        variables.set("pm_reboot", "never");
    });
    let recording = lab.play(run).await;
    for (host, path) in locks {
        lab.ssh(host, "systemctl stop stuck").await;
        let outcome = recording.outcome(host);
        refused(&outcome, WorkflowStep::Precheck, &format!("holds the package lock `{path}`"));
        assert!(outcome.reason.as_ref().unwrap().contains("stuck.service"), "{:?}", outcome.reason);
    }
}

/// The disk fills while a package is configured. The host fails with the words of the system, its services run again, and
/// with free space the same run completes.
pub async fn disk_that_fills_in_mid_transaction_is_named_and_mended(lab: &Lab) {
    let run_id = lab.run_id();
    let mut faults = Vec::new();
    for host in SECOND {
        faults.push(lab.inject("slow", json!({ "vm_id": host, "delay_seconds": 8, "times": 1 })).await);
    }
    let updates = |host: &str| {
        let mut updates = openssl(host);
        updates["demo-kernel"] = if host == SECOND[0] { "6.1.147-1" } else { "6.1.147-1.el9" }.into();
        updates["demo-tools"] = if host == SECOND[0] { "2.1-1" } else { "2.1-1.el9" }.into();
        updates
    };
    let run = |attempt: u32| {
        lab.run(Playbook::PatchMixed, &SECOND, &run_id, |host, variables| {
            variables.set("pm_updates", updates(host)).set("pm_reboot", "never").set("pm_attempt", attempt);
        })
    };
    let mut running = lab.runner.start(run(1)).await.unwrap();
    until_step(&mut running, WorkflowStep::Update).await;
    let mut full = Vec::new();
    for host in SECOND {
        lab.until(host, "test -s /run/fleet-faults/strikes").await;
        full.push(lab.inject("disk-full", json!({ "vm_id": host })).await);
    }
    let recording = record(running).await;
    for fault in faults.iter().chain(&full) {
        lab.end(fault).await;
    }
    for host in SECOND {
        let outcome = recording.outcome(host);
        let reason = outcome.reason.clone().unwrap_or_default();
        assert_eq!(outcome.outcome, HostOutcomeKind::Failed, "{host}: {reason} {}", recording.output());
        // dnf meets it first in its own database.
        let words = if host == SECOND[0] { "No space left on device" } else { "database or disk is full" };
        assert!(reason.contains(words), "{host}: {reason}");
        lab.ssh(host, "rm -f /run/fleet-faults/strikes").await;
    }
    let recording = lab.play(run(2)).await;
    for host in SECOND {
        let outcome = recording.outcome(host);
        assert_eq!(
            outcome.outcome,
            HostOutcomeKind::Succeeded,
            "{:?} {}",
            outcome.reason,
            recording.output()
        );
        assert_eq!(lab.version(host, "openssl").await, openssl(host)["openssl"], "{host}");
        assert_eq!(lab.ssh(host, "systemctl is-active nginx").await, "active");
    }
    assert_eq!(lab.ssh(SECOND[0], "dpkg --audit").await, "");
    lab.ssh(
        SECOND[0],
        "apt-get -qq -y --allow-downgrades install demo-kernel=6.1.140-1 demo-tools=2.0-1 >/dev/null",
    )
    .await;
    lab.ssh(SECOND[1], "dnf -q -y downgrade demo-kernel demo-tools >/dev/null").await;
    lab.roll_back(&SECOND).await;
}

/// The host dies after the download, while its services stop: nothing is installed, and the next attempt completes.
pub async fn host_that_dies_between_download_and_install_is_unreachable_and_unchanged(lab: &Lab) {
    let run_id = lab.run_id();
    let run = |attempt: u32| {
        lab.run(Playbook::PatchMixed, &SECOND, &run_id, |_, variables| {
            variables.set("pm_reboot", "never").set("pm_attempt", attempt);
            // It waits here until the host is dead.
            variables.set(
                "pm_pre_update_commands",
                json!(if attempt == 1 { vec![["sleep", "60"]] } else { vec![] }),
            );
        })
    };
    let mut running = lab.runner.start(run(1)).await.unwrap();
    until_step(&mut running, WorkflowStep::PreUpdate).await;
    for host in SECOND {
        lab.inject("host-failure", json!({ "vm_id": host })).await;
    }
    let recording = record(running).await;
    for host in SECOND {
        assert_eq!(recording.outcome(host).outcome, HostOutcomeKind::Unreachable, "{}", recording.output());
        lab.operator.post(&format!("/sim/vms/{host}/power"), &json!({ "action": "on" })).await.expect(200);
        lab.until(host, "systemctl is-active nginx").await;
        assert_eq!(lab.version(host, "openssl").await, old_openssl(host)["openssl"], "{host}");
    }
    let recording = lab.play(run(2)).await;
    for host in SECOND {
        assert_eq!(recording.outcome(host).outcome, HostOutcomeKind::Succeeded, "{}", recording.output());
        assert_eq!(lab.version(host, "openssl").await, openssl(host)["openssl"], "{host}");
    }
    lab.roll_back(&SECOND).await;
}
