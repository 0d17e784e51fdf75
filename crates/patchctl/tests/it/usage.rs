//! Arguments, help, completions, and errors without a platform.

use std::fs;

use crate::program::{finish, patchctl, run};

#[test]
fn wrong_arguments_are_exit_status_2() {
    for arguments in [
        &["frobnicate"][..],
        &[],
        &["ci", "show"],
        &["ci", "show", "not a host"],
        &["run", "show", "7"],
        &["up", "--port-base", "65533"],
        &["-o", "xml", "ci", "list"],
        &["ci", "list", "--limit", "0"],
        &["fault", "inject", "earthquake", "web-01"],
        &["schedule", "next"],
        &["calendar", "create", "--name", "x", "--starts", "2026-01-01T00:00:00Z"],
    ] {
        assert_eq!(run(arguments).status, 2, "{arguments:?}");
    }
}

#[test]
fn help_teaches_by_example() {
    for command in
        [&["--help"][..], &["run", "--help"], &["policy", "--help"], &["up", "--help"], &["ci", "--help"]]
    {
        let help = run(command).expect(0).stdout;
        assert!(help.contains("Usage: patchctl"), "{help}");
        assert!(help.contains("Example") || help.contains("in YAML"), "{help}");
    }
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]).expect(0).stdout;
        assert!(script.contains("patchctl") && script.contains("retry-failed"), "{shell}");
    }
}

#[test]
fn missing_platform_is_reported_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "pm_0123456789\n").unwrap();
    let token = token.to_str().unwrap();
    let answer = run(&["ci", "list", "--port-base", "1", "--token-file", token]).expect(1);
    assert!(
        answer.stderr.contains("cmdb cannot be reached") && answer.stderr.contains("patchctl up"),
        "{answer:?}"
    );
    assert_eq!(run(&["health", "--port-base", "1"]).status, 1);
}

#[test]
fn missing_or_wrong_token_is_reported_and_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let missing = run(&["ci", "list", "--data-dir", folder.path().to_str().unwrap()]).expect(1);
    assert!(missing.stderr.contains("admin-token") && missing.stderr.contains("--token-file"), "{missing:?}");

    let secret = "-----BEGIN PRIVATE KEY-----";
    let wrong = finish(patchctl(&["ci", "list"]).env("PATCH_TOKEN", secret), "").expect(1);
    assert!(wrong.stderr.contains("PATCH_TOKEN") && !wrong.stderr.contains("PRIVATE"), "{wrong:?}");
}

#[test]
fn request_file_with_a_fault_names_file_and_fault() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    fs::write(&file, "id: p\nname: p\ntarget_ci_tags: { env: dev }\nshcedule: '0 2 * * 0'\n").unwrap();
    let mut command = patchctl(&["policy", "create", "-f", file.to_str().unwrap(), "--port-base", "1"]);
    let answer = finish(command.env("PATCH_TOKEN", "pm_0123456789"), "").expect(2);
    assert!(answer.stderr.contains("policy.yaml") && answer.stderr.contains("shcedule"), "{answer:?}");
}
