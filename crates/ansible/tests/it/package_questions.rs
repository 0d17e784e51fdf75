//! What the modules report when a package manager cannot answer, with programs that answer in its place.

use std::path::{Path, PathBuf};

use ansible::AnsibleRunner;
use serde_json::{Value, json};

use crate::{fixture::runner, programs::Programs};

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

fn describe(programs: &Programs, runner: &AnsibleRunner, packaging: &str) -> Value {
    programs.ask(&python(runner), DESCRIBE, [packaging])
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
    let answer = describe(&apt(unmet), &runner, "dpkg");
    let problem = answer["problem"].as_str().unwrap();
    for words in ["apt-get -s dist-upgrade: ", "tool : Depends: libother", "E: Unmet dependencies"] {
        assert!(problem.contains(words), "{problem}");
    }
    assert_eq!(answer["package"]["candidate"], Value::Null);

    let answer = describe(&apt("exit 0"), &runner, "dpkg");
    assert_eq!((&answer["problem"], &answer["package"]["candidate"]), (&Value::Null, &Value::Null));

    let offer = "echo 'Inst tool [1.0-1] (1.0-2 Debian-Security:12/stable-security [amd64])'";
    let madison = "echo '      tool | 1.0-2 | http://example.org/debian-security bookworm-security/main'";
    let answer = describe(&apt(offer).add("apt-cache", madison), &runner, "dpkg");
    let package = &answer["package"];
    assert_eq!((&answer["problem"], &package["candidate"]), (&Value::Null, &json!("1.0-2")));
    assert_eq!(package["candidate_origin"], "Debian-Security:12/stable-security");
    let answer =
        describe(&apt(offer).add("apt-cache", "echo 'E: damaged lists' >&2; exit 100"), &runner, "dpkg");
    assert_eq!(answer["problem"], "apt-cache madison: E: damaged lists");
}

#[test]
fn dnf_that_cannot_answer_is_not_an_empty_answer() {
    let Some(runner) = runner() else { return };
    let dnf = |script: &str| Programs::new().add("dnf", script);
    let answer =
        describe(&dnf("echo 'Error: Failed to load metadata for repo base' >&2; exit 1"), &runner, "rpm");
    assert_eq!(answer["problem"], "dnf repoquery --upgrades: Error: Failed to load metadata for repo base");

    let answer = describe(&dnf("exit 0"), &runner, "rpm");
    assert_eq!((&answer["problem"], &answer["package"]["candidate"]), (&Value::Null, &Value::Null));

    let offers = "case \"$*\" in *--upgrades*) echo 'tool|x86_64|1.0-3';; \
                  *) echo 'tool|x86_64|1.0-1'; echo 'tool|x86_64|1.0-2'; echo 'tool|x86_64|1.0-3';; esac";
    let answer = describe(&dnf(offers), &runner, "rpm");
    let package = &answer["package"];
    assert_eq!((&package["candidate"], &package["returnable"]), (&json!("1.0-3"), &json!(true)));
    assert_eq!(package["offered"], json!(["1.0-1", "1.0-2", "1.0-3"]));
}
