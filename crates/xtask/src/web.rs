//! `console/dist`: the console as it is built from `console/`. It is committed, so that nobody needs Node to build or use the
//! platform.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::task::{Task, Verdict};
use crate::workspace::Workspace;

/// What the build tool asks for.
const OLDEST_NODE: (u32, u32) = (20, 19);
const MARKER: &str = "node_modules/installed-lock";
const QUICK: Duration = Duration::from_secs(20);
const INSTALL_DEADLINE: Duration = Duration::from_secs(600);
const BUILD_DEADLINE: Duration = Duration::from_secs(300);

/// Builds the console and compares it with what is committed, byte for byte.
pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    match obstacle() {
        Some(obstacle) => Ok(Verdict::Skipped(obstacle)),
        None => run(workspace, "verify"),
    }
}

pub fn write(workspace: &Workspace) -> anyhow::Result<Verdict> {
    match obstacle() {
        Some(obstacle) => Ok(Verdict::Failed(obstacle)),
        None => run(workspace, "build"),
    }
}

fn run(workspace: &Workspace, script: &str) -> anyhow::Result<Verdict> {
    install(workspace)?;
    let outcome = Task::new("web", BUILD_DEADLINE).run(npm(workspace, &["run", "--silent", script]))?;
    if !outcome.success {
        return Ok(Verdict::Failed(outcome.all()));
    }
    let last = outcome.stdout.lines().next_back().unwrap_or_default();
    Ok(Verdict::Passed(format!("console/dist: {last}")))
}

/// Makes the packages of the console exactly those of its lock file. Their own scripts do not run.
pub fn install(workspace: &Workspace) -> anyhow::Result<()> {
    let folder = folder(workspace);
    let lock = fs::read_to_string(folder.join("package-lock.json"))
        .context("cannot read `console/package-lock.json`")?;
    let marker = folder.join(MARKER);
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let outcome = Task::new("npm ci", INSTALL_DEADLINE).run(npm(workspace, &["ci"]))?;
    if !outcome.success {
        bail!("`npm ci` in console/ failed:\n{}", outcome.all());
    }
    fs::write(&marker, lock).with_context(|| format!("cannot write `{}`", marker.display()))
}

/// Why the console cannot be built here.
pub fn obstacle() -> Option<String> {
    let mut command = Command::new("node");
    command.arg("--version");
    let (major, minor) = OLDEST_NODE;
    let wanted = format!("building the console needs Node {major}.{minor} or later and npm");
    let outcome = Task::quiet("node", QUICK).run(command);
    let Some(version) = outcome.ok().filter(|outcome| outcome.success).map(|outcome| outcome.stdout) else {
        return Some(format!("{wanted}; there is no Node"));
    };
    (!is_new_enough(&version)).then(|| format!("{wanted}; this is {}", version.trim()))
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.trim().trim_start_matches('v').split('.').map(|part| part.parse::<u32>().ok());
    let found = (numbers.next().flatten(), numbers.next().flatten());
    matches!(found, (Some(major), Some(minor)) if (major, minor) >= OLDEST_NODE)
}

fn npm(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command.args(arguments).current_dir(folder(workspace));
    command
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root.join("console")
}

#[cfg(test)]
mod tests {
    use super::is_new_enough;

    #[test]
    fn only_new_versions_build_the_console() {
        assert!(is_new_enough("v20.19.0\n") && is_new_enough("v24.1.0"));
        assert!(!is_new_enough("v18.20.4") && !is_new_enough("v20.18.9") && !is_new_enough("nonsense"));
    }
}
