//! The data folder: its owner, its format version, and its lock for one process at a time.
//!
//! ```text
//! <data dir>/        closed to other users
//!   version          `patch-manager-data <format>`
//!   lock             locked by the running platform; contains its process id
//!   admin-token      0600
//!   service-token    0600
//!   approval-key     0600
//!   webhook-key      0600
//!   audit-key        0600
//!   audit-heads      0600; exported ends of the audit chains
//!   tls/             authority and certificate of a platform that speaks TLS
//!   postgres/        the private PostgreSQL
//!   work/            input and output of playbooks
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use local_postgres::LaunchError;

use terminal::Failure;

/// Increases when the layout of the folder changes; the database has its own migrations.
pub const FORMAT: u32 = 1;
const MAGIC: &str = "patch-manager-data";

pub struct DataDir {
    path: PathBuf,
    /// Keeps the lock, which the kernel releases when the process ends.
    _lock: File,
}

impl DataDir {
    /// Creates or opens the folder and locks it. With `has_server` the user of the private PostgreSQL must be able to
    /// reach its subfolder.
    pub fn open(path: &Path, has_server: bool) -> Result<Self, Failure> {
        let path = std::path::absolute(path).map_err(|error| failed("resolve", path, &error))?;
        // The folder itself may still be closed, because it is opened below. Only a closed parent is an error.
        if has_server
            && let Err(error) = local_postgres::check_reachable(&path.join("postgres"))
            && !matches!(&error, LaunchError::Unreachable { dir, .. } if *dir == path)
        {
            return Err(error.into());
        }
        if path.exists() && !path.is_dir() {
            return Err(Failure::new(format!(
                "`{}` is not a folder; choose another with --data-dir",
                path.display()
            )));
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|error| failed("create", &path, &error))?;
        check_ours(&path)?;
        let lock = lock(&path)?;
        check_version(&path)?;
        // Under root, PostgreSQL runs as another user, which must reach its own folder and must not read others.
        let mode = if has_server && is_root() { 0o711 } else { 0o700 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .map_err(|error| failed("restrict", &path, &error))?;
        Ok(Self { path, _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The default: `/var/lib/patch-manager` for root, else in the data folder of the user.
pub fn default_data_dir() -> Option<PathBuf> {
    if is_root() {
        return Some("/var/lib/patch-manager".into());
    }
    let given = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data_home = given("XDG_DATA_HOME").or_else(|| given("HOME").map(|home| home.join(".local/share")))?;
    Some(data_home.join("patch-manager"))
}

/// Whether a platform was ever started in the folder.
pub fn is_used(path: &Path) -> bool {
    path.join("version").exists()
}

/// Whether a process has locked the folder.
pub fn is_running(path: &Path) -> bool {
    File::open(path.join("lock")).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn check_ours(path: &Path) -> Result<(), Failure> {
    if path.join("version").exists() {
        return Ok(());
    }
    let entries = fs::read_dir(path).map_err(|error| failed("read", path, &error))?;
    let is_foreign = entries.flatten().any(|entry| entry.file_name() != "lock");
    if is_foreign { Err(not_ours(path)) } else { Ok(()) }
}

fn not_ours(path: &Path) -> Failure {
    Failure::new(format!(
        "`{}` contains other files and is not a data folder of the patch manager; choose an empty or new one with --data-dir",
        path.display()
    ))
}

fn lock(path: &Path) -> Result<File, Failure> {
    let lock = path.join("lock");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(&lock)
        .map_err(|error| failed("open", &lock, &error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let _ = file.read_to_string(&mut owner);
            return Err(Failure::new(format!(
                "the platform already runs in `{}` as process {}; stop it, or choose another folder with --data-dir",
                path.display(),
                owner.trim()
            )));
        }
        Err(TryLockError::Error(error)) => return Err(failed("lock", &lock, &error)),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(|error| failed("write", &lock, &error))?;
    Ok(file)
}

fn check_version(path: &Path) -> Result<(), Failure> {
    let file = path.join("version");
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let fresh = path.join("version.new");
            return fs::write(&fresh, format!("{MAGIC} {FORMAT}\n"))
                .and_then(|()| fs::rename(&fresh, &file))
                .map_err(|error| failed("write", &file, &error));
        }
        Err(error) => return Err(failed("read", &file, &error)),
    };
    let number = text.trim().strip_prefix(MAGIC).and_then(|rest| rest.trim().parse::<u32>().ok());
    match number {
        Some(FORMAT) => Ok(()),
        Some(newer) if newer > FORMAT => Err(Failure::new(format!(
            "the data in `{}` was written by a newer version of patchctl (format {newer}, this version knows {FORMAT}); start that version, or choose another folder with --data-dir",
            path.display()
        ))),
        _ => Err(not_ours(path)),
    }
}

pub fn failed(action: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!(
        "cannot {action} `{}`: {error}; choose another folder with --data-dir",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_is_closed_locked_and_versioned() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        let first = DataDir::open(&path, false).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        let second = DataDir::open(&path, false).err().unwrap().to_string();
        assert!(
            second.contains("already runs") && second.contains(&std::process::id().to_string()),
            "{second}"
        );
        drop(first);

        fs::write(path.join("version"), "patch-manager-data 2\n").unwrap();
        let newer = DataDir::open(&path, false).err().unwrap().to_string();
        assert!(newer.contains("newer version"), "{newer}");
    }

    #[test]
    fn foreign_folder_is_not_used() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("thesis.tex"), "").unwrap();
        let error = DataDir::open(root.path(), false).err().unwrap().to_string();
        assert!(error.contains("other files"), "{error}");
        assert!(!root.path().join("lock").exists());
    }
}
