//! What preflight reads on a host: who holds a package lock, what is free, what a package manager says first; and the download
//! that comes before the services stop.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use ansible::Playbooks;
use domain::preflight::{PreflightAnswer, PreflightFacts, PreflightNeed};
use serde_json::{Value, json};
use test_skip::python_tool;

use crate::programs::Programs;

/// Takes the lock of a file as dpkg does, and holds it until its input ends.
const HOLD: &str = "
import fcntl, sys
file = open(sys.argv[1], 'w')
fcntl.lockf(file, fcntl.LOCK_EX)
print('held', flush=True)
sys.stdin.read()
";
const HOLDER: &str = "
import json, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.datacenteros.patch.plugins.module_utils import locks
print(json.dumps(locks.lock_holder(sys.argv[2:])))
";

/// A process that holds a lock, and ends with the test.
struct Holder(Child);

impl Holder {
    fn start(python: &Path, file: &Path, more: &str) -> Self {
        let mut child = Command::new(python)
            .args(["-c", HOLD])
            .arg(file)
            .arg(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Self(child)
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

fn python() -> Option<PathBuf> {
    python_tool("python", "PATCH_TEST_PYTHON")
}

#[test]
fn holder_of_a_lock_is_named_with_its_command_and_without_its_password() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (free, held) = (folder.path().join("free"), folder.path().join("held"));
    std::fs::write(&free, "").unwrap();
    let holder = Holder::start(&python, &held, "http://proxy-user:hunter2@proxy.example/");
    let ask = || Programs::new().ask(&python, HOLDER, [&free, &folder.path().join("absent"), &held]);
    let found = ask();
    assert_eq!(found["path"], held.to_str().unwrap(), "{found}");
    assert_eq!(found["pid"], holder.0.id(), "{found}");
    let text = found["text"].as_str().unwrap();
    assert!(text.contains(&format!("(process {}", holder.0.id())), "{text}");
    assert!(!found.to_string().contains("hunter2"), "{found}");
    holder.end();
    assert_eq!(ask(), Value::Null, "the lock is free again");
}

#[test]
fn timers_of_a_host_are_waited_for_longer() {
    let Some(python) = python() else { return };
    let program = "
import json, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.datacenteros.patch.plugins.module_utils import locks
holders = [
    {'unit': 'apt-daily-upgrade.service', 'command': '/usr/bin/dpkg --configure -a'},
    {'unit': '', 'command': '/usr/bin/python3 /usr/bin/unattended-upgrade'},
    {'unit': 'packagekit.service', 'command': '/usr/libexec/packagekitd'},
    {'unit': 'session-3.scope', 'command': 'apt-get install nginx'},
]
print(json.dumps([locks.patience(holder) for holder in holders]))
";
    let seconds = Programs::new().ask(&python, program, [""; 0]);
    assert_eq!(seconds, json!([900, 900, 900, 120]));
}

#[test]
fn errors_keep_their_first_words_and_name_the_command() {
    let Some(python) = python() else { return };
    let program = "
import json, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.datacenteros.patch.plugins.module_utils.first_words import first_words
print(json.dumps([
    first_words('apt-get install', 100, 'Reading...\\ndpkg: error processing package a (--configure):\\n broken\\nE: Sub-process'),
    first_words('dnf install', 1, 'Error: \\n Problem: cannot install both a and b\\n  - package c requires d'),
    first_words('apt-get update', 100, 'W: GPG error: http://x InRelease: NO_PUBKEY 1\\nE: The repository is not signed.'),
    first_words('dnf makecache', 1, ''),
    first_words('x', 1, 'y' * 900, 600),
]))
";
    let words = Programs::new().ask(&python, program, [""; 0]);
    let words: Vec<String> = serde_json::from_value(words).unwrap();
    assert_eq!(words[0], "apt-get install: dpkg: error processing package a (--configure):; E: Sub-process");
    assert_eq!(words[1], "dnf install: Problem: cannot install both a and b; - package c requires d");
    assert!(
        words[2].starts_with("apt-get update: W: GPG error: http://x InRelease: NO_PUBKEY 1; E: "),
        "{}",
        words[2]
    );
    assert_eq!(words[3], "dnf makecache: exit status 1");
    assert_eq!(words[4].len(), "x: ".len() + 600);
}

#[test]
fn space_of_this_machine_is_read_as_the_platform_judges_it() {
    let Some(python) = python() else { return };
    let program = "
import json, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.datacenteros.patch.plugins.module_utils import dpkg, space
def run(argv):
    if '-L' in argv:
        return 0, '/.\\n/usr\\n/usr/bin/tool\\n\\n/.\\n/usr/lib/libtool.so\\n', ''
    return 0, 'tool\\t1\\tamd64\\ttool\\t1\\tii \\t\\nlibtool\\t1\\tall\\ttool\\t1\\tii \\t\\n', ''
system = dpkg.Dpkg(run)
print(json.dumps({
    'lock': {'state': 'free'}, 'transactions': [], 'file_systems': space.file_systems(system),
    'most_files': system.most_files(['tool', 'libtool']), 'repositories': {'state': 'not_asked'},
}))
";
    let facts: PreflightFacts =
        serde_json::from_value(Programs::new().ask(&python, program, [""; 0])).unwrap();
    assert_eq!(facts.most_files, Some(3));
    let mut held: Vec<String> =
        facts.file_systems.iter().flat_map(|one| &one.holds).map(|c| format!("{c:?}")).collect();
    held.sort();
    held.dedup();
    assert_eq!(held, ["Boot", "Downloads", "Files"], "{facts:?}");
    for one in &facts.file_systems {
        assert!(Path::new(&one.path).is_dir() && one.total_bytes >= one.free_bytes, "{one:?}");
    }
    let need = PreflightNeed { transaction: None, min_disk_free_percent: 0 };
    assert_eq!(PreflightAnswer::Read { facts }.failures(&need), []);
}

/// The work of a transaction with a package system that only records what it is asked for.
const WORK: &str = "
import json, os, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.datacenteros.patch.plugins.module_utils import transactions
folder, order = sys.argv[2], json.loads(sys.argv[3])
asked = []
class System:
    LOCKS, TOOL, REFRESH, DONE, AGAIN = (), 'apt-get', 'apt-get update', (0,), ()
    def installed(self): return []
    def repair(self): asked.append('repair'); return None, None
    def refresh(self): asked.append('refresh'); return 0, '', ''
    def exact(self, wanted, name, removals, **options):
        asked.append(['exact', sorted(removals), sorted(name for name in options if options[name])])
        return ['sh', '-c', 'echo E: no space left >&2; exit 1', 'install'] if order.get('broken') else ['true']
    def refusal(self, wanted, removals, pinned=None): return None
    def was_done(self, name): return None
transactions.package_system = lambda run: System()
transaction = transactions.Transaction('r:1', folder)
record = {'state': 'running', **transaction.first_record({})}
os.makedirs(folder, exist_ok=True)
transactions.Work(transaction, order, record).perform()
sys.stdout = sys.__stdout__
print(json.dumps({'asked': asked, 'failure': record['failure']}), file=open(sys.argv[4], 'w'))
";

fn work(python: &Path, order: Value) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let answer = folder.path().join("answer");
    let status = Command::new(python)
        .args(["-B", "-c", WORK])
        .arg(Playbooks::locate().unwrap().folder().join("collections"))
        .arg(folder.path().join("records"))
        .arg(order.to_string())
        .arg(&answer)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    serde_json::from_slice(&std::fs::read(answer).unwrap()).unwrap()
}

#[test]
fn own_update_runs_argument_lists_until_one_fails() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a b; rm -rf"), folder.path().join("second"));
    let commands = json!([["touch", first], ["sh", "-c", "echo broken >&2; exit 3"], ["touch", second]]);
    let found = work(&python, json!({ "mode": "commands", "commands": commands, "timeout_seconds": 60 }));
    let failure = found["failure"].as_str().unwrap();
    assert!(failure.contains("exit 3` ended with exit status 3: broken"), "{failure}");
    assert!(
        first.is_file() && !second.exists(),
        "an argument stays one argument, and a failure ends the update"
    );
    assert_eq!(found["asked"], json!(["repair"]), "the package manager is not asked to install");

    let slow = json!({ "mode": "commands", "commands": [["sleep", "30"]], "timeout_seconds": 0.5 });
    assert_eq!(work(&python, slow)["failure"], "`sleep` did not end within 0.5 s");
    let absent = json!({ "mode": "commands", "commands": [["/no/such/program"]], "timeout_seconds": 0 });
    let failure = work(&python, absent)["failure"].as_str().unwrap().to_owned();
    assert_eq!(failure, "`/no/such/program` cannot be run: No such file or directory");
}

#[test]
fn download_installs_nothing_and_the_update_after_it_fetches_nothing() {
    let Some(python) = python() else { return };
    let order = |more: Value| {
        let mut order = json!({ "packages": { "a": "2" }, "removals": ["b"], "selection": "planned" });
        order.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        order
    };
    let download = work(&python, order(json!({ "mode": "download" })));
    assert_eq!(download["asked"], json!(["refresh", ["exact", ["b"], ["download"]]]));
    assert_eq!(download["failure"], Value::Null);
    let update = work(&python, order(json!({ "mode": "upgrade", "refresh": false })));
    assert_eq!(update["asked"], json!(["repair", ["exact", ["b"], ["cached"]]]));
    let alone = work(&python, order(json!({ "mode": "upgrade", "refresh": true })));
    assert_eq!(alone["asked"], json!(["repair", "refresh", ["exact", ["b"], []]]));
    let broken = work(&python, order(json!({ "mode": "download", "broken": true })));
    assert_eq!(broken["failure"], "apt-get install: E: no space left");
}
