//! `openapi/<service>.json`: the contract of each service, committed for clients that are generated from it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::task::{Task, Verdict};
use crate::workspace::Workspace;

const SERVICES: [&str; 4] = ["patch-manager", "cmdb", "itsm", "sim-engine"];
const BUILD_DEADLINE: Duration = Duration::from_secs(1200);
const RUN_DEADLINE: Duration = Duration::from_secs(30);
const FIX: &str = "run `cargo xtask openapi` and commit openapi/";

pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    visit(workspace, "up to date", |path, fresh| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Ok(committed) = fs::read_to_string(path) else {
            return Ok(Some(format!("openapi/{name} is missing; {FIX}")));
        };
        Ok(first_difference(&committed, fresh).map(|line| format!("openapi/{name}:{line}; {FIX}")))
    })
}

pub fn write(workspace: &Workspace) -> anyhow::Result<Verdict> {
    visit(workspace, "written", |path, fresh| {
        fs::write(path, fresh).with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(None)
    })
}

/// Gives the path and fresh text of each service's document to `judge`, which returns a violation or none.
fn visit(
    workspace: &Workspace,
    done: &str,
    judge: impl Fn(&PathBuf, &str) -> anyhow::Result<Option<String>>,
) -> anyhow::Result<Verdict> {
    let has_binary = |name: &&str| workspace.crates.get(*name).is_some_and(|service| service.has_binary);
    let services: Vec<&str> = SERVICES.into_iter().filter(has_binary).collect();
    if services.is_empty() {
        return Ok(Verdict::Skipped("no service has a binary".to_owned()));
    }
    let mut build = workspace.cargo();
    // All of the workspace at once: its features are then those of the tests, and little is built twice.
    build
        .args(["build", "--workspace", "--bins", "--locked", "--message-format", "short"])
        .env("SQLX_OFFLINE", "true");
    let outcome = Task::new("openapi", BUILD_DEADLINE).run(build)?;
    if !outcome.success {
        return Ok(Verdict::Failed(outcome.failure_output()));
    }
    let mut violations = Vec::new();
    for service in &services {
        let path = workspace.root.join("openapi").join(format!("{service}.json"));
        violations.extend(judge(&path, &describe(workspace, service)?)?);
    }
    if violations.is_empty() {
        return Ok(Verdict::Passed(format!("{} documents {done}", services.len())));
    }
    Ok(Verdict::Failed(violations.join("\n")))
}

fn describe(workspace: &Workspace, service: &str) -> anyhow::Result<String> {
    let mut command = Command::new(workspace.target.join("debug").join(service));
    command.arg("openapi");
    let outcome = Task::quiet(service, RUN_DEADLINE).run(command)?;
    if !outcome.success {
        bail!("`{service} openapi` failed:\n{}", outcome.all());
    }
    let document: Value = serde_json::from_str(&outcome.stdout)
        .with_context(|| format!("`{service} openapi` did not print a JSON document"))?;
    // The service's own order of fields is kept when it prints one field a line.
    let text = match outcome.stdout.trim_end().lines().count() {
        0 | 1 => serde_json::to_string_pretty(&document)?,
        _ => outcome.stdout.trim_end().to_owned(),
    };
    Ok(text + "\n")
}

fn first_difference(committed: &str, fresh: &str) -> Option<String> {
    if committed == fresh {
        return None;
    }
    let mut pairs = committed.lines().zip(fresh.lines()).enumerate();
    let Some((index, (old, new))) = pairs.find(|(_, (old, new))| old != new) else {
        return Some("1: one ends before the other".to_owned());
    };
    Some(format!("{}: says `{}`, the service says `{}`", index + 1, old.trim(), new.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_differing_line_is_shown_with_both_sides() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        let found = first_difference("a\n b\n", "a\n c\n").unwrap();
        assert_eq!(found, "2: says `b`, the service says `c`");
        assert!(first_difference("a\n", "a\nb\n").unwrap().contains("ends before"));
    }
}
