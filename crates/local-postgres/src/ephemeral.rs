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

/// A throw-away cluster for tests and builds, in a new folder below the temporary folder, without durability. Dropping it
/// removes the folder. If the owner is killed, the next start removes the folder.
pub struct EphemeralPostgres {
    /// Dropped first: the server must stop before its folder is removed.
    postgres: Option<LocalPostgres>,
    folder: PathBuf,
}

impl EphemeralPostgres {
    pub fn start() -> Result<Self, LaunchError> {
        Self::start_listening(Listen::SocketOnly)
    }

    pub fn start_listening(listen: Listen) -> Result<Self, LaunchError> {
        let parent = temporary_folder()?;
        remove_abandoned(&parent);
        let folder = own_folder(&parent)?;
        let mut config = LocalPostgresConfig::new(&folder);
        config.durable = false;
        config.listen = listen;
        // Many test databases at once, each with a pool of its own.
        config.settings.insert("max_connections".into(), "400".into());
        match LocalPostgres::start(config) {
            Ok(postgres) => Ok(Self { postgres: Some(postgres), folder }),
            // The folder stays, because it has the logs; the next start removes it.
            Err(error) => Err(error),
        }
    }
}

impl Deref for EphemeralPostgres {
    type Target = LocalPostgres;

    #[allow(clippy::expect_used)]
    fn deref(&self) -> &LocalPostgres {
        self.postgres.as_ref().expect("the server is taken out only at drop")
    }
}

impl Drop for EphemeralPostgres {
    fn drop(&mut self) {
        drop(self.postgres.take());
        // The next start removes what remains.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// `TMPDIR` if the server's user can enter it, otherwise `/tmp`.
fn temporary_folder() -> Result<PathBuf, LaunchError> {
    let wanted = env::temp_dir();
    match check_reachable(&wanted) {
        Err(LaunchError::Unreachable { .. }) => Ok(PathBuf::from("/tmp")),
        Err(error) => Err(error),
        Ok(()) => Ok(wanted),
    }
}

/// The owner's pid in the name shows a later start whether the folder is still in use.
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

/// Removes the folders of dead owners, and stops a server that is still ending in one of them. Failures are ignored:
/// another process may be removing the same folder, and the caller does not depend on it.
fn remove_abandoned(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(owner) = name.to_str().and_then(owner_of) else {
            continue;
        };
        let ours =
            entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == geteuid().as_raw());
        let owner_lives = Path::new("/proc").join(owner.to_string()).exists();
        // Pids mean nothing across containers that share a temporary folder, but the lock does.
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
    fn only_folders_of_this_crate_name_an_owner() {
        assert_eq!(owner_of("patch-postgres-123-0"), Some(123));
        assert_eq!(owner_of("patch-postgres-123"), None);
        assert_eq!(owner_of("patch-postgres-x-0"), None);
        assert_eq!(owner_of("other-123-0"), None);
    }
}
