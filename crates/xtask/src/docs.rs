//! `docs/problems.md`: the page of problem types, generated from their registry in `api-types`.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context;

use crate::task::{Task, Verdict};
use crate::workspace::Workspace;

const DEADLINE: Duration = Duration::from_secs(1200);

pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let path = path(workspace);
    let fresh = match generate(workspace)? {
        Ok(fresh) => fresh,
        Err(failed) => return Ok(failed),
    };
    let committed = fs::read_to_string(&path).unwrap_or_default();
    Ok(if committed == fresh {
        Verdict::Passed("docs/problems.md is up to date".to_owned())
    } else {
        Verdict::Failed("docs/problems.md is out of date; run `cargo xtask docs` and commit it".to_owned())
    })
}

pub fn write(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let path = path(workspace);
    let fresh = match generate(workspace)? {
        Ok(fresh) => fresh,
        Err(failed) => return Ok(failed),
    };
    fs::write(&path, fresh).with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(Verdict::Passed("docs/problems.md is written".to_owned()))
}

fn path(workspace: &Workspace) -> PathBuf {
    workspace.root.join("docs/problems.md")
}

/// The page, or why the program that prints it failed.
fn generate(workspace: &Workspace) -> anyhow::Result<Result<String, Verdict>> {
    let mut command = workspace.cargo();
    command.args(["run", "--quiet", "--locked", "--package", "api-types", "--example", "problem_page"]);
    let outcome = Task::new("docs", DEADLINE).run(command)?;
    Ok(if outcome.success { Ok(outcome.stdout) } else { Err(Verdict::Failed(outcome.failure_output())) })
}
