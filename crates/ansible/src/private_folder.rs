//! Where the secrets of a run are while it is under way: in memory, if the machine has a file system in memory.
//!
//! A folder is named after the process that created it, so that a later process recognises the folders of killed
//! processes.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use bound_child::ProcessStat;
use nix::sys::statfs::{TMPFS_MAGIC, statfs};

const MEMORY: &str = "/dev/shm";
const PREFIX: &str = "patch-run";

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A new folder in memory; `None` if that is not possible.
pub(crate) fn create() -> Option<PathBuf> {
    if statfs(MEMORY).ok()?.filesystem_type() != TMPFS_MAGIC {
        return None;
    }
    remove_abandoned(Path::new(MEMORY));
    let (space, pid) = (pid_space()?, std::process::id());
    let start = ProcessStat::read(pid)?.start_time;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = Path::new(MEMORY).join(format!("{PREFIX}-{space}-{pid}-{start}-{number}"));
    // Fails if the folder exists: then somebody else created it, and it is not private.
    DirBuilder::new().mode(0o700).create(&path).ok()?;
    Some(path)
}

/// Overwrites every file below, then removes the folder. A folder that does not exist is fine.
pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    if let Err(error) = overwrite(folder)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "cannot overwrite the secrets of a run before removing them");
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

/// Removes the folders whose creators have ended.
fn remove_abandoned(memory: &Path) {
    let (Some(space), Some(own)) = (pid_space(), fs::metadata("/proc/self").ok().map(|own| own.uid())) else {
        return;
    };
    for entry in fs::read_dir(memory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some((creator_space, pid, start)) = name.to_str().and_then(creator) else { continue };
        let is_own = entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == own);
        // In another pid namespace the same number is another process.
        let lives = ProcessStat::read(pid).is_some_and(|stat| stat.start_time == start);
        if is_own && creator_space == space && !lives {
            let _ = remove(&entry.path());
        }
    }
}

fn creator(name: &str) -> Option<(u64, u32, u64)> {
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
    fn only_folders_of_dead_processes_are_removed() {
        let memory = tempfile::TempDir::new().unwrap();
        let (space, pid) = (pid_space().unwrap(), std::process::id());
        let start = ProcessStat::read(pid).unwrap().start_time;
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
