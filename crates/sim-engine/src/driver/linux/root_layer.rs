//! The first content of a host's disk: its name, its key, who may log in, which services start.

use std::{os::unix::fs::symlink, path::Path};

use uuid::Uuid;

use super::{
    FleetError, files,
    host::{Host, Record},
    network::Network,
};

/// Writes the upper layer of the host's root into `folder`.
pub fn write(
    folder: &Path,
    host: &Host<'_>,
    record: &Record,
    network: Network,
    services: &[&str],
) -> Result<(), FleetError> {
    let etc = folder.join("upper/etc");
    let wants = etc.join("systemd/system/multi-user.target.wants");
    files::create_folders(&folder.join("work"))?;
    files::create_folders(&wants)?;
    files::create_folders(&etc.join("ssh"))?;
    // Folders of the upper layer hide the modes of those below.
    for path in ["upper", "upper/etc", "upper/etc/ssh", "upper/etc/systemd", "upper/etc/systemd/system"] {
        files::set_mode(&folder.join(path), 0o755)?;
    }
    files::set_mode(&wants, 0o755)?;
    // As in `boot.sh`: an id may have a `_`, a host name may not.
    let id = &record.id.as_str().replace('_', "-");
    let hosts = format!("127.0.0.1 localhost\n127.0.1.1 {id}\n{} repository.fleet\n", network.gateway());
    files::write_mode(&etc.join("hostname"), &format!("{id}\n"), 0o644)?;
    files::write_mode(&etc.join("hosts"), &hosts, 0o644)?;
    files::write_mode(&etc.join("machine-id"), &format!("{}\n", Uuid::new_v4().simple()), 0o644)?;
    let public_key = files::read(&host.fleet().key_file().with_extension("pub"))?;
    files::write_mode(&etc.join("ssh/fleet_authorized_keys"), &public_key, 0o644)?;
    // The host gets the only copy of its key.
    for (name, mode) in [("ssh_host_ed25519_key", 0o600), ("ssh_host_ed25519_key.pub", 0o644)] {
        let path = etc.join("ssh").join(name);
        files::rename(&host.path(name), &path)?;
        files::set_mode(&path, mode)?;
    }
    for service in services {
        let (unit, link) =
            (format!("/lib/systemd/system/{service}.service"), wants.join(format!("{service}.service")));
        symlink(unit, &link).map_err(FleetError::file("created", &link))?;
    }
    Ok(())
}
