//! Whether a host needs a reboot: kernels of every flavour, and the other requests.

use advisories::Packaging::{self, Dpkg, Rpm};
use advisories::reboot::{
    AfterBoot, InstalledKernel, Marker, NeedsRestarting, RebootCause, RebootFacts, RebootVerdict, judge,
};
use serde::Deserialize;

fn facts(running: &str, kernels: &[(&str, &str)]) -> RebootFacts {
    let kernel =
        |(name, version): &(&str, &str)| InstalledKernel { name: (*name).into(), version: (*version).into() };
    RebootFacts {
        running_kernel: Some(running.to_owned()),
        kernels: Some(kernels.iter().map(kernel).collect()),
        ..RebootFacts::default()
    }
}

/// `Some(true)` if a reboot is needed, `None` if that is unknown.
fn needed(packaging: Packaging, facts: &RebootFacts) -> Option<bool> {
    match judge(packaging, facts) {
        RebootVerdict::Needed { .. } => Some(true),
        RebootVerdict::NotNeeded { .. } => Some(false),
        RebootVerdict::Unknown { .. } => None,
    }
}

#[derive(Deserialize)]
struct Case {
    name: String,
    kind: String,
    running: String,
    packages: Vec<(String, String, String, bool)>,
    pending: bool,
}

#[test]
fn first_kernel_of_a_release_is_older_than_its_updates() {
    let Some(path) = test_skip::shared_data("../cases/01-ga-kernel-beside-z-stream/cases.json") else {
        return;
    };
    let cases: Vec<Case> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let packaging = if case.kind == "rpm" { Rpm } else { Dpkg };
        let kernels: Vec<_> = case.packages.iter().map(|(name, version, ..)| (&**name, &**version)).collect();
        assert_eq!(needed(packaging, &facts(&case.running, &kernels)), Some(case.pending), "{}", case.name);
    }
}

/// Every flavour: the running kernel, its package in an older and a newer version, and newer kernels of other flavours.
#[test]
fn only_a_newer_kernel_of_the_running_flavour_counts() {
    let rpm = [
        ("5.14.0-427.el9.x86_64", "kernel-core", "5.14.0-427.el9", "5.14.0-427.13.1.el9_4"),
        ("5.14.0-427.el9.x86_64+rt", "kernel-rt-core", "5.14.0-427.el9", "5.14.0-427.13.1.el9_4"),
        ("5.14.0-427.el9.aarch64+64k", "kernel-64k-core", "5.14.0-427.el9", "5.14.0-427.13.1.el9_4"),
        (
            "5.14.0-427.el9.aarch64+64k-debug",
            "kernel-64k-debug-core",
            "5.14.0-427.el9",
            "5.14.0-427.13.1.el9_4",
        ),
        ("5.14.0-427.el9.x86_64+debug", "kernel-debug-core", "5.14.0-427.el9", "5.14.0-427.13.1.el9_4"),
        ("5.14.0-427.el9.x86_64+rt-debug", "kernel-rt-debug-core", "5.14.0-427.el9", "5.14.0-427.13.1.el9_4"),
        (
            "4.18.0-553.rt7.342.el8_10.x86_64",
            "kernel-rt-core",
            "4.18.0-553.rt7.342.el8_10",
            "4.18.0-553.16.1.rt7.357.el8_10",
        ),
        ("3.10.0-1160.el7.x86_64.debug", "kernel-debug", "3.10.0-1160.el7", "3.10.0-1160.119.1.el7"),
        (
            "5.15.0-200.131.27.el8uek.x86_64",
            "kernel-uek-core",
            "5.15.0-200.131.27.el8uek",
            "5.15.0-209.161.7.2.el8uek",
        ),
        (
            "5.15.0-200.131.27.el8uek.x86_64",
            "kernel-uek",
            "5.15.0-200.131.27.el8uek",
            "5.15.0-209.161.7.2.el8uek",
        ),
        (
            "5.15.0-200.131.27.el8uek.aarch64+64k",
            "kernel-uek64k-core",
            "5.15.0-200.131.27.el8uek",
            "5.15.0-209.161.7.2.el8uek",
        ),
        ("6.9.7-1.el9.elrepo.x86_64", "kernel-ml-core", "6.9.7-1.el9.elrepo", "6.10.1-1.el9.elrepo"),
        ("5.4.278-1.el8.elrepo.x86_64", "kernel-lt", "5.4.278-1.el8.elrepo", "5.4.280-1.el8.elrepo"),
        ("6.4.0-150600.23.7-default", "kernel-default", "6.4.0-150600.23.7.3", "6.4.0-150600.23.14.2"),
        ("6.4.0-150600.23.7-default", "kernel-default-base", "6.4.0-150600.23.7.3", "6.4.0-150600.23.14.2"),
        ("6.4.0-150600.8.5-azure", "kernel-azure", "6.4.0-150600.8.5.4", "6.4.0-150600.8.8.2"),
        ("6.4.0-150600.10.5-rt", "kernel-rt", "6.4.0-150600.10.5.1", "6.4.0-150600.10.8.3"),
        ("6.4.0-150600.23.7-64kb", "kernel-64kb", "6.4.0-150600.23.7.3", "6.4.0-150600.23.14.2"),
        ("6.1.91-99.172.amzn2023.x86_64", "kernel", "6.1.91-99.172.amzn2023", "6.1.102-108.177.amzn2023"),
        ("6.12.20-23.97.amzn2023.x86_64", "kernel6.12", "6.12.20-23.97.amzn2023", "6.12.29-33.102.amzn2023"),
        (
            "6.6.31-20240529.v8.1.el9",
            "raspberrypi2-kernel4",
            "6.6.31-20240529.v8.1.el9",
            "6.6.51-20240926.v8.1.el9",
        ),
    ];
    for (running, name, old, new) in rpm {
        check(Rpm, running, (name, old), (name, new), &rpm.map(|(_, name, _, _)| name));
    }
}

#[test]
fn dpkg_kernels_are_compared_within_their_flavour() {
    // Each row: the running kernel, its package and version, the newer package and version.
    let dpkg = [
        ("6.1.0-9-amd64", "linux-image-6.1.0-9-amd64", "6.1.27-1", "linux-image-6.1.0-28-amd64", "6.1.119-1"),
        (
            "6.1.0-9-rt-amd64",
            "linux-image-6.1.0-9-rt-amd64",
            "6.1.27-1",
            "linux-image-6.1.0-28-rt-amd64",
            "6.1.119-1",
        ),
        (
            "6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-9-cloud-amd64",
            "6.1.27-1",
            "linux-image-6.1.0-28-cloud-amd64",
            "6.1.119-1",
        ),
        (
            "6.12.9+deb13-arm64",
            "linux-image-6.12.9+deb13-arm64",
            "6.12.9-1",
            "linux-image-6.12.10+deb13-arm64",
            "6.12.10-1",
        ),
        (
            "6.1.0-9-686",
            "linux-image-6.1.0-9-686-unsigned",
            "6.1.27-1",
            "linux-image-6.1.0-28-686-unsigned",
            "6.1.119-1",
        ),
        (
            "5.15.0-91-generic",
            "linux-image-5.15.0-91-generic",
            "5.15.0-91.101",
            "linux-image-5.15.0-130-generic",
            "5.15.0-130.140",
        ),
        (
            "5.15.0-91-lowlatency",
            "linux-image-unsigned-5.15.0-91-lowlatency",
            "5.15.0-91.101",
            "linux-image-unsigned-5.15.0-130-lowlatency",
            "5.15.0-130.140",
        ),
        (
            "6.8.0-1009-aws",
            "linux-image-6.8.0-1009-aws",
            "6.8.0-1009.9",
            "linux-image-6.8.0-1021-aws",
            "6.8.0-1021.23",
        ),
        (
            "6.8.0-1009-azure-fde",
            "linux-image-6.8.0-1009-azure-fde",
            "6.8.0-1009.9",
            "linux-image-6.8.0-1021-azure-fde",
            "6.8.0-1021.23",
        ),
        (
            "6.6.31+rpt-rpi-v8",
            "linux-image-6.6.31+rpt-rpi-v8",
            "1:6.6.31-1+rpt1",
            "linux-image-6.6.51+rpt-rpi-v8",
            "1:6.6.51-1+rpt3",
        ),
        (
            "6.6.31+rpt-rpi-2712",
            "linux-image-6.6.31+rpt-rpi-2712",
            "1:6.6.31-1+rpt1",
            "linux-image-6.6.51+rpt-rpi-2712",
            "1:6.6.51-1+rpt3",
        ),
        (
            "6.8.4-2-pve",
            "proxmox-kernel-6.8.4-2-pve-signed",
            "6.8.4-2",
            "proxmox-kernel-6.8.12-4-pve-signed",
            "6.8.12-4",
        ),
        (
            "5.15.102-1-pve",
            "pve-kernel-5.15.102-1-pve",
            "5.15.102-1",
            "pve-kernel-5.15.158-2-pve",
            "5.15.158-2",
        ),
    ];
    for (running, name, old, newer, new) in dpkg {
        check(Dpkg, running, (name, old), (newer, new), &dpkg.map(|(_, _, _, newer, _)| newer));
    }
}

/// Without the newer kernel no reboot, with it one; other flavours change nothing, however new they are.
fn check(packaging: Packaging, running: &str, old: (&str, &str), new: (&str, &str), others: &[&str]) {
    let newest = if packaging == Rpm { "999.0-1" } else { "9:999.0-1" };
    let at = |kernels: &[(&str, &str)]| needed(packaging, &facts(running, kernels));
    assert_eq!(at(&[old]), Some(false), "{running}");
    assert_eq!(at(&[new, old]), Some(true), "{running}");
    assert_eq!(at(&[new]), Some(true), "{running}, whose package is gone");
    for other in others.iter().filter(|other| !is_same_flavour(packaging, other, new.0)) {
        assert_eq!(at(&[(other, newest), old]), Some(false), "{running} next to {other}");
        assert_eq!(at(&[(other, newest), old, new]), Some(true), "{running} next to {other}");
    }
}

/// Names of one flavour: with dpkg, all but the version; with rpm, the name.
fn is_same_flavour(packaging: Packaging, one: &str, other: &str) -> bool {
    let flavour = |name: &str| match packaging {
        Rpm => name.to_owned(),
        Dpkg => {
            let name = name.trim_end_matches("-signed").trim_end_matches("-unsigned");
            let parts = name.split('-').skip_while(|part| !part.starts_with(|c: char| c.is_ascii_digit()));
            let parts =
                parts.skip_while(|part| part.starts_with(|c: char| c.is_ascii_digit()) && *part != "686");
            parts.collect::<Vec<_>>().join("-")
        }
    };
    flavour(one) == flavour(other)
}

#[test]
fn what_nobody_can_know_is_unknown_with_its_reason() {
    let kernels = [("kernel-core", "5.14.0-427.el9")];
    let unknown = |packaging, facts: &RebootFacts| {
        assert_eq!(needed(packaging, facts), None);
        judge(packaging, facts).to_string()
    };
    assert!(unknown(Rpm, &facts("6.10.3", &kernels)).contains("newer than every installed one"));
    assert!(unknown(Rpm, &facts("5.14.0-1.el9.x86_64+rt", &kernels)).contains("the flavour that runs"));
    assert!(
        unknown(Dpkg, &facts("6.6.44-current-rockchip64", &[("linux-image-6.1.0-9-amd64", "6.1.27-1")]))
            .contains("flavour")
    );
    assert!(unknown(Dpkg, &RebootFacts::default()).contains("does not report"));
    // Two lines of ELRepo, and the running one is of neither installed version.
    let lines = [("kernel-ml", "6.10.1-1.el9.elrepo"), ("kernel-lt", "6.1.90-1.el9.elrepo")];
    assert!(unknown(Rpm, &facts("6.1.80-1.el9.elrepo.x86_64", &lines)).contains("flavour"));
}

#[test]
fn kernel_replaced_under_its_own_name_is_old() {
    let mut facts = facts("6.1.0-28-amd64", &[("linux-image-6.1.0-28-amd64", "6.1.119-2")]);
    facts.running_build = Some("#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-1 (2024-11-22)".into());
    assert_eq!(needed(Dpkg, &facts), Some(true));
    facts.running_build = Some("#1 SMP PREEMPT_DYNAMIC Debian 6.1.119-2 (2024-11-22)".into());
    assert_eq!(needed(Dpkg, &facts), Some(false));
}

#[test]
fn proven_reboot_fails_only_by_an_old_kernel() {
    let old = ("linux-image-6.1.0-9-amd64", "6.1.27-1");
    let marker = Marker { path: "/run/reboot-required".into(), packages: vec!["dbus".into()] };
    let with_marker = RebootFacts { marker: Some(marker.clone()), ..facts("6.1.0-9-amd64", &[old]) };
    let verdict = judge(Dpkg, &with_marker);
    assert_eq!(verdict, RebootVerdict::Needed { causes: vec![RebootCause::Marker(marker)] });
    assert_eq!(verdict.after_boot(), AfterBoot::StillRequested);
    assert_eq!(verdict.to_string(), "`/run/reboot-required` asks for a reboot, for dbus");

    let new = ("linux-image-6.1.0-28-amd64", "6.1.119-1");
    let verdict = judge(Dpkg, &facts("6.1.0-9-amd64", &[old, new]));
    assert_eq!(verdict.after_boot(), AfterBoot::OldKernel);
    assert!(verdict.to_string().contains("`linux-image-6.1.0-28-amd64 6.1.119-1` is installed"));

    let boot = judge(Dpkg, &facts("6.1.0-28-amd64", &[old, new]));
    assert_eq!((boot.after_boot(), boot), (AfterBoot::Done, RebootVerdict::NotNeeded { container: None }));
}

#[test]
fn answer_of_the_tool_decides_before_dates_of_packages() {
    let with = |answer, packages: &[&str]| {
        let updated_since_boot = packages.iter().map(|name| (*name).to_owned()).collect();
        let facts = facts("5.14.0-427.el9.x86_64", &[("kernel-core", "5.14.0-427.el9")]);
        needed(Rpm, &RebootFacts { needs_restarting: answer, updated_since_boot, ..facts })
    };
    assert_eq!(with(Some(NeedsRestarting::Yes), &[]), Some(true));
    assert_eq!(with(Some(NeedsRestarting::No), &["glibc"]), Some(false));
    assert_eq!(with(Some(NeedsRestarting::Failed), &["glibc"]), Some(true));
    assert_eq!(with(None, &["glibc"]), Some(true));
    assert_eq!(with(None, &[]), Some(false));
    let model = |reported| needed(Rpm, &RebootFacts { reported: Some(reported), ..RebootFacts::default() });
    assert_eq!((model(true), model(false)), (Some(true), Some(false)));
}

#[test]
fn container_is_not_judged_by_the_kernel_of_its_host() {
    let kernels = [("kernel-core", "5.14.0-427.el9"), ("kernel-core", "5.14.0-427.13.1.el9_4")];
    let mut facts = facts("5.14.0-427.el9.x86_64", &kernels);
    assert_eq!(needed(Rpm, &facts), Some(true));
    facts.container = Some("lxc".to_owned());
    assert_eq!(needed(Rpm, &facts), Some(false));
    assert!(judge(Rpm, &facts).to_string().contains("container (lxc) and runs the kernel of its own host"));
    facts.needs_restarting = Some(NeedsRestarting::Yes);
    assert_eq!(needed(Rpm, &facts), Some(true));
}
