//! A host without Python: preflight names it, and a run whose policy says so installs it before anything else.

use ansible::{HostOutcomeKind, HostStatus, Playbook};
use domain::{bootstrap::python_command, package::Packaging, preflight::PreflightCheck};
use serde_json::json;

use crate::{
    lab::{Lab, openssl},
    preflight::{self, expect},
};

const HOST: &str = "deb-02";
/// Makes packages of the installed files of Python, puts them into a repository, and removes Python.
const REMOVE_PYTHON: &str = r#"
set -e
rm -rf /srv/python; mkdir -p /srv/python; cd /srv/python
for package in python3 python3-minimal python3.11 python3.11-minimal libpython3-stdlib libpython3.11-stdlib libpython3.11-minimal; do
    mkdir -p build/DEBIAN
    arch=$(dpkg-query -W -f '${Architecture}' $package | head -1)
    control=/var/lib/dpkg/info/$package; [ -e $control.list ] || control=$control:$arch
    dpkg-query -W -f 'Package: ${Package}\nVersion: ${Version}\nArchitecture: ${Architecture}\nMaintainer: ${Maintainer}\nDepends: ${Depends}\nPre-Depends: ${Pre-Depends}\nProvides: ${Provides}\nDescription: as it was installed\n' $package |
        grep -v ': $' >build/DEBIAN/control
    while read -r path; do
        if [ -L "$path" ] || [ -f "$path" ]; then mkdir -p "build$(dirname "$path")"; cp -a "$path" "build$path"; fi
    done <$control.list
    dpkg-deb --root-owner-group -Zgzip -z1 -b build ${package}.deb >/dev/null
    rm -r build
done
: >Packages
for file in *.deb; do
    dpkg-deb -f $file >>Packages
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' $file $(stat -c %s $file) $(sha256sum $file | cut -d' ' -f1) >>Packages
done
echo 'deb [trusted=yes] file:/srv/python ./' >/etc/apt/sources.list.d/python.list
DEBIAN_FRONTEND=noninteractive apt-get -qq -y purge 'python3*' 'libpython3*' >/dev/null 2>&1
! command -v python3
"#;

pub async fn host_without_python_is_named_and_gets_it_first_if_the_policy_says_so(lab: &Lab) {
    lab.ssh(HOST, REMOVE_PYTHON).await;
    let answer = preflight::check(lab, HOST, lab.connection(HOST, preflight::known(lab, HOST))).await;
    expect(&answer, PreflightCheck::Python, "missing: Python cannot be started on the host; install it");

    // The scan says the same in a form that a program reads.
    let results = lab.folder.path().join("scan-without-python");
    std::fs::create_dir(&results).unwrap();
    let mut run = lab.run(Playbook::ScanCompliance, &[HOST], &lab.run_id(), |_, _| {});
    run.extra_vars.set("pm_results_dir", results.to_str().unwrap());
    let recording = lab.play(run).await;
    let failed = recording.results(HOST).find(|result| result.status == HostStatus::Failed).unwrap();
    assert_eq!(failed.failed_check(), Some(PreflightCheck::Python), "{}", recording.output());

    let patch = |command: &'static str| {
        let run = lab.run(Playbook::PatchMixed, &[HOST], &lab.run_id(), |host, variables| {
            variables.set("pm_updates", openssl(host)).set("pm_reboot", "never");
            variables.set("pm_bootstrap_command", command);
        });
        lab.play(run)
    };
    let refused = patch("").await.outcome(HOST);
    assert_eq!(refused.outcome, HostOutcomeKind::Failed, "the policy does not say so");
    let recording = patch("apt-get -y -q install python3-that-nobody-has").await;
    let refused = recording.outcome(HOST);
    let reason = refused.reason.as_ref().unwrap();
    assert!(reason.contains("Python cannot be installed on the host"), "{reason}");
    assert!(reason.contains("E: Unable to locate package python3-that-nobody-has"), "{reason}");

    let recording = patch(python_command(Packaging::Dpkg, "debian12")).await;
    let done = recording.outcome(HOST);
    assert_eq!(done.outcome, HostOutcomeKind::Succeeded, "{:?} {}", done.reason, recording.output());
    assert_eq!(done.warnings, ["it had no Python, which was installed first"]);
    assert_eq!(lab.version(HOST, "openssl").await, openssl(HOST)["openssl"], "and then its update");
    lab.ssh(HOST, "python3 -c 'import json, sqlite3, ssl' 2>/dev/null || python3 -c 'import json'").await;

    // A host that gets only Python keeps its services.
    let run = lab.run(Playbook::PatchMixed, &[HOST], &lab.run_id(), |_, variables| {
        variables.set("pm_updates", json!({})).set("pm_reboot", "if_required");
        variables.set("pm_bootstrap_command", "true");
    });
    let started = "systemctl show -P ActiveEnterTimestampMonotonic nginx";
    let before = lab.ssh(HOST, started).await;
    let recording = lab.play(run).await;
    assert_eq!(recording.outcome(HOST).outcome, HostOutcomeKind::Succeeded, "{}", recording.output());
    assert_eq!(lab.ssh(HOST, started).await, before);
    lab.ssh(HOST, "rm -rf /srv/python /etc/apt/sources.list.d/python.list; apt-get -qq update").await;
    lab.roll_back(&[HOST]).await;
}
