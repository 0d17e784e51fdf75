//! The Vault token of a run: a private file that exists from the start of the run to its end. A run may wait days for its
//! approval and survive a restart; the token is never stored in the database.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use ansible::Secret;
use domain::ids::RunId;

fn folder(work_dir: &Path) -> PathBuf {
    work_dir.join("vault-tokens")
}

fn path_of(work_dir: &Path, run: RunId) -> PathBuf {
    folder(work_dir).join(run.to_string())
}

pub(crate) fn keep(work_dir: &Path, run: RunId, token: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder(work_dir))?;
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path_of(work_dir, run))?;
    file.write_all(token.as_bytes())?;
    file.sync_all()
}

/// `None` if this machine never had it.
pub(crate) fn read(work_dir: &Path, run: RunId) -> io::Result<Option<Secret>> {
    match fs::read_to_string(path_of(work_dir, run)) {
        Ok(token) => Ok(Some(Secret::new(token))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Overwrites the token before the file is deleted, so that the blocks of a disk do not keep it.
pub(crate) fn wipe(work_dir: &Path, run: RunId) -> io::Result<()> {
    let path = path_of(work_dir, run);
    let length = match fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut file = OpenOptions::new().write(true).open(&path)?;
    io::copy(&mut io::Read::take(io::repeat(b'0'), length), &mut file)?;
    file.flush()?;
    file.sync_all()?;
    fs::remove_file(path)
}

/// The runs whose token is on this machine, with the age of the file.
pub(crate) fn list(work_dir: &Path) -> Vec<(RunId, Duration)> {
    let entries = fs::read_dir(folder(work_dir)).into_iter().flatten().flatten();
    let found = |entry: fs::DirEntry| {
        let run = entry.file_name().to_str()?.parse().ok()?;
        Some((run, entry.metadata().ok()?.modified().ok()?.elapsed().unwrap_or_default()))
    };
    entries.filter_map(found).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn token_file_is_private_and_is_deleted_with_the_run() {
        let work = tempfile::tempdir().unwrap();
        let run = RunId(uuid::Uuid::now_v7());
        keep(work.path(), run, "s.secret").unwrap();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder(work.path())), mode(path_of(work.path(), run))), (0o700, 0o600));
        assert_eq!(read(work.path(), run).unwrap().unwrap().expose(), "s.secret");
        assert_eq!(list(work.path())[0].0, run);
        wipe(work.path(), run).unwrap();
        assert!(read(work.path(), run).unwrap().is_none());
        wipe(work.path(), run).unwrap();
    }
}
