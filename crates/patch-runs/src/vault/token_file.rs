//! The Vault token that came with a run: a file closed to others beside the run's other files, from the run's start to its
//! end. A run may wait days for its approval and outlive a restart; the database never sees the token.

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

fn place(work_dir: &Path, run: RunId) -> PathBuf {
    folder(work_dir).join(run.to_string())
}

pub(crate) fn keep(work_dir: &Path, run: RunId, token: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder(work_dir))?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(place(work_dir, run))?;
    file.write_all(token.as_bytes())?;
    file.sync_all()
}

/// `None` where this machine never had it.
pub(crate) fn read(work_dir: &Path, run: RunId) -> io::Result<Option<Secret>> {
    match fs::read_to_string(place(work_dir, run)) {
        Ok(token) => Ok(Some(Secret::new(token))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Overwrites the token before the file goes, so that the blocks of a disk do not keep it longer than need be.
pub(crate) fn wipe(work_dir: &Path, run: RunId) -> io::Result<()> {
    let path = place(work_dir, run);
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

/// Runs of which a token lies here, and for how long it has.
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
    fn token_is_closed_to_others_and_goes_with_the_run() {
        let work = tempfile::tempdir().unwrap();
        let run = RunId(uuid::Uuid::now_v7());
        keep(work.path(), run, "s.secret").unwrap();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder(work.path())), mode(place(work.path(), run))), (0o700, 0o600));
        assert_eq!(read(work.path(), run).unwrap().unwrap().expose(), "s.secret");
        assert_eq!(list(work.path())[0].0, run);
        wipe(work.path(), run).unwrap();
        assert!(read(work.path(), run).unwrap().is_none());
        wipe(work.path(), run).unwrap();
    }
}
