use std::io::{IsTerminal, stdin};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::bail;
use nix::unistd::geteuid;

use super::say;
use crate::task::Task;

const UPDATE_DEADLINE: Duration = Duration::from_secs(300);
const INSTALL_DEADLINE: Duration = Duration::from_secs(900);
/// `apt-get update` does not wait for a lock held by another apt, so it is tried again.
const UPDATE_ATTEMPTS: u32 = 6;
const UPDATE_PAUSE: Duration = Duration::from_secs(10);

#[derive(Default)]
pub struct Apt {
    lists_are_fresh: bool,
}

impl Apt {
    pub fn is_available() -> bool {
        Path::new("/usr/bin/apt-get").exists()
    }

    /// Installs Debian packages without anything merely recommended.
    pub fn install(&mut self, packages: &[&str]) -> anyhow::Result<()> {
        let list = packages.join(" ");
        if !Self::is_available() {
            bail!(
                "`{list}` is missing and this machine has no apt-get; install it with the system's own package manager"
            );
        }
        if !self.lists_are_fresh {
            update(&list)?;
            self.lists_are_fresh = true;
        }
        say(&format!("installing {list} with apt-get"));
        let mut command = as_root("apt-get")?;
        command
            .args(["install", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"])
            .args(packages);
        let outcome = Task::new("apt-get install", INSTALL_DEADLINE).run(command)?;
        if !outcome.success {
            bail!("`apt-get install {list}` failed:\n{}", outcome.all());
        }
        Ok(())
    }
}

fn update(wanted_for: &str) -> anyhow::Result<()> {
    say("reading the package lists (apt-get update)");
    for attempt in 1..=UPDATE_ATTEMPTS {
        let mut command = as_root("apt-get")?;
        command.args(["update", "-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]);
        let outcome = Task::new("apt-get update", UPDATE_DEADLINE).run(command)?;
        if outcome.success {
            return Ok(());
        }
        if attempt == UPDATE_ATTEMPTS || !outcome.all().contains("lock") {
            bail!("`apt-get update`, needed to install {wanted_for}, failed:\n{}", outcome.all());
        }
        sleep(UPDATE_PAUSE);
    }
    Ok(())
}

/// `program` with root's rights, through sudo where we are not root.
pub fn as_root(program: &str) -> anyhow::Result<Command> {
    let environment = ["DEBIAN_FRONTEND=noninteractive", "UCF_FORCE_CONFFOLD=1", "LC_ALL=C.UTF-8"];
    let mut command = if geteuid().is_root() {
        Command::new("env")
    } else if Path::new("/usr/bin/sudo").exists() {
        // Asked for once and apart, so that the prompt does not drown in the output of what follows.
        if stdin().is_terminal() && !Command::new("sudo").arg("-v").status()?.success() {
            bail!("`{program}` needs root and sudo refused; run `cargo xtask bootstrap` as root once");
        }
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "env"]);
        sudo
    } else {
        bail!("`{program}` needs root: run `cargo xtask bootstrap` as root once, or install sudo");
    };
    command.args(environment).arg(program);
    Ok(command)
}
