//! How many files the process may open. A connection is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// More would help nobody: every service has a limit of its connections.
const MOST_FILES: u64 = 65_536;
/// If the limit cannot be read.
const USUAL_FILES: u64 = 1024;

/// Raises the limit of open files as far as this process may. Distributions start processes with 1,024.
pub fn raise_file_limit() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let wanted = hard.min(MOST_FILES);
    if soft < wanted
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)
    {
        tracing::warn!(error.source = %error, "the limit of open files stays at {soft}");
    }
}

/// The limit that holds now.
pub(super) fn file_limit() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(USUAL_FILES, |(soft, _)| soft)
}
