//! The only files that ssh reads for one run: its configuration and the keys of the hosts.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use domain::ids::CiId;

use crate::{
    inventory::Inventory,
    run_folder::RunFolder,
    ssh::{HostKey, HostKeyRule, Jump, SshConnection, SshKey},
};

/// Three probes, one every three seconds: a silent host is noticed after nine seconds, not when TCP gives up.
const ALWAYS: &str = "Host *
    BatchMode yes
    ServerAliveInterval 3
    ServerAliveCountMax 3
    ConnectTimeout 10
    StrictHostKeyChecking yes
    GlobalKnownHostsFile /dev/null
    HashKnownHosts no
    UpdateHostKeys no
    IdentitiesOnly yes
    IdentityAgent none
    ForwardAgent no
    ForwardX11 no
    PermitLocalCommand no
";

/// What ssh needs to know about the hosts of a run.
pub(crate) struct SshFiles {
    /// Each jump host and the key file for its login, with the name that ssh uses for it.
    jumps: BTreeMap<(Jump, PathBuf), String>,
}

impl SshFiles {
    pub fn of(inventory: &Inventory, folder: &RunFolder) -> Self {
        let mut jumps = BTreeMap::new();
        for (id, ssh) in inventory.ssh_hosts() {
            let Some(jump) = &ssh.jump else { continue };
            let name = format!("jump-{}", jumps.len() + 1);
            jumps.entry((jump.clone(), ssh.key.file(folder.key(id)))).or_insert(name);
        }
        Self { jumps }
    }

    /// Writes configuration, known hosts and secret keys.
    pub fn write(&self, inventory: &Inventory, folder: &RunFolder) -> io::Result<()> {
        let mut known_hosts = String::new();
        for (id, ssh) in inventory.ssh_hosts() {
            match &ssh.key {
                SshKey::File(_) => {}
                SshKey::Secret(key) => folder.write_secret(&folder.key(id), key)?,
                SshKey::Signed { key, certificate } => {
                    folder.write_secret(&folder.key(id), key)?;
                    folder.write_secret(&folder.certificate(id), certificate)?;
                }
            }
            if let HostKeyRule::Known(key) = &ssh.host_key {
                known_hosts.push_str(&known_host(id.as_str(), key));
            }
        }
        // ssh uses the first value it finds, so special settings come before the general ones.
        let mut configuration = String::new();
        for ((jump, key_file), name) in &self.jumps {
            known_hosts.push_str(&known_host(name, &jump.host_key));
            // Writing to a text cannot fail.
            let _ = write!(
                configuration,
                "Host {name}\n    HostName {}\n    Port {}\n    User {}\n    IdentityFile {}\n    HostKeyAlias {name}\n",
                jump.address,
                jump.port,
                jump.user,
                quoted(key_file),
            );
        }
        configuration.push_str(ALWAYS);
        let _ = writeln!(configuration, "    UserKnownHostsFile {}", quoted(&folder.known_hosts()));
        folder.write_text(&folder.known_hosts(), &known_hosts)?;
        folder.write_text(&folder.ssh_configuration(), &configuration)
    }

    /// ssh's arguments for one host, in addition to those for all hosts.
    pub fn arguments(&self, folder: &RunFolder, id: &CiId, ssh: &SshConnection) -> String {
        // The key belongs to the host's id, whatever its address is now.
        let mut arguments = format!("-o HostKeyAlias={id}");
        if ssh.host_key == HostKeyRule::Learn {
            arguments.push_str(" -o StrictHostKeyChecking=accept-new");
        }
        let known = |jump: &Jump| self.jumps.get(&(jump.clone(), ssh.key.file(folder.key(id))));
        if let Some(name) = ssh.jump.as_ref().and_then(known) {
            let _ = write!(arguments, " -o ProxyJump={name}");
        }
        arguments
    }
}

/// Keys of hosts that had no known key before.
pub(crate) fn learned_keys(inventory: &Inventory, folder: &RunFolder) -> BTreeMap<CiId, HostKey> {
    let text = fs::read_to_string(folder.known_hosts()).unwrap_or_default();
    let mut learned = BTreeMap::new();
    for line in text.lines() {
        let Some((name, key)) = line.split_once(' ') else { continue };
        let host = inventory.ssh_hosts().find(|(id, _)| id.as_str() == name);
        if let (Some((id, ssh)), Ok(key)) = (host, key.parse::<HostKey>())
            && ssh.host_key == HostKeyRule::Learn
        {
            learned.entry(id.clone()).or_insert(key);
        }
    }
    learned
}

fn known_host(name: &str, key: &HostKey) -> String {
    format!("{name} {}\n", key.as_str())
}

/// ssh splits values at blanks, and expands `%`.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().replace('%', "%%"))
}
