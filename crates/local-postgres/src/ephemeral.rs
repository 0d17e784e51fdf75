use std::env;
use std::fs::{self, DirBuilder};
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::unistd::geteuid;

use crate::server_user::check_reachable;
use crate::{LaunchError, Listen, LocalPostgres, LocalPostgresConfig, cluster, postmaster};

const PREFIX: &str = "patch-postgres-";

/// A throw-away cluster for tests and builds: in a folder of its own below the temporary folder, without durability,
/// gone when dropped. The folder of an owner that was killed is swept away by the next start.
pub struct EphemeralPostgres {
    /// Emptied first at drop: the server must stand still before its folder goes.
    postgres: Option<LocalPostgres>,
    folder: PathBuf,
}

impl EphemeralPostgres {
    pub fn start() -> Result<Self, LaunchError> {
        Self::start_listening(Listen::SocketOnly)
    }

    pub fn start_listening(listen: Listen) -> Result<Self, LaunchError> {
        let parent = temporary_folder()?;
        sweep(&parent);
        let folder = own_folder(&parent)?;
        let mut config = LocalPostgresConfig::new(&folder);
        config.durable = false;
        config.listen = listen;
        // Many test databases at once, each with a pool of its own.
        config.settings.insert("max_connections".into(), "400".into());
        match LocalPostgres::start(config) {
            Ok(postgres) => Ok(Self { postgres: Some(postgres), folder }),
            // The folder stays for a look at its logs; the next start sweeps it.
            Err(error) => Err(error),
        }
    }
}

impl Deref for EphemeralPostgres {
    type Target = LocalPostgres;

    #[allow(clippy::expect_used)]
    fn deref(&self) -> &LocalPostgres {
        self.postgres.as_ref().expect("the server is taken out at drop only")
    }
}

impl Drop for EphemeralPostgres {
    fn drop(&mut self) {
        drop(self.postgres.take());
        // What cannot be removed now is swept by the next start.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// `TMPDIR` when the server's user can enter it, else the system's own.
fn temporary_folder() -> Result<PathBuf, LaunchError> {
    let wanted = env::temp_dir();
    match check_reachable(&wanted) {
        Err(LaunchError::Unreachable { .. }) => Ok(PathBuf::from("/tmp")),
        Err(error) => Err(error),
        Ok(()) => Ok(wanted),
    }
}

/// The owner's process number in the name tells a later sweep whether anybody still needs the folder.
fn own_folder(parent: &Path) -> Result<PathBuf, LaunchError> {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let folder = parent.join(format!("{PREFIX}{}-{number}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(LaunchError::io("create", folder)(error)),
        }
    }
}

/// Removes the folders of dead owners, together with a server that is still about to end in one of them. Every
/// failure is let pass: another sweep may be at the same folder, and none of this is needed by the caller.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(owner) = name.to_str().and_then(owner_of) else {
            continue;
        };
        let ours =
            entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == geteuid().as_raw());
        let owner_lives = Path::new("/proc").join(owner.to_string()).exists();
        // Process numbers mean nothing across containers that share a temporary folder; the lock does.
        if !ours || owner_lives || cluster::is_held(&entry.path()) {
            continue;
        }
        if postmaster::stop_leftover(&entry.path().join("data")).is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn owner_of(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_of_ours_name_an_owner() {
        assert_eq!(owner_of("patch-postgres-123-0"), Some(123));
        assert_eq!(owner_of("patch-postgres-123"), None);
        assert_eq!(owner_of("patch-postgres-x-0"), None);
        assert_eq!(owner_of("other-123-0"), None);
    }
}
