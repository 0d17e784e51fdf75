//! The parts of a run, each by its own command: its plan, waves, hosts, and difference.

use serde_json::Value;

use crate::program::{Finished, Up};
use crate::watch::{start_run, until_state, with_a_host_to_patch};

fn json(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:#?}"))
}

#[test]
fn parts_of_a_run_are_printed_for_people_and_programs() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    with_a_host_to_patch(&up);
    let id = &start_run(&up);
    until_state(&up, id, "awaiting_approval");

    let plan = json(&up.run(&["run", "plan", id]).expect(0));
    let update = &plan["targets"]["web-01"]["updates"][0];
    assert_eq!(
        (&update["package"], &update["from"]),
        (&"kernel".into(), &"5.14.0-100.el9".into()),
        "{plan:#}"
    );

    let waves = up.run(&["run", "waves", id, "-o", "csv"]).expect(0).stdout;
    let lines: Vec<&str> = waves.lines().collect();
    assert_eq!(lines.len(), 2, "{waves}");
    assert_eq!(lines[0], "wave,name,kind,state,hosts,ok,failed");
    assert!(lines[1].starts_with("0,") && lines[1].ends_with(",1,0,0"), "{waves}");
    assert_eq!(
        json(&up.run(&["run", "waves", id, "-o", "json"]).expect(0))[0]["name"],
        plan["waves"][0]["name"]
    );

    let hosts = |more: &[&str]| {
        let answer = up.run(&[&["run", "hosts", id, "-o", "csv"], more].concat()).expect(0).stdout;
        let mut lines = answer.lines().map(str::to_owned);
        assert_eq!(lines.next().as_deref(), Some("host,wave,state,step,attempts,rebooted,restart,error"));
        lines.collect::<Vec<_>>()
    };
    let all = hosts(&[]);
    assert!(all.len() == 1 && all[0].starts_with("web-01,0,pending,"), "{all:?}");
    assert_eq!(hosts(&["--state", "pending", "--wave", "0"]), all);
    assert_eq!(hosts(&["--state", "succeeded"]), Vec::<String>::new());
    assert_eq!(hosts(&["--wave", "7"]), Vec::<String>::new());
    assert_eq!(up.run(&["run", "hosts", id, "--state", "splendid"]).status, 1);
    let table = up.run(&["run", "hosts", id]).expect(0).stdout;
    assert!(table.starts_with("HOST ") && table.contains("web-01"), "{table}");
}

#[test]
fn plans_that_were_not_compared_are_answered_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    with_a_host_to_patch(&up);
    let id = &start_run(&up);
    until_state(&up, id, "awaiting_approval");
    let diff = json(&up.run(&["run", "diff", id, "-o", "json"]).expect(0));
    assert!(diff["verdict"].is_null() && diff["lines"] == serde_json::json!([]), "{diff:#}");
    let reason = diff["reason"].as_str().unwrap();
    assert!(reason.len() > 20, "{diff:#}");
    let lines = up.run(&["run", "diff", id, "-o", "csv"]).expect(0).stdout;
    assert_eq!(lines, "of,difference,approved,now\n");
    let unknown = "0197c4f0-0000-7000-8000-000000000001";
    for part in ["plan", "waves", "hosts", "diff"] {
        let refused = up.run(&["run", part, unknown]).expect(1);
        assert!(refused.stderr.contains(unknown), "{part}: {refused:?}");
    }
}
