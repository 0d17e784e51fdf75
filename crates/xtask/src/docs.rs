//! Pages that are generated from tables in `api-types`: `docs/problems.md` and `docs/access.md`.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context;

use crate::task::{Task, Verdict};
use crate::workspace::Workspace;

const DEADLINE: Duration = Duration::from_secs(1200);

/// Each page and the example of `api-types` that prints it.
const PAGES: [(&str, &str); 2] = [("docs/problems.md", "problem_page"), ("docs/access.md", "access_page")];

pub fn check(workspace: &Workspace) -> anyhow::Result<Verdict> {
    for (page, example) in PAGES {
        let fresh = match generate(workspace, example)? {
            Ok(fresh) => fresh,
            Err(failed) => return Ok(failed),
        };
        if fs::read_to_string(path(workspace, page)).unwrap_or_default() != fresh {
            return Ok(Verdict::Failed(format!(
                "{page} is out of date; run `cargo xtask docs` and commit it"
            )));
        }
    }
    Ok(Verdict::Passed(format!("{} are up to date", names())))
}

pub fn write(workspace: &Workspace) -> anyhow::Result<Verdict> {
    for (page, example) in PAGES {
        let path = path(workspace, page);
        let fresh = match generate(workspace, example)? {
            Ok(fresh) => fresh,
            Err(failed) => return Ok(failed),
        };
        fs::write(&path, fresh).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(Verdict::Passed(format!("{} are written", names())))
}

fn names() -> String {
    PAGES.map(|(page, _)| page).join(" and ")
}

fn path(workspace: &Workspace, page: &str) -> PathBuf {
    workspace.root.join(page)
}

/// The page, or why the program that prints it failed.
fn generate(workspace: &Workspace, example: &str) -> anyhow::Result<Result<String, Verdict>> {
    let mut command = workspace.cargo();
    command.args(["run", "--quiet", "--locked", "--package", "api-types", "--example", example]);
    let outcome = Task::new("docs", DEADLINE).run(command)?;
    Ok(if outcome.success { Ok(outcome.stdout) } else { Err(Verdict::Failed(outcome.failure_output())) })
}
