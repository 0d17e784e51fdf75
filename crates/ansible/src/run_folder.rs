//! The folder of one run: everything `ansible-playbook` reads and writes, for the owner's eyes alone.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use domain::ids::CiId;
use serde_json::Value;

use crate::secret::Secret;

/// Longest folder for ssh's control sockets: their addresses end at 107 bytes, and ssh adds a name and a suffix.
const LONGEST_CONTROL_FOLDER: usize = 70;

#[derive(Debug, Clone)]
pub(crate) struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// Makes the folder, or takes up the one of an earlier attempt.
    pub fn prepare(path: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o700))?;
        // Relative paths would be looked up from wherever Ansible happens to be.
        let folder = Self { path: path.canonicalize()? };
        DirBuilder::new().recursive(true).mode(0o700).create(folder.keys())?;
        DirBuilder::new().recursive(true).mode(0o700).create(folder.temporary())?;
        match fs::remove_file(folder.stop_file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(folder),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn inventory(&self) -> PathBuf {
        self.path.join("inventory.json")
    }

    pub fn variables(&self) -> PathBuf {
        self.path.join("variables.json")
    }

    pub fn configuration(&self) -> PathBuf {
        self.path.join("ansible.cfg")
    }

    pub fn log(&self) -> PathBuf {
        self.path.join("output.log")
    }

    pub fn stop_file(&self) -> PathBuf {
        self.path.join("stop")
    }

    pub fn token(&self) -> PathBuf {
        self.path.join("token")
    }

    pub fn key(&self, host: &CiId) -> PathBuf {
        self.keys().join(host.as_str())
    }

    pub fn temporary(&self) -> PathBuf {
        self.path.join("tmp")
    }

    /// `None` when the run's folder lies too deep for sockets.
    pub fn control_sockets(&self) -> Option<PathBuf> {
        let folder = self.path.join("cp");
        (folder.as_os_str().len() <= LONGEST_CONTROL_FOLDER).then_some(folder)
    }

    pub fn write_json(&self, path: &Path, value: &Value) -> io::Result<()> {
        create_private(path)?.write_all(value.to_string().as_bytes())
    }

    pub fn write_secret(&self, path: &Path, secret: &Secret) -> io::Result<()> {
        let mut file = create_private(path)?;
        file.write_all(secret.expose().as_bytes())?;
        // ssh refuses a private key whose last line does not end.
        if secret.expose().ends_with('\n') { Ok(()) } else { file.write_all(b"\n") }
    }

    fn keys(&self) -> PathBuf {
        self.path.join("keys")
    }
}

/// Removes token and keys that a run left in its folder; for runs whose process did not live to do it.
pub fn remove_secrets(run_dir: &Path) -> io::Result<()> {
    for removal in [fs::remove_file(run_dir.join("token")), fs::remove_dir_all(run_dir.join("keys"))] {
        match removal {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A new, empty file that only its owner reads, also when an older one of laxer mode was there.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
