//! Reference data that lies beside the project, where it is there.

use std::path::PathBuf;

/// A path below the folder of reference data, or `None` with a printed reason when it is not on this machine. The folder
/// is `PATCH_SHARED_DATA`, else `../shared/data` beside the workspace.
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
