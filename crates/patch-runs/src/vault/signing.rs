//! Key pairs for one action: created in a private folder on a file system in memory, read, and deleted at once.

use std::{io, os::unix::fs::PermissionsExt, path::PathBuf, process::Stdio, time::Duration};

use ansible::Secret;
use tokio::process::Command;

const TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct KeyPair {
    pub private_key: Secret,
    pub public_key: String,
}

/// Creates an ed25519 pair with `ssh-keygen`, which is installed wherever Ansible's `ssh` is.
pub(crate) async fn create_pair() -> io::Result<KeyPair> {
    let folder = tempfile::Builder::new().prefix("patch-key-").tempdir_in(memory_folder())?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700))?;
    let file = folder.path().join("key");
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", "patch-manager", "-f"]).arg(&file);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let status = tokio::time::timeout(TIMEOUT, command.status())
        .await
        .map_err(|_| io::Error::other("ssh-keygen did not end in time"))?
        .map_err(|error| io::Error::other(format!("cannot start ssh-keygen: {error}")))?;
    if !status.success() {
        return Err(io::Error::other("ssh-keygen created no key"));
    }
    let private_key = Secret::new(std::fs::read_to_string(&file)?);
    let public_key = std::fs::read_to_string(file.with_extension("pub"))?.trim().to_owned();
    Ok(KeyPair { private_key, public_key })
}

/// A folder that is not on a disk, if there is one: the user's runtime folder, else shared memory, else the temporary folder.
pub(crate) fn memory_folder() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let candidates = runtime.into_iter().chain([PathBuf::from("/dev/shm")]);
    candidates.into_iter().find(|path| path.is_dir()).unwrap_or_else(std::env::temp_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pair_is_created_and_leaves_no_files() {
        let pair = create_pair().await.unwrap();
        assert!(pair.public_key.starts_with("ssh-ed25519 "));
        assert!(pair.private_key.expose().contains("PRIVATE KEY"));
        let left = std::fs::read_dir(memory_folder()).unwrap().flatten();
        let own = format!("patch-key-{}", std::process::id());
        assert!(!left.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with(&own)));
    }
}
