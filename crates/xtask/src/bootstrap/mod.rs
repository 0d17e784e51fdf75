//! Installs what is missing on a bare machine and reports it; what is already there stays as it is.

mod apt;
mod browser;
mod fleet;
mod lock;
mod postgres;
mod python;

use std::fs::File;
use std::path::PathBuf;

use anyhow::Context;

use self::apt::Apt;
use crate::workspace::Workspace;

/// How much is needed: running the platform takes less than checking a change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    Platform,
    /// Also the images of real hosts, which must be possible here.
    RealHosts,
    /// Also real hosts with the distribution's own packages.
    Brownfield,
    /// Also the linters, a browser for the pages, and the images of real hosts where they are possible.
    Checks,
}

pub struct Installed {
    /// One line about what is there now.
    pub summary: String,
}

pub fn run(workspace: &Workspace, needs: Needs) -> anyhow::Result<Installed> {
    let _turn = turn(workspace)?;
    let mut apt = Apt::default();
    let postgres = postgres::ensure(&mut apt)?;
    let ansible = python::ensure(workspace, needs, &mut apt)?;
    let fleet = match needs {
        Needs::Platform => String::new(),
        Needs::RealHosts | Needs::Brownfield | Needs::Checks => {
            format!(", {}", fleet::ensure(workspace, needs, &mut apt)?)
        }
    };
    let browser = match needs {
        Needs::Checks => format!(", {}", browser::ensure(workspace, &mut apt)?),
        Needs::Platform | Needs::RealHosts | Needs::Brownfield => String::new(),
    };
    Ok(Installed { summary: format!("{postgres}, {ansible}{fleet}{browser}") })
}

/// A Python with what our simulator is measured against, apart from the environment that patches hosts.
pub fn bench_python(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let _turn = turn(workspace)?;
    python::ensure_bench(workspace, &mut Apt::default())
}

/// Node, the packages of the console and a browser.
pub fn browser(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let _turn = turn(workspace)?;
    let found = browser::ensure(workspace, &mut Apt::default())?;
    browser::find_chromium().with_context(|| found)
}

/// A Python with what attacks a platform, apart from the environment that patches hosts.
pub fn attack_python(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let _turn = turn(workspace)?;
    python::ensure_attack(workspace, &mut Apt::default())
}

/// Waits until no other bootstrap works in the folder of the private tools.
fn turn(workspace: &Workspace) -> anyhow::Result<File> {
    let tools = workspace.tools();
    std::fs::create_dir_all(&tools).with_context(|| format!("cannot create `{}`", tools.display()))?;
    lock::wait_for_turn(&tools)
}

/// Whether the machine can run real hosts once their images are made.
pub fn can_run_real_hosts() -> bool {
    fleet::obstacle().is_none()
}

/// A line for the person who waits.
fn say(text: &str) {
    eprintln!("bootstrap: {text}");
}
