//! Tests that cannot run on a machine report it here, so that `cargo xtask test` counts and names them.
//!
//! A development dependency without dependencies of its own, so that pure crates can use it. `test-support` re-exports it.

use std::fmt::Display;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};

/// Why a test cannot run. `cargo xtask test` decides by it whether this machine could have run the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A program that `cargo xtask bootstrap` installs: no reason on a machine that is set up.
    MissingTool,
    /// Real hosts need root, namespaces, overlayfs, loop devices and cgroup2.
    NoRealHosts,
    /// Reference data beside the workspace, which is not part of it.
    MissingData,
    /// A program of another system, such as `dpkg`, which is not installed for the tests.
    OtherSystem,
    /// A heavy test, which only `cargo xtask test --full` runs.
    OnlyFull,
}

impl Reason {
    pub fn name(self) -> &'static str {
        match self {
            Self::MissingTool => "missing-tool",
            Self::NoRealHosts => "no-real-hosts",
            Self::MissingData => "missing-data",
            Self::OtherSystem => "other-system",
            Self::OnlyFull => "only-full",
        }
    }
}

/// Reports that the calling test does not run: `skipped: cmdb::inventory::accepts: missing-tool: there is no ansible`.
pub fn skip(reason: Reason, why: impl Display) {
    let package = std::env::var("CARGO_PKG_NAME").unwrap_or_else(|_| "test".to_owned());
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("unnamed");
    let line = format!("skipped: {package}::{test}: {}: {why}\n", reason.name());
    // Past the capture of `println!` and `eprintln!`, which hides what a passing test prints.
    let _ = stderr().write_all(line.as_bytes());
}

/// Whether heavy tests run: `cargo xtask test --full` sets `PATCH_TEST_FULL`. If not, the calling test is reported as skipped.
pub fn is_full() -> bool {
    let is_full = std::env::var_os("PATCH_TEST_FULL").is_some();
    if !is_full {
        skip(Reason::OnlyFull, "`cargo xtask test --full` runs it");
    }
    is_full
}

/// A path below the folder of reference data; `None` when it is not on this machine, which is reported. The folder is
/// `PATCH_SHARED_DATA`, else `../shared/data` beside the workspace.
pub fn shared_data(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("PATCH_SHARED_DATA")
        .map_or_else(|| workspace().join("../shared/data"), PathBuf::from);
    let found = folder.join(path);
    if found.exists() {
        return Some(found);
    }
    skip(Reason::MissingData, format_args!("there is no reference data at {}", found.display()));
    None
}

/// A program of the private Python environment, or the one that `variable` names; `None` when it is not installed, which
/// is reported.
pub fn python_tool(name: &str, variable: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    let own = workspace().join(".patch/venv/bin").join(name);
    let found = named.into_iter().chain([own]).find(|path| path.is_file());
    if found.is_none() {
        skip(
            Reason::MissingTool,
            format_args!("{name} is not installed; `cargo xtask bootstrap` installs it"),
        );
    }
    found
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
