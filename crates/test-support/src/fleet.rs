//! A folder for a fleet of real hosts, if this machine can run them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::Duration,
};

/// The folder and images of a fleet. Dropping it ends what a failed test left running.
pub struct TestFleet {
    folder: tempfile::TempDir,
    images: PathBuf,
}

impl TestFleet {
    /// `None` with a printed reason if no hosts can run here. The images are in `PATCH_FLEET_IMAGES`, by default where
    /// `cargo xtask bootstrap` builds them.
    pub fn new() -> Option<Self> {
        let images = std::env::var_os("PATCH_FLEET_IMAGES").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.patch/fleet"),
            PathBuf::from,
        );
        let is_made = |folder: fs::DirEntry| folder.path().join("complete").exists();
        let made = fs::read_dir(&images).is_ok_and(|mut all| all.any(|entry| entry.is_ok_and(is_made)));
        let reason = match (is_root(), made) {
            (false, _) => "real hosts need root".to_owned(),
            (_, false) => format!(
                "there are no images of real hosts in {}; run `cargo xtask bootstrap`",
                images.display()
            ),
            (true, true) => {
                let folder = tempfile::Builder::new().prefix("patch-fleet-").tempdir().expect("a folder");
                return Some(Self { folder, images });
            }
        };
        skip(Reason::NoRealHosts, reason);
        None
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn images(&self) -> &Path {
        &self.images
    }

    /// The fleet's bridge. `None` if it has no hosts.
    pub fn bridge(&self) -> Option<String> {
        let record = fs::read_to_string(self.folder.path().join("network.json")).ok()?;
        let number = record.chars().filter(char::is_ascii_digit).collect::<String>();
        Some(format!("pmfleet{number}"))
    }

    /// The cgroup of a host, or of the whole fleet.
    pub fn group(&self, host: Option<&str>) -> Option<PathBuf> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let mounted = mounts.lines().find(|line| line.contains(" - cgroup2 "))?.split(' ').nth(4)?;
        let fleet = Path::new(mounted).join("patch-fleet").join(self.bridge()?);
        Some(host.map_or(fleet.clone(), |host| fleet.join(host)))
    }

    /// `ssh` to a host of the fleet with this host key.
    pub fn ssh(&self, address: &str, host_key: &str) -> Command {
        let known = self.folder.path().join("known_hosts");
        let line = format!("{address} {host_key}\n");
        let text = fs::read_to_string(&known).unwrap_or_default();
        if !text.contains(&line) {
            fs::write(&known, text + &line).expect("the fleet's folder can be written");
        }
        let mut command = Command::new("ssh");
        command.args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=10"]);
        command.args(["-F", "none", "-o", "ServerAliveInterval=3", "-o", "LogLevel=ERROR"]);
        command.arg("-o").arg(format!("UserKnownHostsFile={}", known.display()));
        command.arg("-i").arg(self.folder.path().join("id_ed25519"));
        command.arg(format!("root@{address}"));
        command
    }
}

impl Drop for TestFleet {
    fn drop(&mut self) {
        let (Some(bridge), Some(group)) = (self.bridge(), self.group(None)) else { return };
        // A failed test does not clean up, and there may be no service later that does.
        let _ = fs::write(group.join("cgroup.kill"), "1");
        for _ in 0..500 {
            if !fs::read_to_string(group.join("cgroup.events")).is_ok_and(|text| text.contains("populated 1"))
            {
                break;
            }
            sleep(Duration::from_millis(20));
        }
        let _ = Command::new("find").arg(&group).args(["-depth", "-type", "d", "-delete"]).output();
        let _ = Command::new("ip").args(["link", "delete", &bridge]).output();
    }
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}
