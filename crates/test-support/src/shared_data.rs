//! Reference data next to the project, if it exists.

use std::path::PathBuf;

/// A path below the folder of reference data, or `None` with a printed reason if it is not on this machine. The folder is
/// `PATCH_SHARED_DATA`, by default `../shared/data` next to the workspace.
pub fn shared_data(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("PATCH_SHARED_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let found = folder.join(path);
    if found.exists() {
        return Some(found);
    }
    eprintln!("skipped: there is no reference data at {}", found.display());
    None
}
