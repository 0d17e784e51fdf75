//! This machine, where the platform keeps its data, if it does.

use std::fs;
use std::os::unix::fs::MetadataExt;

use nix::sys::statvfs::statvfs;

use super::{Finding, room};
use crate::arguments::GlobalOptions;
use crate::connect;

pub fn examine(global: &GlobalOptions) -> Vec<Finding> {
    let Ok(folder) = connect::data_dir(global) else { return Vec::new() };
    // A platform on another machine has its data there.
    if global.server.is_some() || !folder.exists() {
        return Vec::new();
    }
    let disk = match statvfs(&folder) {
        Ok(found) => {
            let unit = found.fragment_size();
            room(
                "data disk",
                found.blocks_available().saturating_mul(unit),
                found.blocks().saturating_mul(unit),
            )
        }
        Err(error) => Finding::unknown(
            "data disk",
            format!("{} cannot be asked: {error}", folder.display()),
            "check the folder, or select another one with --data-dir",
        ),
    };
    let token = folder.join("admin-token");
    let is_open = fs::metadata(&token).is_ok_and(|token| token.mode() & 0o077 != 0);
    let open = is_open.then(|| {
        let detail = format!("other users of this machine may read {}", token.display());
        Finding::failed("admin token", detail, format!("chmod 600 {}", token.display()))
    });
    open.into_iter().chain([disk]).collect()
}
