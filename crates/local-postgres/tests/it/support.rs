use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use local_postgres::{LocalPostgres, LocalPostgresConfig, find_bin_dir};

/// False where the tests cannot run, which is reported.
pub fn postgres_is_installed() -> bool {
    match find_bin_dir() {
        Ok(_) => true,
        Err(error) => {
            test_skip::skip(test_skip::Reason::MissingTool, error);
            false
        }
    }
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
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "waited 30 s in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
