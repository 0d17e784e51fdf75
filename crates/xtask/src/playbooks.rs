use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Context;

use crate::task::{Task, Verdict};
use crate::workspace::Workspace;

const SYNTAX_DEADLINE: Duration = Duration::from_secs(60);
const LINT_DEADLINE: Duration = Duration::from_secs(600);

/// Every playbook parses, and the linter has nothing to say about any.
pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let playbooks = find(workspace)?;
    if playbooks.is_empty() {
        return Ok(Verdict::Skipped("no playbooks".to_owned()));
    }
    let mut violations = Vec::new();
    for playbook in &playbooks {
        let mut command = tool(workspace, "ansible-playbook");
        command.args(["--syntax-check", "--inventory", "localhost,"]).arg(playbook);
        let outcome = Task::quiet("ansible-playbook", SYNTAX_DEADLINE).run(command)?;
        if !outcome.success {
            violations.push(outcome.all());
        }
    }
    let mut command = tool(workspace, "ansible-lint");
    command.args(["--offline", "--nocolor", "-q"]).args(&playbooks);
    let outcome = Task::new("ansible-lint", LINT_DEADLINE).run(command)?;
    if !outcome.success {
        violations.push(outcome.all());
    }
    if violations.is_empty() {
        return Ok(Verdict::Passed(format!("{} playbooks", playbooks.len())));
    }
    Ok(Verdict::Failed(violations.join("\n")))
}

/// Names of the playbooks, which lie flat in their folder; other YAML there (requirements, lint settings) is none.
fn find(workspace: &Workspace) -> anyhow::Result<Vec<PathBuf>> {
    let folder = workspace.playbooks();
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
        let path = entry?.path();
        let is_yaml = path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml");
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if is_yaml && path.is_file() && !name.starts_with('.') && !name.starts_with("requirements") {
            found.push(PathBuf::from(name));
        }
    }
    found.sort();
    Ok(found)
}

/// A tool of the private environment, in the playbooks' folder and with a home of its own for caches.
fn tool(workspace: &Workspace, name: &str) -> Command {
    let program = workspace.tool(name);
    let mut path = vec![program.parent().map(PathBuf::from).unwrap_or_default()];
    path.extend(env::var_os("PATH").iter().flat_map(env::split_paths));
    let mut command = Command::new(&program);
    command
        .current_dir(workspace.playbooks())
        .env("PATH", env::join_paths(path).unwrap_or_default())
        .env("ANSIBLE_COLLECTIONS_PATH", workspace.playbooks().join("collections"))
        .env("ANSIBLE_HOME", workspace.tools().join("ansible"))
        .env("LC_ALL", "C.UTF-8")
        .env("ANSIBLE_NOCOLOR", "1");
    command
}
