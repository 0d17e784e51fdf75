use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bound_child::ProcessStat;
use local_postgres::{LocalPostgres, LocalPostgresConfig, find_bin_dir};
use tempfile::TempDir;
use test_skip::{Reason, skip};

/// False where the tests cannot run, which is reported.
pub fn is_postgres_installed() -> bool {
    find_bin_dir().inspect_err(|error| skip(Reason::MissingTool, error)).is_ok()
}

/// A folder that the server's user can enter, unlike a temporary folder by default; `None` where the tests cannot run.
pub fn cluster_folder() -> Option<TempDir> {
    if !is_postgres_installed() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    Some(folder)
}

pub fn config(data_dir: &Path) -> LocalPostgresConfig {
    let mut config = LocalPostgresConfig::new(data_dir);
    config.durable = false;
    config
}

pub fn start(data_dir: &Path) -> LocalPostgres {
    LocalPostgres::start(config(data_dir)).unwrap()
}

/// Runs one statement through `psql` and returns its output.
pub fn query(postgres: &LocalPostgres, statement: &str) -> Result<String, String> {
    query_url(postgres.bin_dir(), &postgres.maintenance_url(), statement)
}

pub fn query_url(bin_dir: &Path, url: &str, statement: &str) -> Result<String, String> {
    let output = Command::new(bin_dir.join("psql"))
        .args(["--no-psqlrc", "--tuples-only", "--no-align", "--no-password", "--command", statement, url])
        .output()
        .unwrap();
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

pub fn process_lives(pid: u32) -> bool {
    ProcessStat::read(pid).is_some_and(|stat| !stat.has_ended)
}

pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "not true after 30 s: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
