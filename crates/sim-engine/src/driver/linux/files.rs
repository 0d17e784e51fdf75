//! File operations whose errors name the path.

use std::{
    fs::{self, File, Permissions},
    io::ErrorKind,
    os::unix::fs::PermissionsExt,
    path::Path,
};

use super::FleetError;

pub fn read(path: &Path) -> Result<String, FleetError> {
    fs::read_to_string(path).map_err(FleetError::file("read", path))
}

pub fn write(path: &Path, text: &str) -> Result<(), FleetError> {
    fs::write(path, text).map_err(FleetError::file("written", path))
}

/// Writes a file with this mode.
pub fn write_mode(path: &Path, text: &str, mode: u32) -> Result<(), FleetError> {
    write(path, text)?;
    set_mode(path, mode)
}

pub fn set_mode(path: &Path, mode: u32) -> Result<(), FleetError> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(FleetError::file("changed", path))
}

pub fn create_folders(path: &Path) -> Result<(), FleetError> {
    fs::create_dir_all(path).map_err(FleetError::file("created", path))
}

pub fn rename(from: &Path, to: &Path) -> Result<(), FleetError> {
    fs::rename(from, to).map_err(FleetError::file("renamed", from))
}

pub fn remove_folder(path: &Path) -> Result<(), FleetError> {
    fs::remove_dir_all(path).map_err(FleetError::file("removed", path))
}

/// Removes a file. A missing file is not an error.
pub fn remove(path: &Path) -> Result<(), FleetError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(FleetError::file("removed", path)(error)),
        _ => Ok(()),
    }
}

/// Waits for an exclusive lock, also against other processes. Dropping the file releases it.
pub fn lock(path: &Path) -> Result<File, FleetError> {
    let file = File::options().create(true).truncate(false).write(true).open(path);
    file.and_then(|file| file.lock().map(|()| file)).map_err(FleetError::file("locked", path))
}
