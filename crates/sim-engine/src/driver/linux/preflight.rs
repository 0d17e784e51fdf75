//! What a machine must have for real hosts, checked before anything is created.

use std::{env, fs, path::Path};

use nix::unistd::geteuid;

use super::{FleetError, cgroup::Cgroup};

/// Programs that running hosts need, each with its Debian package.
const PROGRAMS: [(&str, &str); 10] = [
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setsid", "util-linux"),
    ("fsfreeze", "util-linux"),
    ("fallocate", "util-linux"),
    ("mke2fs", "e2fsprogs"),
    ("ssh-keygen", "openssh-client"),
    ("bash", "bash"),
    ("python3", "python3"),
];

/// The error names everything that is missing.
pub fn check(folder: &Path) -> Result<(), FleetError> {
    let mut missing = Vec::new();
    if !geteuid().is_root() {
        missing.push("the sim-engine must run as root".to_owned());
    }
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !filesystems.lines().any(|line| line.ends_with("\toverlay")) {
        missing.push("the kernel has no overlayfs (`modprobe overlay`)".to_owned());
    }
    if !Path::new("/dev/loop-control").exists() {
        missing.push("the kernel has no loop devices (`modprobe loop`)".to_owned());
    }
    if !Path::new("/proc/self/ns/time").exists() {
        missing.push("the kernel has no time namespaces (Linux 5.6 or newer)".to_owned());
    }
    match Cgroup::of_machine().and_then(|cgroup| cgroup.create().map(|()| cgroup)) {
        Ok(cgroup) if !cgroup.path().join("cgroup.kill").exists() => {
            missing.push("the kernel cannot kill a cgroup (Linux 5.14 or newer)".to_owned());
        }
        Ok(_) => {}
        Err(error) => missing.push(format!("cgroups cannot be created: {error}")),
    }
    for (program, package) in PROGRAMS {
        if !is_installed(program) {
            missing.push(format!("`{program}` is not installed (Debian's package `{package}`)"));
        }
    }
    let shown = folder.to_string_lossy();
    // These characters separate mount options and parts of a link's alias.
    if shown.contains([':', ',', '\\', '\'', '\n']) || shown.len() > 160 {
        missing.push(format!(
            "the fleet's folder `{shown}` must have a short name without `:`, `,`, quotes and `\\`"
        ));
    }
    if missing.is_empty() { Ok(()) } else { Err(FleetError::Unsupported(missing.join("; "))) }
}

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|dir| dir.join(program).exists())
}
