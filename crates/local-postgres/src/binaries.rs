use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::LaunchError;

const DEBIAN_ROOT: &str = "/usr/lib/postgresql";

/// The folder with the server programs: `PG_BINDIR`, or the highest version below `/usr/lib/postgresql`, or the first
/// folder of `PATH` that has them.
pub fn find_bin_dir() -> Result<PathBuf, LaunchError> {
    find_for_cluster(None)
}

/// The folder with the programs of the version that the cluster in `folder` was created with, if it is installed.
pub fn find_bin_dir_of(folder: &Path) -> Result<PathBuf, LaunchError> {
    let version = fs::read_to_string(folder.join("data/PG_VERSION")).ok();
    find_for_cluster(version.and_then(|version| version.trim().parse().ok()))
}

/// Like [`find_bin_dir`], but prefers the major version that an existing cluster was created with, so that a second,
/// newer PostgreSQL on the machine does not make the data inaccessible.
pub(crate) fn find_for_cluster(cluster_version: Option<u32>) -> Result<PathBuf, LaunchError> {
    if let Some(dir) = env::var_os("PG_BINDIR").filter(|dir| !dir.is_empty()) {
        return checked(PathBuf::from(dir));
    }
    let installed = installed_versions(Path::new(DEBIAN_ROOT));
    let chosen =
        installed.iter().find(|(version, _)| Some(*version) == cluster_version).or(installed.first());
    if let Some((_, dir)) = chosen {
        return Ok(dir.clone());
    }
    env::var_os("PATH")
        .iter()
        .flat_map(env::split_paths)
        .find(|dir| has_server(dir))
        .ok_or(LaunchError::BinariesMissing)
}

/// Accepts a folder only if it has the server programs.
pub(crate) fn checked(dir: PathBuf) -> Result<PathBuf, LaunchError> {
    if has_server(&dir) { Ok(dir) } else { Err(LaunchError::NotABinDir { dir }) }
}

/// Major version of the programs in `bin_dir`, from `postgres --version`.
pub(crate) fn major_version(bin_dir: &Path) -> Result<u32, LaunchError> {
    let program = bin_dir.join("postgres");
    let output =
        Command::new(&program).arg("--version").output().map_err(LaunchError::io("run", &program))?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
        .ok_or(LaunchError::NotABinDir { dir: bin_dir.to_path_buf() })
}

/// `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`, `postgres (PostgreSQL) 19devel`
fn parse_version(line: &str) -> Option<u32> {
    let version = line.split_once("(PostgreSQL) ")?.1;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn installed_versions(root: &Path) -> Vec<(u32, PathBuf)> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            let dir = entry.path().join("bin");
            has_server(&dir).then_some((version, dir))
        })
        .collect();
    found.sort_by(|left, right| right.cmp(left));
    found
}

fn has_server(dir: &Path) -> bool {
    dir.is_absolute() && dir.join("initdb").is_file() && dir.join("postgres").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_every_vendors_line() {
        assert_eq!(parse_version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_version("postgres (PostgreSQL) 19devel\n"), Some(19));
        assert_eq!(parse_version("something else"), None);
    }

    #[test]
    fn highest_version_comes_first_by_number() {
        let root = tempfile::tempdir().unwrap();
        for version in ["9", "15", "17", "common"] {
            let bin = root.path().join(version).join("bin");
            fs::create_dir_all(&bin).unwrap();
            fs::write(bin.join("initdb"), "").unwrap();
            fs::write(bin.join("postgres"), "").unwrap();
        }
        fs::create_dir_all(root.path().join("18/bin")).unwrap();
        let versions: Vec<u32> = installed_versions(root.path()).into_iter().map(|found| found.0).collect();
        assert_eq!(versions, [17, 15, 9]);
    }

    #[test]
    fn folder_without_the_programs_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let error = checked(dir.path().to_path_buf()).unwrap_err().to_string();
        assert!(error.contains(dir.path().to_str().unwrap()), "{error}");
        assert!(error.contains("initdb"), "{error}");
    }
}
