//! What a machine must have to be a laboratory, asked before anything is made.

use std::{env, fs, path::Path};

use nix::unistd::geteuid;

use super::{FleetError, cgroup::Group};

/// Programs the hosts need while they run, with the Debian package each comes from.
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

/// Says everything that is missing, not the first thing alone.
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
    match Group::of_machine().and_then(|group| group.create().map(|()| group)) {
        Ok(group) if !group.path().join("cgroup.kill").exists() => {
            missing.push("the kernel cannot kill a control group (Linux 5.14 or newer)".to_owned());
        }
        Ok(_) => {}
        Err(error) => missing.push(format!("control groups cannot be made: {error}")),
    }
    for (program, package) in PROGRAMS {
        if !is_installed(program) {
            missing.push(format!("`{program}` is not installed (Debian's package `{package}`)"));
        }
    }
    let shown = folder.to_string_lossy();
    // These part the words of mount options and of a link's alias.
    if shown.contains([':', ',', '\\', '\'', '\n']) || shown.len() > 160 {
        missing.push(format!(
            "the fleet's folder `{shown}` must have a short name without `:`, `,`, quotes and `\\`"
        ));
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(FleetError::Missing(missing.join("; "))),
    }
}

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|dir| dir.join(program).exists())
}
