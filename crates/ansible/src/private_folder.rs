//! Where the secrets of a run lie while it goes on: in memory, where the machine has a file system in memory.
//!
//! A folder is named after the process that made it, so that whoever comes later can tell those of the living from
//! those that a killed process left behind.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use nix::sys::statfs::{TMPFS_MAGIC, statfs};

use crate::process;

const MEMORY: &str = "/dev/shm";
const PREFIX: &str = "patch-run";

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A new folder in memory; `None` where there is none to be had.
pub(crate) fn create() -> Option<PathBuf> {
    if statfs(MEMORY).ok()?.filesystem_type() != TMPFS_MAGIC {
        return None;
    }
    remove_abandoned(Path::new(MEMORY));
    let (space, pid) = (pid_space()?, std::process::id());
    let start = process::start_time(pid)?;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = Path::new(MEMORY).join(format!("{PREFIX}-{space}-{pid}-{start}-{number}"));
    // Fails where somebody else has made it before: it would be no private one.
    DirBuilder::new().mode(0o700).create(&path).ok()?;
    Some(path)
}

/// Overwrites every file below, then removes the folder. A folder that is not there is removed already.
pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    if let Err(error) = overwrite(folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "the secrets of a run are removed without having been overwritten");
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn overwrite(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            overwrite(&entry.path())?;
        } else if kind.is_file() {
            let length = usize::try_from(entry.metadata()?.len()).unwrap_or(0);
            OpenOptions::new().write(true).open(entry.path())?.write_all(&vec![0; length])?;
        }
    }
    Ok(())
}

/// Folders whose makers have ended without removing them.
fn remove_abandoned(memory: &Path) {
    let (Some(space), Some(own)) = (pid_space(), fs::metadata("/proc/self").ok().map(|own| own.uid())) else {
        return;
    };
    for entry in fs::read_dir(memory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some((maker_space, pid, start)) = name.to_str().and_then(maker) else { continue };
        let is_own = entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == own);
        // In another space of pids the same number is another process.
        if is_own && maker_space == space && process::start_time(pid) != Some(start) {
            let _ = remove(&entry.path());
        }
    }
}

fn maker(name: &str) -> Option<(u64, u32, u64)> {
    let mut parts = name.strip_prefix(PREFIX)?.strip_prefix('-')?.split('-');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn pid_space() -> Option<u64> {
    Some(fs::metadata("/proc/self/ns/pid").ok()?.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_of_a_dead_process_goes_and_that_of_a_living_one_stays() {
        let memory = tempfile::TempDir::new().unwrap();
        let (space, pid) = (pid_space().unwrap(), std::process::id());
        let start = process::start_time(pid).unwrap();
        let folder = |start: u64| memory.path().join(format!("{PREFIX}-{space}-{pid}-{start}-0"));
        for start in [start, start + 1] {
            fs::create_dir(folder(start)).unwrap();
            fs::write(folder(start).join("key"), "secret").unwrap();
        }
        remove_abandoned(memory.path());
        assert!(folder(start).join("key").exists());
        assert!(!folder(start + 1).exists());
    }
}
