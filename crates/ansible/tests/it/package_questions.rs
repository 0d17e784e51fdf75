//! What the modules report when a package manager cannot answer, with programs that answer in its place.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use ansible::{AnsibleRunner, Playbooks};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fixture::runner;

/// Describes one installed package as the module `inspect` does. Only the programs of the folder are found.
const DESCRIBE: &str = "
import json, subprocess, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.datacenteros.patch.plugins.module_utils import dpkg, rpm
def run(argv):
    done = subprocess.run(argv, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr
system = {'dpkg': dpkg.Dpkg, 'rpm': rpm.Rpm}[sys.argv[2]](run)
packages = [{'name': 'tool', 'version': '1.0-1', 'arch': 'x86_64'}]
print(json.dumps({'problem': system.describe(packages), 'package': packages[0]}))
";

struct Programs(TempDir);

impl Programs {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn add(self, name: &str, script: &str) -> Self {
        let path = self.0.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn describe(&self, runner: &AnsibleRunner, packaging: &str) -> Value {
        let collections: PathBuf = Playbooks::locate().unwrap().folder().join("collections");
        let output = Command::new(python(runner))
            .args(["-B", "-c", DESCRIBE])
            .args([collections.as_os_str(), packaging.as_ref()])
            .env("PATH", self.0.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn python(runner: &AnsibleRunner) -> PathBuf {
    let python = runner.program().with_file_name("python3");
    assert!(Path::new(&python).is_file(), "{}", python.display());
    python
}

#[test]
fn apt_that_cannot_resolve_is_not_an_empty_answer() {
    let Some(runner) = runner() else { return };
    let apt = |script: &str| Programs::new().add("apt-mark", "exit 0").add("apt-get", script);
    let unmet = "echo 'The following packages have unmet dependencies:'\n\
                 echo ' tool : Depends: libother (>= 2) but it is not installable'\n\
                 echo 'E: Unmet dependencies. Try apt --fix-broken install.' >&2; exit 100";
    let answer = apt(unmet).describe(&runner, "dpkg");
    let problem = answer["problem"].as_str().unwrap();
    for words in ["apt-get -s dist-upgrade: ", "tool : Depends: libother", "E: Unmet dependencies"] {
        assert!(problem.contains(words), "{problem}");
    }
    assert_eq!(answer["package"]["candidate"], Value::Null);

    let answer = apt("exit 0").describe(&runner, "dpkg");
    assert_eq!((&answer["problem"], &answer["package"]["candidate"]), (&Value::Null, &Value::Null));

    let offer = "echo 'Inst tool [1.0-1] (1.0-2 Debian-Security:12/stable-security [amd64])'";
    let madison = "echo '      tool | 1.0-2 | http://example.org/debian-security bookworm-security/main'";
    let answer = apt(offer).add("apt-cache", madison).describe(&runner, "dpkg");
    let package = &answer["package"];
    assert_eq!((&answer["problem"], &package["candidate"]), (&Value::Null, &json!("1.0-2")));
    assert_eq!(package["candidate_origin"], "Debian-Security:12/stable-security");
    let answer =
        apt(offer).add("apt-cache", "echo 'E: damaged lists' >&2; exit 100").describe(&runner, "dpkg");
    assert_eq!(answer["problem"], "apt-cache madison: E: damaged lists");
}

#[test]
fn dnf_that_cannot_answer_is_not_an_empty_answer() {
    let Some(runner) = runner() else { return };
    let dnf = |script: &str| Programs::new().add("dnf", script);
    let answer =
        dnf("echo 'Error: Failed to load metadata for repo base' >&2; exit 1").describe(&runner, "rpm");
    assert_eq!(answer["problem"], "dnf repoquery --upgrades: Error: Failed to load metadata for repo base");

    let answer = dnf("exit 0").describe(&runner, "rpm");
    assert_eq!((&answer["problem"], &answer["package"]["candidate"]), (&Value::Null, &Value::Null));

    let offers = "case \"$*\" in *--upgrades*) echo 'tool|x86_64|1.0-3';; \
                  *) echo 'tool|x86_64|1.0-1'; echo 'tool|x86_64|1.0-2'; echo 'tool|x86_64|1.0-3';; esac";
    let answer = dnf(offers).describe(&runner, "rpm");
    let package = &answer["package"];
    assert_eq!((&package["candidate"], &package["returnable"]), (&json!("1.0-3"), &json!(true)));
    assert_eq!(package["offered"], json!(["1.0-1", "1.0-2", "1.0-3"]));
}
