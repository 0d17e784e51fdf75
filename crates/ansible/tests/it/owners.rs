//! A host works for the latest owner of a run that it has seen, never again for an earlier one.

use std::{path::Path, process::Command};

use ansible::{End, HostOutcomeKind, Playbook, Playbooks};
use serde_json::{Value, json};

use crate::{
    fixture::{Fixture, guests, play, runner},
    stub::Guest,
};

#[tokio::test]
async fn paused_owner_begins_no_transaction_after_its_successor() {
    let Some(runner) = runner() else { return };
    let fixture = Fixture::new(guests(1));
    // The successor only recovers the host: nothing had begun on it.
    let recovery = fixture.run(Playbook::RecoverHost, |_| {});
    let report = play(&runner, of_epoch(recovery, 8)).await;
    assert_eq!(report.outcome("h1").outcome, HostOutcomeKind::Succeeded, "{}", fixture.log());

    let report = play(&runner, of_epoch(fixture.run(Playbook::PatchRhel, |_| {}), 7)).await;
    let outcome = report.outcome("h1");
    assert_eq!(outcome.outcome, HostOutcomeKind::Stopped, "{}", fixture.log());
    let reason = outcome.reason.unwrap();
    assert!(reason.contains("epoch 7") && reason.contains("epoch 8"), "{reason}");
    assert!(report.results().any(|result| {
        result.data.as_ref().is_some_and(|data| data.get("pm_superseded") == Some(&Value::Bool(true)))
    }));
    {
        let world = fixture.stub.world();
        assert_eq!(world.guests["h1"].packages, Guest::default().packages);
        assert_eq!(world.guests["h1"].transactions.len(), 0, "{:?}", world.writes);
    }

    let report = play(&runner, of_epoch(fixture.run(Playbook::PatchRhel, |_| {}), 8)).await;
    assert_eq!(report.ended.end, End::Succeeded, "{}", fixture.log());
}

fn of_epoch(mut run: ansible::PlaybookRun, epoch: u32) -> ansible::PlaybookRun {
    run.extra_vars.set("pm_epoch", epoch);
    run
}

/// The real module, with its records in a folder of the test and a package manager that changes nothing.
const MODULE: &str = r#"
import functools, os, sys
folder, collections = sys.argv[2:]
# The module reads only its own argument.
del sys.argv[2:]
sys.path.insert(0, collections)
from ansible_collections.datacenteros.patch.plugins.module_utils import owners, transactions
from ansible_collections.datacenteros.patch.plugins.modules import packages

class System:
    LOCKS, DONE, AGAIN = (), (0,), ()
    def missing_tool(self): return None
    def installed(self): return []
    def repair(self): return None, None
    def refresh(self): return 0, "", ""
    def exact(self, wanted, name, removals, **options): return ["true"]
    def refusal(self, wanted, removals, pinned=None): return None
    def was_done(self, name): return None

system = lambda run: System()
packages.package_system = transactions.package_system = system
packages.owned = functools.partial(owners.owned, folder=os.path.join(folder, "owners"))
packages.Transaction = functools.partial(transactions.Transaction, folder=os.path.join(folder, "transactions"))
packages.main()
"#;

struct Module<'a> {
    python: std::path::PathBuf,
    folder: &'a Path,
}

impl Module<'_> {
    fn call(&self, arguments: Value) -> Value {
        let file = self.folder.join("arguments.json");
        std::fs::write(&file, json!({ "ANSIBLE_MODULE_ARGS": arguments }).to_string()).unwrap();
        let collections = Playbooks::locate().unwrap().folder().join("collections");
        let output = Command::new(&self.python)
            .args(["-B", "-c", MODULE])
            .args([file.as_path(), self.folder, collections.as_path()])
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    }

    fn begin(&self, name: &str, run: &str, epoch: u32) -> Value {
        let packages = json!({ "openssl": "3.0.7-18.el9" });
        self.call(json!({
            "name": name, "begin": true, "packages": packages, "run": run, "epoch": epoch, "wait_seconds": 20,
        }))
    }
}

#[test]
fn real_host_refuses_an_earlier_owner_of_a_run() {
    let Some(runner) = runner() else { return };
    let folder = tempfile::TempDir::new().unwrap();
    let module = Module { python: runner.program().with_file_name("python3"), folder: folder.path() };
    // A successor that only asks what was done counts as well.
    let asked = module.call(json!({ "name": "r1:1", "run": "r1", "epoch": 8 }));
    assert_eq!((&asked["transaction"], &asked["failed"]), (&Value::Null, &Value::Null), "{asked}");

    let refused = module.begin("r1:1", "r1", 7);
    assert_eq!((&refused["failed"], &refused["superseded"]), (&json!(true), &json!(true)), "{refused}");
    let reason = refused["msg"].as_str().unwrap();
    assert!(reason.contains("epoch 7 of run `r1`") && reason.contains("epoch 8"), "{reason}");
    let asked = module.call(json!({ "name": "r1:1", "run": "r1", "epoch": 8 }));
    assert_eq!(asked["transaction"], Value::Null, "the refused owner began a transaction");

    // The present owner; its next one, although the transaction of the first has inherited open files; other runs;
    // and people, who have no epoch.
    for (name, run, epoch) in
        [("r1:1", "r1", 8), ("r1:2", "r1", 9), ("r2:1", "r2", 1), ("manual:1", "manual", 0)]
    {
        let begun = module.begin(name, run, epoch);
        assert_eq!(begun["transaction"]["state"], "completed", "{begun}");
    }
    assert_eq!(module.begin("r1:1", "r1", 8)["superseded"], true);
    let unsafe_run = module.begin("r1:1", "../r1", 9);
    assert!(unsafe_run["msg"].as_str().unwrap().contains("`../r1` is not a valid run id"), "{unsafe_run}");
}
