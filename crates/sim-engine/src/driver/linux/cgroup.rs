//! Control groups: the kernel knows by them which processes belong to a host, however they were started. No process is ever
//! looked up by number or name.

use std::{
    fs,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use super::{FleetError, files};

/// How long killed processes may take to end: they may have to finish writing.
const KILL_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

#[derive(Debug, Clone)]
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// The cgroup of all fleets of this machine, which may not exist yet.
    pub fn of_machine() -> Result<Self, FleetError> {
        let table = Path::new("/proc/self/mountinfo");
        let mounts = files::read(table)?;
        let mounted = mounts.lines().find(|line| line.contains(" - cgroup2 "));
        let folder = mounted
            .and_then(|line| line.split(' ').nth(4))
            .ok_or_else(|| FleetError::Unsupported("no cgroup2 file system is mounted".into()))?;
        Ok(Self(Path::new(folder).join("patch-fleet")))
    }

    pub fn child(&self, name: &str) -> Self {
        Self(self.0.join(name))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn create(&self) -> Result<(), FleetError> {
        files::create_folders(&self.0)
    }

    /// Whether it or a cgroup below it has a process.
    pub fn is_populated(&self) -> bool {
        fs::read_to_string(self.0.join("cgroup.events"))
            .is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
    }

    /// A process of this cgroup itself.
    pub fn first_process(&self) -> Option<u32> {
        fs::read_to_string(self.0.join("cgroup.procs")).ok()?.lines().next()?.parse().ok()
    }

    /// Kills all processes in it and below it at once, and removes it.
    pub fn remove(&self) -> Result<(), FleetError> {
        if !self.0.exists() {
            return Ok(());
        }
        let switch = self.0.join("cgroup.kill");
        files::write(&switch, "1")?;
        let until = Instant::now() + KILL_TIMEOUT;
        while self.is_populated() || remove_folders(&self.0).is_err() {
            if !self.0.exists() {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(FleetError::NotKilled(self.0.display().to_string()));
            }
            sleep(POLL_INTERVAL);
        }
        Ok(())
    }
}

/// The kernel removes the files with their folder.
fn remove_folders(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_folders(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}
