//! What a work folder knows of the installation: a file for each installation that used it.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What the folder knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub installation: Uuid,
    /// The folder, as the database knows it.
    pub folder: Uuid,
    pub epoch: i64,
    /// The highest count that was committed to the database before it was written here.
    pub count: i64,
    /// Where the folder was when this was written.
    pub path: PathBuf,
}

/// The files of a work folder.
pub(crate) struct IdentityFiles {
    work_dir: PathBuf,
    folder: PathBuf,
}

impl IdentityFiles {
    pub fn of(work_dir: &Path) -> Self {
        let work_dir = std::path::absolute(work_dir).unwrap_or_else(|_| work_dir.to_owned());
        let folder = work_dir.join("installation");
        Self { work_dir, folder }
    }

    /// The work folder itself.
    pub fn path(&self) -> &Path {
        &self.work_dir
    }

    pub fn read(&self, installation: Uuid) -> io::Result<Option<Identity>> {
        match fs::read(self.file(installation)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// An installation that used the folder; `None` for a new folder.
    pub fn any(&self) -> Option<Uuid> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json")?.parse().ok()).min()
    }

    /// Replaces the file as a whole, unless another process that uses the folder has seen more. It is on disk before this returns.
    pub fn write(&self, identity: &Identity) -> io::Result<()> {
        let known = self.read(identity.installation)?;
        if known.is_some_and(|known| (known.epoch, known.count) > (identity.epoch, identity.count)) {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let fresh = self.folder.join(format!("{}.{}", identity.installation, Uuid::now_v7().simple()));
        let written = || -> io::Result<()> {
            let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&fresh)?;
            file.write_all(&serde_json::to_vec(identity)?)?;
            file.sync_all()?;
            fs::rename(&fresh, self.file(identity.installation))?;
            fs::File::open(&self.folder)?.sync_all()
        };
        let result = written();
        if result.is_err() {
            let _ = fs::remove_file(&fresh);
        }
        result
    }

    fn file(&self, installation: Uuid) -> PathBuf {
        self.folder.join(format!("{installation}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_never_forgets_what_it_has_seen() {
        let root = tempfile::tempdir().unwrap();
        let files = IdentityFiles::of(root.path());
        assert_eq!((files.any(), files.read(Uuid::nil()).unwrap()), (None, None));
        let identity = |epoch, count| Identity {
            installation: Uuid::nil(),
            folder: Uuid::nil(),
            epoch,
            count,
            path: root.path().to_owned(),
        };
        let known = || files.read(Uuid::nil()).unwrap().map(|known| (known.epoch, known.count));
        files.write(&identity(1, 7)).unwrap();
        files.write(&identity(1, 6)).unwrap();
        assert_eq!(known(), Some((1, 7)));
        files.write(&identity(2, 1)).unwrap();
        assert_eq!(known(), Some((2, 1)));
        assert_eq!(files.any(), Some(Uuid::nil()));
        assert_eq!(
            fs::read_dir(root.path().join("installation")).unwrap().count(),
            1,
            "nothing is left over"
        );
    }

    #[test]
    fn damaged_file_is_an_error_and_not_a_new_folder() {
        let root = tempfile::tempdir().unwrap();
        let files = IdentityFiles::of(root.path());
        fs::create_dir(root.path().join("installation")).unwrap();
        fs::write(root.path().join("installation").join(format!("{}.json", Uuid::nil())), "{").unwrap();
        assert!(files.read(Uuid::nil()).is_err());
    }
}
