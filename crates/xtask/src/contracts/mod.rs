//! The contracts in openapi/: lint, and a typed client compiled from each.

mod lint;
mod value;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use crate::task::{Task, Verdict};
use crate::workspace::Workspace;

const INSTALL_DEADLINE: Duration = Duration::from_secs(600);
const COMPILE_DEADLINE: Duration = Duration::from_secs(300);
/// Of the folder `contracts`; copied to where the packages are installed.
const FILES: [&str; 4] = ["package.json", "package-lock.json", "tsconfig.json", "client.ts"];

pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let contracts = read(&workspace.root.join("openapi"))?;
    let mut violations = Vec::new();
    for (service, contract) in &contracts {
        let found = lint::violations(contract);
        violations.extend(found.into_iter().map(|text| format!("openapi/{service}.json: {text}")));
    }
    if !violations.is_empty() {
        return Ok(Verdict::Failed(violations.join("\n")));
    }
    if !is_installed("node") || !is_installed("npm") {
        let text =
            format!("{} contracts are sound; no client was compiled: Node.js is missing", contracts.len());
        return Ok(Verdict::Skipped(text));
    }
    match compile(workspace, contracts.keys().map(String::as_str))? {
        Some(output) => Ok(Verdict::Failed(output)),
        None => Ok(Verdict::Passed(format!("{} contracts, a client compiled from each", contracts.len()))),
    }
}

fn read(folder: &Path) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json")) else {
            continue;
        };
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let contract =
            serde_json::from_str(&text).with_context(|| format!("`{}` is not JSON", path.display()))?;
        found.insert(name.to_owned(), contract);
    }
    Ok(found)
}

/// What the compiler complains about, if anything.
fn compile<'a>(
    workspace: &Workspace,
    services: impl Iterator<Item = &'a str>,
) -> anyhow::Result<Option<String>> {
    let folder = workspace.tools().join("contracts");
    install(workspace, &folder)?;
    let generated = folder.join("generated");
    fs::create_dir_all(&generated).with_context(|| format!("cannot create `{}`", generated.display()))?;
    for service in services {
        let mut command = node(&folder, "openapi-typescript/bin/cli.js");
        command
            .arg(workspace.root.join("openapi").join(format!("{service}.json")))
            // A field with a default may be left out of a request.
            .args(["--default-non-nullable", "false", "--output"])
            .arg(generated.join(format!("{service}.ts")));
        let outcome = Task::quiet("openapi-typescript", COMPILE_DEADLINE).run(command)?;
        if !outcome.success {
            return Ok(Some(format!(
                "openapi/{service}.json: no client can be generated\n{}",
                outcome.all()
            )));
        }
    }
    let mut command = node(&folder, "typescript/bin/tsc");
    command.args(["--project", "."]);
    let outcome = Task::new("tsc", COMPILE_DEADLINE).run(command)?;
    Ok((!outcome.success).then(|| outcome.all()))
}

/// The packages of the lock file, installed once per lock file.
fn install(workspace: &Workspace, folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let source = workspace.root.join("contracts");
    for name in FILES {
        let (from, to) = (source.join(name), folder.join(name));
        fs::copy(&from, &to).with_context(|| format!("cannot copy `{}`", from.display()))?;
    }
    let lock = fs::read_to_string(source.join("package-lock.json"))?;
    let marker = folder.join("installed");
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    let mut command = Command::new("npm");
    command.current_dir(folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
    let outcome = Task::new("npm ci", INSTALL_DEADLINE).run(command)?;
    if !outcome.success {
        bail!("installing the packages of contracts/package.json failed:\n{}", outcome.all());
    }
    fs::write(&marker, lock).with_context(|| format!("cannot write `{}`", marker.display()))
}

fn node(folder: &Path, program: &str) -> Command {
    let mut command = Command::new("node");
    command.current_dir(folder).arg(PathBuf::from("node_modules").join(program)).env("NO_COLOR", "1");
    command
}

fn is_installed(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}
