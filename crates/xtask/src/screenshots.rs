//! Pictures of every view of the console, in both schemes and at 1280 and 390 px.
//!
//! Of a running platform, or of that of the test of the console, which makes a run, a release and everything else that views show.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;

use crate::bootstrap;
use crate::task::{Task, Verdict};
use crate::web;
use crate::workspace::Workspace;

const TEST: &str = "console::people_work_in_the_console";
const TEST_DEADLINE: Duration = Duration::from_secs(3000);

#[derive(Args)]
pub struct Options {
    /// Folder of the pictures; by default target/screenshots
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// Address of a running platform, for example of `cargo xtask demo -- --keep`; by default the test of the console starts one
    #[arg(long, value_name = "URL", requires = "token_file")]
    platform: Option<String>,
    /// File with a token of the platform; an administrator sees every view
    #[arg(long, value_name = "FILE", requires = "platform")]
    token_file: Option<PathBuf>,
    /// Only these views, comma-separated, such as `run,fleet-map`
    #[arg(long, value_name = "NAMES")]
    views: Option<String>,
}

pub fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<Verdict> {
    let chromium = bootstrap::browser(workspace)?;
    let folder = options.into.clone().unwrap_or_else(|| workspace.target.join("screenshots"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    let folder = fs::canonicalize(&folder)?;
    match (&options.platform, &options.token_file) {
        (Some(platform), Some(token)) => {
            of_platform(workspace, &chromium, platform, token, &folder, options)?
        }
        _ => of_test(workspace, &chromium, &folder, options)?,
    }
    Ok(Verdict::Passed(format!("{} pictures in {}", count(&folder)?, folder.display())))
}

/// The token goes by standard input, because others can read arguments.
fn of_platform(
    workspace: &Workspace,
    chromium: &Path,
    platform: &str,
    token_file: &Path,
    folder: &Path,
    options: &Options,
) -> anyhow::Result<()> {
    let token = fs::read_to_string(token_file)
        .with_context(|| format!("cannot read the token from `{}`", token_file.display()))?;
    let node = web::node_program(workspace).context("there is no Node")?;
    let input = json!({ "base": platform.trim_end_matches('/'), "chromium": chromium, "token": token.trim(), "folder": folder });
    let mut command = Command::new(node);
    command.arg("tests/browser/screenshots.js").current_dir(web::folder(workspace)).stdin(Stdio::piped());
    if let Some(views) = &options.views {
        command.env("CONSOLE_VIEWS", views);
    }
    let mut child = command.spawn().context("cannot start Node")?;
    let mut stdin = child.stdin.take().context("Node has no input")?;
    stdin.write_all(input.to_string().as_bytes())?;
    drop(stdin);
    if !child.wait()?.success() {
        bail!("not every picture was taken; see above");
    }
    Ok(())
}

fn of_test(workspace: &Workspace, chromium: &Path, folder: &Path, options: &Options) -> anyhow::Result<()> {
    bootstrap::run(workspace, bootstrap::Needs::Platform)?;
    let mut command = workspace.cargo();
    command
        .args(["test", "--locked", "--package", "patch-manager", "--test", "runs", "--", "--exact", TEST])
        .env("SQLX_OFFLINE", "true")
        .env("PATCH_CHROMIUM", chromium)
        .env("CONSOLE_PICTURES", folder);
    if env::var_os("PATCH_ANSIBLE_PLAYBOOK").is_none() {
        command.env("PATCH_ANSIBLE_PLAYBOOK", workspace.tool("ansible-playbook"));
    }
    if let Some(node) = web::node_program(workspace) {
        command.env("PATCH_NODE", node);
    }
    if let Some(views) = &options.views {
        command.env("CONSOLE_VIEWS", views);
    }
    let outcome = Task::new("screenshots", TEST_DEADLINE).run(command)?;
    if !outcome.success {
        bail!("the test of the console failed:\n{}", outcome.failure_output());
    }
    Ok(())
}

fn count(folder: &Path) -> anyhow::Result<usize> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    Ok(entries.flatten().filter(|entry| entry.path().extension().is_some_and(|kind| kind == "png")).count())
}
