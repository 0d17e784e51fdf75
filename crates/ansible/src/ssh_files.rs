//! The files that ssh reads for one run, and nothing but these: its configuration and the keys of the hosts.

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

/// Three seconds three times: a host that went silent is noticed after nine, not when TCP gives up.
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

/// What ssh is told about the hosts of a run.
pub(crate) struct SshFiles {
    /// The hosts in between, each with the key file it is entered with, by the name ssh knows them by.
    jumps: BTreeMap<(Jump, PathBuf), String>,
}

impl SshFiles {
    pub fn of(inventory: &Inventory, folder: &RunFolder) -> Self {
        let mut jumps = BTreeMap::new();
        for (id, ssh) in inventory.ssh_hosts() {
            let Some(jump) = &ssh.jump else { continue };
            let name = format!("jump-{}", jumps.len() + 1);
            jumps.entry((jump.clone(), key_file(folder, id, ssh))).or_insert(name);
        }
        Self { jumps }
    }

    /// Writes configuration, known hosts and handed-over keys.
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
        // The first value ssh meets counts, so what is particular comes before what is always so.
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

    /// How ssh is called for one host, beside what it is called with for all.
    pub fn arguments(&self, folder: &RunFolder, id: &CiId, ssh: &SshConnection) -> String {
        // A host is known by its id, wherever it listens at the moment.
        let mut arguments = format!("-o HostKeyAlias={id}");
        if ssh.host_key == HostKeyRule::Learn {
            arguments.push_str(" -o StrictHostKeyChecking=accept-new");
        }
        let jump =
            ssh.jump.as_ref().and_then(|jump| self.jumps.get(&(jump.clone(), key_file(folder, id, ssh))));
        if let Some(name) = jump {
            let _ = write!(arguments, " -o ProxyJump={name}");
        }
        arguments
    }
}

/// Keys that hosts showed and that nobody had known before.
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

fn key_file(folder: &RunFolder, id: &CiId, ssh: &SshConnection) -> PathBuf {
    match &ssh.key {
        SshKey::File(path) => path.clone(),
        SshKey::Secret(_) | SshKey::Signed { .. } => folder.key(id),
    }
}

fn known_host(name: &str, key: &HostKey) -> String {
    format!("{name} {}\n", key.as_str())
}

/// ssh splits values at blanks, and expands `%`.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().replace('%', "%%"))
}
