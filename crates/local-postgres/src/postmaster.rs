//! What a data folder says about its server: `postmaster.pid`, and the process behind it.

use std::fs;
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use bound_child::ProcessStat;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::LaunchError;

const POLL: Duration = Duration::from_millis(10);
/// An earlier server may still write its last checkpoint; after this time it is stopped without one.
const LEFTOVER_FAST: Duration = Duration::from_secs(20);
const LEFTOVER_IMMEDIATE: Duration = Duration::from_secs(10);

/// Whether server `pid` reports in its pid file that it accepts connections.
pub(crate) fn is_ready(data: &Path, pid: u32) -> bool {
    let Ok(text) = fs::read_to_string(data.join("postmaster.pid")) else {
        return false;
    };
    let mut lines = text.lines();
    let same = lines.next().and_then(|line| line.trim().parse().ok()) == Some(pid);
    // `pg_ctl` also waits for this status in line 8.
    same && lines.nth(6).is_some_and(|status| status.trim() == "ready")
}

/// Stops a server that an earlier owner left in `data`, and removes a pid file whose pid now belongs to another process.
/// Call it with the folder's lock held, so that it cannot stop the server of a living owner.
pub(crate) fn stop_leftover(data: &Path) -> Result<(), LaunchError> {
    let pid_file = data.join("postmaster.pid");
    let text = match fs::read_to_string(&pid_file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(LaunchError::io("read", pid_file)(error)),
    };
    let Some(pid) = text.lines().next().and_then(|line| line.trim().parse::<u32>().ok()) else {
        return Ok(());
    };
    match occupant(data, pid) {
        Occupant::Nobody => Ok(()),
        // PostgreSQL would take the other process for its predecessor and refuse to start.
        Occupant::Stranger => fs::remove_file(&pid_file).map_err(LaunchError::io("remove", &pid_file)),
        Occupant::Server => {
            signal(pid, Signal::SIGINT);
            if wait_gone(data, pid, LEFTOVER_FAST) {
                return Ok(());
            }
            signal(pid, Signal::SIGQUIT);
            if wait_gone(data, pid, LEFTOVER_IMMEDIATE) {
                return Ok(());
            }
            Err(LaunchError::LeftoverServer { data_dir: data.to_path_buf(), pid })
        }
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        // The process may have ended by itself.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

enum Occupant {
    Nobody,
    /// A server whose working folder is the data folder, as every postmaster's is.
    Server,
    Stranger,
}

fn occupant(data: &Path, pid: u32) -> Occupant {
    if ProcessStat::read(pid).is_none_or(|stat| stat.has_ended) {
        return Occupant::Nobody;
    }
    let works_in = fs::read_link(format!("/proc/{pid}/cwd"));
    match (works_in, data.canonicalize()) {
        (Ok(works_in), Ok(data)) if works_in == data => Occupant::Server,
        _ => Occupant::Stranger,
    }
}

fn wait_gone(data: &Path, pid: u32, timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    while Instant::now() < deadline {
        if !matches!(occupant(data, pid), Occupant::Server) {
            return true;
        }
        sleep(POLL);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pid_file_of_an_unrelated_process_is_removed() {
        let data = tempfile::tempdir().unwrap();
        let pid_file = data.path().join("postmaster.pid");
        fs::write(&pid_file, format!("{}\n{}\n", std::process::id(), data.path().display())).unwrap();
        stop_leftover(data.path()).unwrap();
        assert!(!pid_file.exists());
    }

    #[test]
    fn only_a_ready_status_of_the_same_process_counts() {
        let data = tempfile::tempdir().unwrap();
        let write = |pid: u32, status: &str| {
            let text = format!("{pid}\n/d\n1\n5432\n/s\n\n 1 2\n{status}\n");
            fs::write(data.path().join("postmaster.pid"), text).unwrap();
        };
        assert!(!is_ready(data.path(), 7));
        write(7, "starting");
        assert!(!is_ready(data.path(), 7));
        write(7, "ready   ");
        assert!(is_ready(data.path(), 7));
        assert!(!is_ready(data.path(), 8));
    }
}
