//! The images of real hosts: what the sim-engine's driver `linux` and its tests run.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::bail;
use nix::unistd::geteuid;

use super::apt::Apt;
use super::{Needs, say};
use crate::task::Task;
use crate::workspace::Workspace;

/// Half a minute with a near mirror.
const BUILD_DEADLINE: Duration = Duration::from_secs(1800);
const SCRIPT: &str = "crates/sim-engine/src/driver/linux/scripts/images.sh";
const BROWNFIELD_SCRIPT: &str = "crates/sim-engine/src/driver/linux/scripts/brownfield.sh";
/// Programs that make images or run hosts, with the Debian package of each.
const PROGRAMS: [(&str, &str); 9] = [
    ("mmdebstrap", "mmdebstrap"),
    ("createrepo_c", "createrepo-c"),
    ("rpmbuild", "rpm"),
    ("dpkg-scanpackages", "dpkg-dev"),
    ("gpg", "gpg"),
    ("mke2fs", "e2fsprogs"),
    ("ip", "iproute2"),
    ("ssh", "openssh-client"),
    ("python3", "python3"),
];

/// Makes the images unless they are there. Where no real host can run it returns why, which is an error only for a caller
/// that needs one.
pub fn ensure(workspace: &Workspace, needs: Needs, apt: &mut Apt) -> anyhow::Result<String> {
    if let Some(obstacle) = obstacle() {
        if needs == Needs::RealHosts || needs == Needs::Brownfield {
            bail!("real hosts cannot run here: {obstacle}");
        }
        return Ok(format!("no real hosts ({obstacle})"));
    }
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !is_installed(program)).map(|(_, package)| *package).collect();
    if !missing.is_empty() {
        apt.install(&missing)?;
    }
    let cache = workspace.fleet_images();
    fs::create_dir_all(&cache)?;
    let mut command = Command::new("bash");
    command.arg(workspace.root.join(SCRIPT)).arg(&cache);
    let has_images = fs::read_dir(&cache)?.flatten().any(|folder| folder.path().join("complete").exists());
    if !has_images {
        say("making the images of real hosts");
    }
    let outcome = Task::new("images of real hosts", BUILD_DEADLINE).run(command)?;
    if !outcome.success {
        bail!("the images of real hosts cannot be made:\n{}", outcome.all());
    }
    if needs == Needs::Brownfield {
        let images = outcome.stdout.lines().last().unwrap_or_default();
        let mut command = Command::new("bash");
        command.arg(workspace.root.join(BROWNFIELD_SCRIPT)).arg(&cache).arg(images);
        let outcome = Task::new("packages of brownfield hosts", BUILD_DEADLINE).run(command)?;
        if !outcome.success {
            bail!("the images of brownfield hosts cannot be made:\n{}", outcome.all());
        }
    }
    Ok(format!("images of real hosts in {}", cache.display()))
}

/// What no installation can change.
pub fn obstacle() -> Option<&'static str> {
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    match () {
        () if !geteuid().is_root() => Some("they need root"),
        () if !Apt::is_available() => {
            Some("their images are made with Debian's tools, and there is no apt-get")
        }
        () if !filesystems.lines().any(|line| line.ends_with("\toverlay")) => {
            Some("the kernel has no overlayfs")
        }
        () if !Path::new("/dev/loop-control").exists() => Some("the kernel has no loop devices"),
        () if !mounts.lines().any(|line| line.split(' ').nth(2) == Some("cgroup2")) => {
            Some("no cgroup2 file system is mounted")
        }
        () => None,
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into()]).any(|folder| folder.join(program).exists())
}
