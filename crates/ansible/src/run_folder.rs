//! The folder of one run: everything `ansible-playbook` reads and writes, readable only by its owner.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use domain::ids::CiId;

use crate::{private_folder, secret::Secret};

/// Name of the private folder, or of the link to it, within the run's folder.
const PRIVATE: &str = "private";
/// Longest folder for ssh's control sockets: their addresses end at 107 bytes, and ssh adds a name and a suffix.
const LONGEST_CONTROL_FOLDER: usize = 70;

#[derive(Debug, Clone)]
pub(crate) struct RunFolder {
    path: PathBuf,
    /// Secrets and ssh's sockets; in memory if possible.
    private: PathBuf,
}

impl RunFolder {
    /// Creates the folder, or reuses that of an earlier attempt.
    pub fn prepare(path: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o700))?;
        // Ansible would resolve relative paths against folders of its own.
        let path = path.canonicalize()?;
        remove_secrets(&path)?;
        let link = path.join(PRIVATE);
        let private = match private_folder::create() {
            // Through the link a later process can remove what this one leaves if it is killed.
            Some(private) => symlink(&private, &link).map(|()| private)?,
            None => DirBuilder::new().mode(0o700).create(&link).map(|()| link)?,
        };
        let folder = Self { path, private };
        DirBuilder::new().recursive(true).mode(0o700).create(folder.keys())?;
        DirBuilder::new().recursive(true).mode(0o700).create(folder.temporary())?;
        remove_if_present(&folder.stop_file())?;
        Ok(folder)
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

    pub fn lease_file(&self) -> PathBuf {
        self.path.join("lease")
    }

    pub fn token(&self) -> PathBuf {
        self.private.join("token")
    }

    /// Where plugins ask what the platform's own rules decide.
    pub fn judge(&self) -> PathBuf {
        self.private.join("judge")
    }

    pub fn key(&self, host: &CiId) -> PathBuf {
        self.keys().join(host.as_str())
    }

    /// Next to the key, where ssh looks for it.
    pub fn certificate(&self, host: &CiId) -> PathBuf {
        self.keys().join(format!("{host}-cert.pub"))
    }

    /// The passwords with which users become root, if there are any.
    pub fn passwords(&self) -> PathBuf {
        self.private.join("passwords.json")
    }

    /// What Ansible reads as inventory.
    pub fn inventories(&self) -> impl Iterator<Item = PathBuf> {
        [self.inventory()].into_iter().chain(Some(self.passwords()).filter(|path| path.is_file()))
    }

    pub fn known_hosts(&self) -> PathBuf {
        self.path.join("known_hosts")
    }

    pub fn ssh_configuration(&self) -> PathBuf {
        self.private.join("ssh_config")
    }

    pub fn temporary(&self) -> PathBuf {
        self.path.join("tmp")
    }

    /// `None` if the folder's path is too long for sockets.
    pub fn control_sockets(&self) -> Option<PathBuf> {
        let folder = self.private.join("cp");
        (folder.as_os_str().len() <= LONGEST_CONTROL_FOLDER).then_some(folder)
    }

    pub fn write_text(&self, path: &Path, text: &str) -> io::Result<()> {
        create_private(path)?.write_all(text.as_bytes())
    }

    pub fn write_secret(&self, path: &Path, secret: &Secret) -> io::Result<()> {
        let mut file = create_private(path)?;
        file.write_all(secret.expose().as_bytes())?;
        // ssh refuses a private key whose last line does not end.
        if secret.expose().ends_with('\n') { Ok(()) } else { file.write_all(b"\n") }
    }

    fn keys(&self) -> PathBuf {
        self.private.join("keys")
    }
}

/// Removes token and keys of a run, including a run whose process was killed.
pub(crate) fn remove_secrets(run_dir: &Path) -> io::Result<()> {
    let link = run_dir.join(PRIVATE);
    match fs::read_link(&link) {
        Ok(private) => {
            private_folder::remove(&private)?;
            fs::remove_file(&link)
        }
        // No link: the folder itself, or nothing.
        Err(_) => private_folder::remove(&link),
    }
}

/// A new, empty file that only its owner can read. Replaces an older one, whatever its mode.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    remove_if_present(path)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
