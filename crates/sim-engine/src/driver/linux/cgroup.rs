//! Control groups: by them the kernel itself knows which processes are a host's, however they were started and whoever
//! died meanwhile. No process is ever looked up by number or name.

use std::{
    fs,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use super::FleetError;

/// How long killed processes may take to be gone; they may have to finish writing.
const DEATH: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(10);

#[derive(Debug, Clone)]
pub struct Group(PathBuf);

impl Group {
    /// The group above all fleets of this machine, which may not exist yet.
    pub fn of_machine() -> Result<Self, FleetError> {
        let table = Path::new("/proc/self/mountinfo");
        let mounts = fs::read_to_string(table).map_err(FleetError::file("read", table))?;
        let mounted = mounts.lines().find(|line| line.contains(" - cgroup2 "));
        let folder = mounted.and_then(|line| line.split(' ').nth(4)).ok_or_else(|| {
            FleetError::Missing(
                "no cgroup2 file system is mounted, by which their processes are told apart".into(),
            )
        })?;
        Ok(Self(Path::new(folder).join("patch-fleet")))
    }

    pub fn child(&self, name: &str) -> Self {
        Self(self.0.join(name))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn create(&self) -> Result<(), FleetError> {
        fs::create_dir_all(&self.0).map_err(FleetError::file("created", &self.0))
    }

    /// Whether a process lives in it or below it.
    pub fn is_populated(&self) -> bool {
        fs::read_to_string(self.0.join("cgroup.events"))
            .is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
    }

    /// A process that lives in this very group.
    pub fn first_process(&self) -> Option<u32> {
        fs::read_to_string(self.0.join("cgroup.procs")).ok()?.lines().next()?.parse().ok()
    }

    /// Kills everything in it and below it at once, and removes it.
    pub fn remove(&self) -> Result<(), FleetError> {
        if !self.0.exists() {
            return Ok(());
        }
        let switch = self.0.join("cgroup.kill");
        fs::write(&switch, "1").map_err(FleetError::file("written", &switch))?;
        let until = Instant::now() + DEATH;
        while self.is_populated() || remove_folders(&self.0).is_err() {
            if !self.0.exists() {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(FleetError::Undead(self.0.display().to_string()));
            }
            sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

/// The files in it are the kernel's and go with their folder.
fn remove_folders(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_folders(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}
