//! How the answers of package managers become facts about a transaction: what they print, with programs in their place.

use std::{fs, path::Path};

use domain::transaction::{Foreseen, Transaction};
use serde_json::{Value, json};
use test_skip::python_tool;

use crate::programs::Programs;

/// Asks about packages, or prints the command of the update. Only the programs of the folder are found.
const ASK: &str = "
import json, subprocess, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.datacenteros.patch.plugins.module_utils import dpkg, rpm, zypper
def run(argv):
    done = subprocess.run(argv, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr
system = {'dpkg': dpkg.Dpkg, 'rpm': rpm.Rpm, 'zypper': zypper.Zypper}[sys.argv[2]](run)
wanted, removals = json.loads(sys.argv[4]), json.loads(sys.argv[5])
if sys.argv[3] == 'foresee':
    print(json.dumps(system.foresee(wanted)))
else:
    print(json.dumps([system.exact(wanted, 'run:1', removals=removals), system.refusal(wanted, removals)]))
";

/// `libtool` for two architectures, and what a metapackage brings.
const INSTALLED: &str = "printf 'tool\\t1.0-1\\tamd64\\ttool\\t1.0-1\\tii \\t\\n\
                         libtool:amd64\\t1.0-1\\tamd64\\ttool\\t1.0-1\\tii \\t\\n\
                         libtool:i386\\t1.0-1\\ti386\\ttool\\t1.0-1\\tii \\t\\n\
                         linux-image-amd64\\t6.1.10-1\\tamd64\\tlinux-signed\\t6.1.10+1\\tii \\t\\n'";
const SIZES: &str = "printf 'tool 100\\nlibtool 50\\nlinux-image-amd64 10\\nold-plugin 30\\n'";
const SIMULATION: &str = r#"cat <<'END'
Reading package lists...
The following NEW packages will be installed:
  linux-image-6.1.0-29-amd64
Remv old-plugin [0.9-1] [tool:amd64 ]
Inst libtool:i386 [1.0-1] (1.0-3 Debian:12.9/stable [i386]) [libtool:amd64 on libtool:i386] []
Inst libtool [1.0-1] (1.0-3 Debian:12.9/stable [amd64])
Inst linux-image-6.1.0-29-amd64 (6.1.123-1 Debian:12.9/stable, Debian-Security:12/stable-security [amd64])
Inst linux-image-amd64 [6.1.10-1] (6.1.123-1 Debian-Security:12/stable-security [amd64])
Inst tool [1.0-1] (1.0-3 Some Vendor:/ [amd64]) []
Conf tool (1.0-3 Some Vendor:/ [amd64])
END"#;
const SHOWN: &str = r#"cat <<'END'
Package: tool
Version: 1.0-3
Installed-Size: 140
Description: tool
 Size: 1 is not its size
Size: 4000

Package: libtool
Version: 1.0-3
Installed-Size: 50
Size: 2000

Package: linux-image-amd64
Version: 6.1.123-1
Installed-Size: 10
Size: 100

Package: linux-image-6.1.0-29-amd64
Version: 6.1.123-1
Installed-Size: 400000
Size: 68000000
END"#;

/// A host with apt. The file `apt-get.called` has how it was called.
fn apt(simulation: &str) -> Programs {
    let query = format!("case \"$*\" in *Installed-Size*) {SIZES};; *) {INSTALLED};; esac");
    Programs::new()
        .add("dpkg-query", &query)
        .add("apt-get", &format!("echo \"$@\" >\"$0.called\"\n{simulation}"))
        .add("apt-cache", SHOWN)
}

/// How `apt-get` was called.
fn called(programs: &Programs) -> String {
    fs::read_to_string(programs.path("apt-get.called")).unwrap()
}

pub fn ask(
    programs: &Programs,
    packaging: &str,
    what: &str,
    wanted: Value,
    removals: Value,
) -> Option<Value> {
    let python = python_tool("python", "PATCH_TEST_PYTHON")?;
    let arguments = [packaging, what, &wanted.to_string(), &removals.to_string()];
    Some(programs.ask(Path::new(&python), ASK, arguments))
}

fn wanted() -> Value {
    json!({ "tool": "1.0-3", "libtool": "1.0-3", "linux-image-amd64": "6.1.123-1" })
}

#[test]
fn simulation_of_apt_is_read_with_new_packages_removals_origins_and_sizes() {
    let programs = apt(SIMULATION);
    let Some(answer) = ask(&programs, "dpkg", "foresee", wanted(), json!([])) else { return };
    let Foreseen::Resolved(found) = serde_json::from_value(answer).unwrap() else { panic!("not resolved") };
    let Transaction { updates, installs, removals, download_bytes, disk_bytes, .. } = found.in_order();
    let updates: Vec<_> = updates.iter().map(|one| (one.package.as_str(), one.to.as_str())).collect();
    assert_eq!(updates, [("libtool", "1.0-3"), ("linux-image-amd64", "6.1.123-1"), ("tool", "1.0-3")]);
    assert_eq!(installs.len(), 1);
    assert_eq!(
        (installs[0].package.as_str(), installs[0].version.as_str()),
        ("linux-image-6.1.0-29-amd64", "6.1.123-1")
    );
    assert_eq!(installs[0].origins, ["Debian:12.9/stable", "Debian-Security:12/stable-security"]);
    assert_eq!(
        (removals.len(), removals[0].package.as_str(), removals[0].version.as_str()),
        (1, "old-plugin", "0.9-1")
    );
    // The library of both architectures is fetched.
    let download = 4_000 + 2 * 2_000 + 100 + 68_000_000;
    let grows = (140 + 2 * 50 + 10 + 400_000 - 100 - 2 * 50 - 10 - 30) * 1024;
    assert_eq!((download_bytes, disk_bytes), (Some(download), Some(download + grows)));

    let called = called(&programs);
    assert!(called.contains("-s ") && !called.contains("--no-remove"), "a removal must be seen: {called}");
    assert!(called.ends_with("install -- libtool:amd64=1.0-3 libtool:i386=1.0-3 linux-image-amd64:amd64=6.1.123-1 tool:amd64=1.0-3\n"), "{called}");
}

#[test]
fn unknown_size_is_not_a_small_one() {
    let programs = apt(SIMULATION).add("apt-cache", "echo 'E: no packages found' >&2; exit 100");
    let Some(answer) = ask(&programs, "dpkg", "foresee", wanted(), json!([])) else { return };
    assert_eq!((&answer["state"], &answer["download_bytes"]), (&json!("resolved"), &Value::Null));
}

#[test]
fn refusal_of_apt_keeps_its_first_words() {
    let programs = apt("echo \"E: Version '1.0-3' for 'tool' was not found\" >&2; exit 100");
    let Some(answer) = ask(&programs, "dpkg", "foresee", wanted(), json!([])) else { return };
    assert_eq!(answer["state"], "refused");
    assert_eq!(answer["reason"], "apt-get -s install: E: Version '1.0-3' for 'tool' was not found");
    let absent = ask(&apt(SIMULATION), "dpkg", "foresee", json!({ "gone": "2" }), json!([])).unwrap();
    assert_eq!(absent, json!({ "state": "refused", "reason": "`gone` is not installed any more" }));
}

#[test]
fn host_refuses_to_remove_more_than_the_plan_contains() {
    let programs = apt(SIMULATION);
    let Some(none) = ask(&programs, "dpkg", "exact", wanted(), json!([])) else { return };
    assert!(none[0].as_array().unwrap().contains(&json!("--no-remove")), "apt itself refuses: {none}");
    let planned = ask(&programs, "dpkg", "exact", wanted(), json!(["old-plugin"])).unwrap();
    assert!(!planned[0].as_array().unwrap().contains(&json!("--no-remove")), "{planned}");
    assert_eq!(planned[1], Value::Null);
    let other = ask(&programs, "dpkg", "exact", wanted(), json!(["something"])).unwrap();
    assert_eq!(other[1], "the transaction would remove old-plugin, which the plan does not contain");
}

#[test]
fn tool_that_cannot_be_asked_is_unknown() {
    let rpm = "printf 'tool|1.0-1|x86_64|tool-1.0-1.src.rpm|1|Vendor|(none)\\n'";
    let programs = Programs::new().add("rpm", rpm).add("dnf", "exit 0");
    let Some(answer) = ask(&programs, "rpm", "foresee", json!({ "tool": "1.0-2" }), json!([])) else {
        return;
    };
    assert_eq!(answer["state"], "unknown");
    let command = ask(&programs, "rpm", "exact", json!({ "tool": "1.0-2" }), json!([])).unwrap();
    assert_eq!(command[0].as_array().unwrap().last().unwrap(), "tool-1.0-2.x86_64");
}
