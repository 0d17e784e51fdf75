//! What this process sees of its machine and its database. Nothing here changes anything.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use api_types::patch::{
    AnsibleDiagnosis, DatabaseDiagnosis, Diagnosis, DiskDiagnosis, HostKeySource, HostKeysDiagnosis,
};
use nix::sys::statvfs::statvfs;
use service_kit::ApiResult;
use tokio::time::timeout;

use crate::{App, store};

/// A folder on a file server that does not answer must not hold up the rest.
const DISK_TIMEOUT: Duration = Duration::from_secs(3);

/// Bits of a mode that let others than the owner read or write.
const OTHERS: u32 = 0o077;

pub(crate) async fn get_diagnosis(app: &App) -> ApiResult<Diagnosis> {
    let server = store::diagnosis::get_server(&mut *app.pool.acquire().await?).await?;
    let at = app.clock.now();
    let (ansible, work_disk) =
        tokio::join!(app.runner.version(), disk(app.compliance.settings.work_dir.clone()));
    let (version, problem) =
        ansible.map_or_else(|reason| (None, Some(reason)), |version| (Some(version), None));
    Ok(Diagnosis {
        at,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        database: DatabaseDiagnosis {
            at: server.at,
            server_version: server.server_version,
            size_bytes: server.size_bytes,
        },
        ansible: AnsibleDiagnosis { version, problem },
        work_disk,
        host_keys: host_keys(app.settings.vault.address.is_some(), app.settings.ssh_key_file.as_deref()),
    })
}

async fn disk(folder: PathBuf) -> DiskDiagnosis {
    let unknown =
        |problem: String| DiskDiagnosis { free_bytes: None, total_bytes: None, problem: Some(problem) };
    let asked = tokio::task::spawn_blocking(move || statvfs(&existing(&folder)));
    match timeout(DISK_TIMEOUT, asked).await {
        Ok(Ok(Ok(room))) => {
            let unit = room.fragment_size();
            DiskDiagnosis {
                free_bytes: Some(room.blocks_available().saturating_mul(unit)),
                total_bytes: Some(room.blocks().saturating_mul(unit)),
                problem: None,
            }
        }
        Ok(Ok(Err(error))) => unknown(format!("the work folder cannot be asked: {error}")),
        Ok(Err(_)) => unknown("the question was interrupted".to_owned()),
        Err(_) => unknown(format!("the work folder did not answer within {} s", DISK_TIMEOUT.as_secs())),
    }
}

/// The folder, or the one that it will be created in.
fn existing(folder: &Path) -> PathBuf {
    folder.ancestors().find(|one| one.exists()).unwrap_or(Path::new("/")).to_owned()
}

fn host_keys(has_vault: bool, file: Option<&Path>) -> HostKeysDiagnosis {
    match file {
        _ if has_vault => HostKeysDiagnosis { source: HostKeySource::Vault, problem: None },
        Some(file) => HostKeysDiagnosis { source: HostKeySource::File, problem: key_problem(file) },
        None => HostKeysDiagnosis { source: HostKeySource::None, problem: None },
    }
}

/// Why ssh would refuse the key file. The path of the file is a setting of the service and stays there.
fn key_problem(file: &Path) -> Option<String> {
    let metadata = match fs::File::open(file).and_then(|file| file.metadata()) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Some("the key file does not exist".to_owned());
        }
        Err(error) => return Some(format!("the key file cannot be read: {error}")),
    };
    let mode = metadata.mode() & 0o777;
    (mode & OTHERS != 0).then(|| format!("other users of the machine may use the key file (mode {mode:03o})"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn key_file_must_exist_and_be_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        assert!(key_problem(&file).unwrap().contains("does not exist"));
        fs::write(&file, "x").unwrap();
        let with_mode = |mode| {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            key_problem(&file)
        };
        assert!(with_mode(0o640).unwrap().contains("mode 640"));
        assert_eq!(with_mode(0o600), None);
        assert_eq!(host_keys(true, Some(&file)).source, HostKeySource::Vault);
        assert_eq!(host_keys(false, None), HostKeysDiagnosis { source: HostKeySource::None, problem: None });
    }

    #[tokio::test]
    async fn room_of_a_folder_that_is_not_created_yet_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let room = disk(folder.path().join("not/yet")).await;
        assert!(room.free_bytes.unwrap() <= room.total_bytes.unwrap());
        assert_eq!(room.problem, None);
    }
}
