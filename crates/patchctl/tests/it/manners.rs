//! How the program answers: formats, colours, columns, short ids, hints, suggestions.

use serde_json::Value;

use crate::program::{Up, finish, patchctl, run};
use crate::watch::{start_run, until_state, with_a_host_to_patch};

#[test]
fn version_is_that_of_the_program_and_versions_of_packages_are_compared() {
    assert_eq!(run(&["version"]).expect(0).stdout, format!("patchctl {}\n", env!("CARGO_PKG_VERSION")));
    let json: Value = serde_json::from_str(&run(&["version", "-o", "json"]).expect(0).stdout).unwrap();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["package", "compare", "rpm", "1.0^git1", "1.0"]).expect(0).stdout, ">\n");
    // As it was spelled before.
    assert_eq!(run(&["version", "compare", "dpkg", "1.0~rc1", "1.0"]).expect(0).stdout, "<\n");
}

#[test]
fn unknown_command_is_answered_with_the_one_that_was_meant() {
    let answer = run(&["polcy", "list"]).expect(2);
    assert!(answer.stderr.contains("'policy'"), "{answer:?}");
    let answer = run(&["run", "lst"]).expect(2);
    assert!(answer.stderr.contains("'list'"), "{answer:?}");
}

#[test]
fn fields_are_explained_without_a_platform() {
    let answer = run(&["explain", "policy.max_parallel"]).expect(0);
    assert!(answer.stdout.contains("type ") && answer.stdout.contains("default "), "{answer:?}");
    let listed = run(&["explain", "policy"]).expect(0);
    assert!(listed.stdout.contains("\nNAME ") && listed.stdout.contains("max_parallel"), "{listed:?}");
    let wrong = run(&["explain", "policy.max_paralel"]).expect(2);
    assert!(wrong.stderr.contains("hint: did you mean `max_parallel`?"), "{wrong:?}");
    let names = run(&["explain", "-o", "name"]).expect(0).stdout;
    assert!(names.lines().any(|line| line == "policy"), "{names}");
}

#[test]
fn json_path_with_a_fault_is_a_usage_error_that_shows_a_right_one() {
    let answer = run(&["version", "-o", "jsonpath=$["]).expect(2);
    assert!(answer.stderr.contains("is not a JSON path") && answer.stderr.contains("$[*].id"), "{answer:?}");
    assert_eq!(run(&["version", "-o", "jsonpath={.program}"]).expect(0).stdout, "patchctl\n");
    let nothing = run(&["version", "-o", "jsonpath=$.nothing"]).expect(0);
    assert!(nothing.stdout.is_empty() && nothing.stderr.contains("selects nothing"), "{nothing:?}");
    assert_eq!(
        run(&["version", "-o", "yaml"]).expect(0).stdout,
        format!("program: patchctl\nversion: {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn colour_is_for_terminals_unless_it_is_asked_for() {
    let health = |arguments: &[&str]| {
        let all = [&["explain"][..], arguments].concat();
        finish(patchctl(&all).env("NO_COLOR", "1"), "").stdout
    };
    assert!(!health(&[]).contains('\u{1b}'));
    assert!(health(&["--color", "always"]).contains("\u{1b}[1mNAME"));
    assert!(!health(&["--color", "never"]).contains('\u{1b}'));
    assert!(!run(&["explain", "--color", "auto"]).expect(0).stdout.contains('\u{1b}'));
}

#[test]
fn pager_is_not_started_for_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("started");
    let pager = format!("touch '{}'", mark.display());
    let answer = finish(patchctl(&["explain", "policy"]).env("PATCHCTL_PAGER", pager), "").expect(0);
    assert!(answer.stdout.lines().count() > 40 && !mark.exists(), "{answer:?}");
}

#[test]
fn doctor_without_a_platform_fails_and_says_what_is_unknown_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let answer = run(&["doctor", "--port-base", "1", "--data-dir", data_dir, "-o", "json"]).expect(1);
    let findings: Vec<Value> = serde_json::from_str(&answer.stdout).unwrap();
    let of =
        |check: &str| findings.iter().find(|one| one["check"] == check).unwrap_or_else(|| panic!("{check}"));
    assert_eq!(of("service patch-manager")["status"], "failed");
    assert_eq!(of("clock cmdb")["status"], "unknown");
    assert_eq!(of("platform")["status"], "unknown");
    for finding in findings.iter().filter(|one| one["status"] != "ok") {
        assert!(finding["remedy"].as_str().is_some_and(|remedy| remedy.len() > 5), "{finding}");
    }
}

#[test]
fn lists_ids_and_hints_of_a_platform() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);

    // An empty list says so where programs do not read it.
    let empty = up.run(&["run", "list"]).expect(0);
    assert!(empty.stdout.is_empty(), "{empty:?}");
    assert!(empty.stderr.contains("no runs\n") && empty.stderr.contains("hint: "), "{empty:?}");
    assert_eq!(up.run(&["run", "list", "-o", "json"]).expect(0).stdout.trim(), "[]");
    assert!(up.run(&["run", "show", "@latest"]).expect(1).stderr.contains("there is no run yet"));
    assert!(up.run(&["run", "watch"]).expect(1).stderr.contains("no run is open"));

    with_a_host_to_patch(&up);
    let started = up.run(&["run", "start", "--ci", "web-01"]).expect(0);
    assert!(started.stderr.contains("hint: follow it with `patchctl run watch "), "{started:?}");
    let first = up.run(&["run", "list", "-o", "name"]).expect(0).stdout.trim().to_owned();
    until_state(&up, &first, "awaiting_approval");
    let second = start_run(&up);

    // Ids by their ends, the newest, and candidates for what is ambiguous.
    let shown = |id: &str| {
        let answer = up.run(&["run", "show", id, "-o", "jsonpath={.id}"]).expect(0);
        answer.stdout.trim().to_owned()
    };
    assert_eq!(shown("@latest"), second);
    assert_eq!(shown(&first[first.len() - 8..]), first);
    assert_eq!(shown(&second[..second.len() - 1]), second);
    let ambiguous = up.run(&["run", "show", &first[..6]]).expect(1);
    assert!(ambiguous.stderr.contains(&first) && ambiguous.stderr.contains(&second), "{ambiguous:?}");
    assert!(up.run(&["run", "show", "ffffffff-ffff"]).expect(1).stderr.contains("starts or ends with"));
    let change = up.run(&["change", "show", "CHG1", "-o", "name"]).expect(0).stdout;
    assert_eq!(change, "CHG0000001\n");

    // Columns, order, number and times.
    let listed =
        up.run(&["run", "list", "--columns", "id,hosts.total", "--sort", "-created", "-o", "csv"]).expect(0);
    assert!(listed.stdout.starts_with(&format!("id,hosts.total\n{second},")), "{listed:?}");
    let limited = up.run(&["run", "list", "--limit", "1"]).expect(0);
    assert!(limited.stderr.contains("only the first 1 are shown"), "{limited:?}");
    assert!(limited.stdout.contains(" ago") && !limited.stdout.contains("REASON"), "{limited:?}");
    let wide = up.run(&["run", "list", "-o", "wide"]).expect(0).stdout;
    assert!(wide.contains("REASON") && !wide.contains(" ago"), "{wide}");
    let unknown = up.run(&["run", "list", "--columns", "stat"]).expect(2);
    assert!(unknown.stderr.contains("hint: did you mean `state`?"), "{unknown:?}");

    // What does not exist but resembles something that does.
    let host = up.run(&["ci", "show", "web-1"]).expect(1);
    assert!(host.stderr.contains("hint: did you mean `web-01`?"), "{host:?}");

    let log = up.run(&["run", "logs", &first, "--host", "web-99"]).expect(0);
    assert!(log.stdout.is_empty() && log.stderr.contains("no line of `web-99`"), "{log:?}");
    up.run(&["run", "cancel", &first]).expect(0);
    until_state(&up, &first, "cancelled");
    let followed = up.run(&["run", "logs", &first, "--follow", "--format", "ndjson"]).expect(0).stdout;
    assert!(followed.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{followed}");
}

#[test]
fn doctor_of_a_platform_knows_its_parts() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start(&folder);
    let answer = up.run(&["doctor", "-o", "json"]);
    let findings: Vec<Value> = serde_json::from_str(&answer.stdout).unwrap();
    let status = |check: &str| {
        let found = findings.iter().find(|one| one["check"] == check);
        found.unwrap_or_else(|| panic!("{check} in {findings:#?}"))["status"].as_str().unwrap().to_owned()
    };
    for check in ["service itsm", "clock sim-engine", "token", "database", "clock database", "runs", "outbox"]
    {
        assert_eq!(status(check), "ok", "{check}: {findings:#?}");
    }
    // On a machine without Ansible, a program stands for it that says nothing about its version.
    assert_ne!(status("ansible"), "unknown", "{findings:#?}");
    let has_failed = findings.iter().any(|one| one["status"] == "failed");
    assert_eq!(answer.status, i32::from(has_failed), "{findings:#?}");
    assert_eq!(status("feeds"), "warning");
    // Who only reads learns why the rest is unknown.
    let viewer = up.run(&["token", "create", "vera", "--role", "viewer"]).expect(0).stdout;
    let mut asked = patchctl(&["doctor", "--port-base", &up.port_base, "-o", "json"]);
    let answer = finish(asked.env("PATCH_TOKEN", viewer.trim()), "");
    let findings: Vec<Value> = serde_json::from_str(&answer.stdout).unwrap();
    let database = findings.iter().find(|one| one["check"] == "database").unwrap();
    assert_eq!(database["status"], "unknown", "{database}");
    assert!(database["remedy"].as_str().unwrap().contains("operator"), "{database}");
}
