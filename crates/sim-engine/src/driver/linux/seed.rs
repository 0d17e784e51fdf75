//! What makes a host itself: its name, its key, who may enter, which services start. The first content of its disk.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use uuid::Uuid;

use super::{
    FleetError,
    host::{Host, Record},
    network::Network,
};

/// Lays it out in `plot`, as the upper layer of the host's root.
pub fn sow(
    plot: &Path,
    host: &Host<'_>,
    record: &Record,
    network: Network,
    services: &[&str],
) -> Result<(), FleetError> {
    let failed = || FleetError::file("written", plot);
    let etc = plot.join("upper/etc");
    let wanted = etc.join("systemd/system/multi-user.target.wants");
    fs::create_dir_all(plot.join("work")).map_err(failed())?;
    fs::create_dir_all(&wanted).map_err(failed())?;
    fs::create_dir_all(etc.join("ssh")).map_err(failed())?;
    // Folders of the upper layer hide the modes of those below.
    for folder in ["upper", "upper/etc", "upper/etc/ssh", "upper/etc/systemd", "upper/etc/systemd/system"] {
        fs::set_permissions(plot.join(folder), fs::Permissions::from_mode(0o755)).map_err(failed())?;
    }
    fs::set_permissions(&wanted, fs::Permissions::from_mode(0o755)).map_err(failed())?;
    let id = record.id.as_str();
    let public = host.fleet().key_file().with_extension("pub");
    let public = fs::read_to_string(&public).map_err(FleetError::file("read", &public))?;
    let texts = [
        ("hostname", format!("{id}\n")),
        ("hosts", format!("127.0.0.1 localhost\n127.0.1.1 {id}\n{} repository.fleet\n", network.gateway())),
        ("machine-id", format!("{}\n", Uuid::new_v4().simple())),
        ("ssh/fleet_authorized_keys", public),
    ];
    for (name, text) in texts {
        fs::write(etc.join(name), text)
            .and_then(|()| fs::set_permissions(etc.join(name), fs::Permissions::from_mode(0o644)))
            .map_err(failed())?;
    }
    // The one copy of it is the host's own.
    for (name, mode) in [("ssh_host_ed25519_key", 0o600), ("ssh_host_ed25519_key.pub", 0o644)] {
        let (made, place) = (host.path(name), etc.join("ssh").join(name));
        fs::rename(&made, &place)
            .and_then(|()| fs::set_permissions(&place, fs::Permissions::from_mode(mode)))
            .map_err(failed())?;
    }
    for service in services {
        let unit = format!("{service}.service");
        symlink(format!("/lib/systemd/system/{unit}"), wanted.join(&unit)).map_err(failed())?;
    }
    Ok(())
}
