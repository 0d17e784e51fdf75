use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Uid, User, geteuid};

use crate::LaunchError;

/// The system user of the server: the caller, or another user if the caller is root, because PostgreSQL refuses to run as
/// root.
#[derive(Debug, Clone)]
pub(crate) struct ServerUser {
    pub(crate) name: String,
    uid: u32,
    gid: u32,
    drops_root: bool,
}

impl ServerUser {
    pub(crate) fn detect() -> Result<Self, LaunchError> {
        let caller = geteuid();
        if !caller.is_root() {
            let user = lookup(User::from_uid(caller))?;
            return Ok(Self::from_account(&user, false));
        }
        for name in ["postgres", "nobody"] {
            if let Ok(Some(user)) = User::from_name(name) {
                return Ok(Self::from_account(&user, true));
            }
        }
        Err(LaunchError::NoServerUser)
    }

    fn from_account(user: &User, drops_root: bool) -> Self {
        Self { name: user.name.clone(), uid: user.uid.as_raw(), gid: user.gid.as_raw(), drops_root }
    }

    /// Makes `command` run as this user, without root's supplementary groups.
    pub(crate) fn apply(&self, command: &mut Command) {
        if self.drops_root {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Makes this user the owner of a folder.
    pub(crate) fn take_ownership(&self, folder: &Path) -> io::Result<()> {
        if self.drops_root {
            chown(folder, Some(self.uid), Some(self.gid))?;
        }
        Ok(())
    }

    /// Lets this user read a file or folder of the caller: `mode` is for the caller, `group_mode` for this user's group if
    /// the two differ.
    pub(crate) fn share(&self, path: &Path, mode: u32, group_mode: u32) -> io::Result<()> {
        if self.drops_root {
            chown(path, None, Some(self.gid))?;
        }
        let mode = if self.drops_root { mode | group_mode } else { mode };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    /// System users that may connect as the cluster's superuser.
    pub(crate) fn client_names(&self) -> Vec<String> {
        let mut names = vec![self.name.clone()];
        if self.drops_root
            && let Ok(Some(root)) = User::from_uid(Uid::from_raw(0))
        {
            names.push(root.name);
        }
        names
    }

    /// Refuses a path below a folder that this user cannot enter. Checks only the mode bits, not access lists.
    pub(crate) fn check_reachable(&self, path: &Path) -> Result<(), LaunchError> {
        if !self.drops_root {
            return Ok(());
        }
        let is_whole = path.exists();
        let existing = deepest_existing(path)?;
        for dir in existing.ancestors() {
            let metadata = fs::metadata(dir).map_err(LaunchError::io("read", dir))?;
            let needed = if metadata.uid() == self.uid {
                0o100
            } else if metadata.gid() == self.gid {
                0o010
            } else {
                0o001
            };
            // The start opens the cluster folder itself to the server's user.
            let will_be_opened = is_whole && dir == existing && metadata.uid() == geteuid().as_raw();
            if metadata.is_dir() && metadata.mode() & needed == 0 && !will_be_opened {
                return Err(LaunchError::Unreachable { dir: dir.to_path_buf(), user: self.name.clone() });
            }
        }
        Ok(())
    }
}

/// Checks that a cluster can be in `data_dir`: for root, the user that runs the server must be able to enter every parent
/// folder (a home folder such as /root is usually closed). For callers that can fall back to another place.
pub fn check_reachable(data_dir: &Path) -> Result<(), LaunchError> {
    let data_dir = std::path::absolute(data_dir).map_err(LaunchError::io("resolve", data_dir))?;
    ServerUser::detect()?.check_reachable(&data_dir)
}

fn lookup(found: nix::Result<Option<User>>) -> Result<User, LaunchError> {
    match found {
        Ok(Some(user)) => Ok(user),
        Ok(None) | Err(_) => Err(LaunchError::NoServerUser),
    }
}

fn deepest_existing(path: &Path) -> Result<PathBuf, LaunchError> {
    let existing = path.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"));
    existing.canonicalize().map_err(LaunchError::io("resolve", existing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_parent_folder_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let closed = root.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        let somebody =
            ServerUser { name: "somebody".into(), uid: 4_000_001, gid: 4_000_001, drops_root: true };
        let error = somebody.check_reachable(&closed.join("a/b")).unwrap_err().to_string();
        assert!(error.contains("closed`") && error.contains("somebody"), "{error}");

        fs::set_permissions(&closed, fs::Permissions::from_mode(0o711)).unwrap();
        somebody.check_reachable(&closed.join("a/b")).unwrap();
    }
}
