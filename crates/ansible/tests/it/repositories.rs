//! The module that reads the enabled repositories and module streams of a host, against files as package managers write them.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use test_skip::python_tool;

const MODULES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../playbooks/collections/ansible_collections/datacenteros/patch/plugins/module_utils"
);
const PROGRAM: &str = "import json, sys; sys.path.insert(0, sys.argv[1]); import repositories as r; \
                       print(json.dumps([r.repositories(sys.argv[2]), r.enabled_modules(sys.argv[2])]))";

/// What it finds on a host with these files; `None` where Python is missing, which is reported.
fn found(files: &[(&str, &str)]) -> Option<Value> {
    let python = python_tool("python", "PATCH_TEST_PYTHON")?;
    let root = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        fs::write(path, content).unwrap();
    }
    let output = Command::new(python).args(["-B", "-c", PROGRAM, MODULES]).arg(root.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn enabled_repositories_of_apt_are_found_without_credentials() {
    let Some(found) = found(&[
        (
            "etc/apt/sources.list",
            "# deb http://no.example/a b c\ndeb [arch=amd64 signed-by=/k] http://deb.example/debian x main\n",
        ),
        (
            "etc/apt/sources.list.d/esm.list",
            "deb https://bearer:secret@esm.ubuntu.com/infra/ubuntu focal-infra-security main\n",
        ),
        (
            "etc/apt/sources.list.d/more.sources",
            "Types: deb deb-src\nURIs: https://esm.ubuntu.com/apps/ubuntu\n https://two.example/\nSuites: x\n\n\
             Enabled: no\nTypes: deb\nURIs: https://off.example/\n\nTypes: deb-src\nURIs: https://src.example/\n",
        ),
    ]) else {
        return;
    };
    let expected = json!([
        "http://deb.example/debian",
        "https://esm.ubuntu.com/apps/ubuntu",
        "https://esm.ubuntu.com/infra/ubuntu",
        "https://two.example/"
    ]);
    assert_eq!(found, json!([expected, []]));
}

#[test]
fn enabled_repositories_and_streams_of_rpm_are_found() {
    let repository = "[base]\nname = Base\nbaseurl = https://cdn.redhat.com/content/eus/rhel9/$releasever/$basearch/os\nenabled = 1\n\
                      [off]\nbaseurl=https://off.example/\nenabled=0\n";
    let mut files = vec![
        ("etc/os-release", "ID=rhel\nVERSION_ID=\"9.4\"\n"),
        ("etc/yum.repos.d/redhat.repo", repository),
        (
            "etc/zypp/repos.d/u.repo",
            "[ltss]\nenabled=1\nbaseurl=https://u.example/SUSE/Updates/SLE-Product-SLES/15-SP3-LTSS/x86_64/update/\n",
        ),
        ("etc/dnf/modules.d/nodejs.module", "[nodejs]\nname=nodejs\nstream=20\nprofiles=\nstate=enabled\n"),
        ("etc/dnf/modules.d/perl.module", "[perl]\nname=perl\nstream=\nprofiles=\nstate=disabled\n"),
    ];
    for minor in ["9.4", "9.2"] {
        let Some(found) = found(&files) else { return };
        let expected = json!([
            format!("https://cdn.redhat.com/content/eus/rhel9/{minor}/$basearch/os"),
            "https://u.example/SUSE/Updates/SLE-Product-SLES/15-SP3-LTSS/x86_64/update/",
        ]);
        assert_eq!(found, json!([expected, ["nodejs:20"]]));
        // The administrator keeps the host at a minor release.
        files.push(("etc/dnf/vars/releasever", "9.2\n"));
    }
}
