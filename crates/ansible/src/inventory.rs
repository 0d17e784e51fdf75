//! The hosts of a run: how to reach each one, its variables and its groups.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use domain::ids::CiId;
use serde_json::{Map, Value, json};

use crate::{
    error::StartError,
    secret::Secret,
    ssh::{SshConnection, shown},
    variables::{Variables, inert_text},
};

/// A refused part of an inventory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInventory {
    #[error("host `{0}` is in the inventory twice")]
    Twice(CiId),
    #[error("host `{0}` is not in the inventory; add it before its groups")]
    UnknownHost(CiId),
    #[error(
        "group `{0}` must be 1 to 100 of `a-z 0-9 _` with a letter first, and not a name that Ansible reserves"
    )]
    Group(String),
    #[error("address `{0}` is neither an IP address nor a host name")]
    Address(String),
    #[error("user `{0}` must be a login name such as `ops`, `first.last`, `svc@corp.example` or `CORP\\svc`")]
    User(String),
    #[error(
        "host key `{0}` is not a public key; write it as `ssh-ed25519 AAAA...`, as `ssh-keyscan` prints it"
    )]
    HostKey(String),
    #[error("Python `{0}` must be a path such as `/usr/bin/python3`")]
    Python(String),
}

/// How to reach the inside of a host.
#[derive(Debug, Clone)]
pub enum Connection {
    /// From the controller through an HTTP API; nothing runs on a remote machine.
    Controller,
    Ssh(Box<SshConnection>),
}

#[derive(Debug, Clone)]
struct Host {
    connection: Connection,
    variables: Variables,
}

/// The hosts of a run.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    hosts: BTreeMap<CiId, Host>,
    groups: BTreeMap<String, BTreeSet<CiId>>,
}

impl Inventory {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add_host(
        &mut self,
        id: CiId,
        connection: Connection,
        variables: Variables,
    ) -> Result<(), InvalidInventory> {
        if self.hosts.contains_key(&id) {
            return Err(InvalidInventory::Twice(id));
        }
        self.hosts.insert(id, Host { connection, variables });
        Ok(())
    }

    /// Puts a host of the inventory into a group, such as `packaging_rpm`.
    pub fn add_to_group(&mut self, group: &str, host: &CiId) -> Result<(), InvalidInventory> {
        let valid = (1..=100).contains(&group.len())
            && group.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            && group.as_bytes()[0].is_ascii_lowercase()
            && !matches!(group, "all" | "ungrouped" | "localhost");
        // A group with the name of a host would make patterns ambiguous.
        if !valid || self.hosts.keys().any(|host| host.as_str() == group) {
            return Err(InvalidInventory::Group(shown(group)));
        }
        if !self.hosts.contains_key(host) {
            return Err(InvalidInventory::UnknownHost(host.clone()));
        }
        self.groups.entry(group.to_owned()).or_default().insert(host.clone());
        Ok(())
    }

    pub fn hosts(&self) -> impl ExactSizeIterator<Item = &CiId> {
        self.hosts.keys()
    }

    /// The hosts that are reached over SSH.
    pub(crate) fn ssh_hosts(&self) -> impl Iterator<Item = (&CiId, &SshConnection)> {
        self.hosts.iter().filter_map(|(id, host)| match &host.connection {
            Connection::Ssh(ssh) => Some((id, &**ssh)),
            Connection::Controller => None,
        })
    }

    /// The inventory as Ansible's `yaml` inventory plugin reads it. `key_file` returns where the run writes the key of a
    /// host, `arguments` returns ssh's arguments for it.
    pub(crate) fn to_wire(
        &self,
        key_file: impl Fn(&CiId) -> PathBuf,
        arguments: impl Fn(&CiId, &SshConnection) -> String,
    ) -> Result<Value, StartError> {
        let mut hosts = Map::new();
        for (id, host) in &self.hosts {
            let mut variables = host.variables.to_wire()?;
            match &host.connection {
                Connection::Controller => {
                    variables.insert("ansible_connection".into(), "local".into());
                }
                Connection::Ssh(ssh) => {
                    let key = ssh.key.file(key_file(id));
                    variables.insert("ansible_connection".into(), "ssh".into());
                    variables.insert("ansible_host".into(), inert_text(&ssh.address.to_string()));
                    variables.insert("ansible_port".into(), ssh.port.into());
                    variables.insert("ansible_user".into(), inert_text(&ssh.user));
                    variables
                        .insert("ansible_ssh_private_key_file".into(), inert_text(&key.to_string_lossy()));
                    variables.insert("ansible_become".into(), ssh.escalates().into());
                    variables.insert("ansible_ssh_common_args".into(), inert_text(&arguments(id, ssh)));
                    if let Some(python) = &ssh.python {
                        variables.insert("ansible_python_interpreter".into(), inert_text(python));
                    }
                }
            }
            hosts.insert(id.to_string(), Value::Object(variables));
        }
        let group = |hosts: &BTreeSet<CiId>| {
            let hosts: Map<String, Value> = hosts.iter().map(|host| (host.to_string(), json!({}))).collect();
            json!({ "hosts": hosts })
        };
        let groups: Map<String, Value> =
            self.groups.iter().map(|(name, hosts)| (name.clone(), group(hosts))).collect();
        Ok(json!({ "all": { "hosts": hosts, "children": groups } }))
    }
}

impl Inventory {
    /// The passwords with which users become root, as a second inventory; `None` without any. It is a secret.
    pub(crate) fn passwords_to_wire(&self) -> Option<Secret> {
        let needed = self.ssh_hosts().filter(|(_, ssh)| ssh.escalates());
        let hosts = needed.filter_map(|(id, ssh)| {
            let password = inert_text(ssh.become_password.as_ref()?.expose());
            Some((id.to_string(), json!({ "ansible_become_password": password })))
        });
        let hosts: Map<String, Value> = hosts.collect();
        (!hosts.is_empty()).then(|| Secret::new(json!({ "all": { "hosts": hosts } }).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::{HostKeyRule, SshKey};

    #[test]
    fn connection_variables_come_only_from_typed_values() {
        let id = CiId::new("web-01").unwrap();
        let mut inventory = Inventory::new();
        let key = SshKey::Secret(Secret::new("key"));
        let address = "127.0.0.1".parse().unwrap();
        let ssh = SshConnection::new(address, 2201, "ops", key, HostKeyRule::Learn).unwrap();
        let ssh = ssh.with_python(Some("/usr/bin/python3.9")).unwrap();
        inventory.add_host(id.clone(), Connection::Ssh(Box::new(ssh)), Variables::new()).unwrap();
        inventory.add_to_group("packaging_dpkg", &id).unwrap();
        let key_file = |id: &CiId| PathBuf::from(format!("/run/keys/{id}"));
        let wire = inventory.to_wire(key_file, |id, _| format!("-o HostKeyAlias={id}")).unwrap();
        let host = &wire["all"]["hosts"]["web-01"];
        assert_eq!(host["ansible_host"]["__ansible_unsafe"], "127.0.0.1");
        assert_eq!(host["ansible_ssh_private_key_file"]["__ansible_unsafe"], "/run/keys/web-01");
        assert_eq!(host["ansible_ssh_common_args"]["__ansible_unsafe"], "-o HostKeyAlias=web-01");
        assert_eq!(host["ansible_python_interpreter"]["__ansible_unsafe"], "/usr/bin/python3.9");
        assert_eq!(host["ansible_become"], true);
        assert!(inventory.passwords_to_wire().is_none());
        assert_eq!(wire["all"]["children"]["packaging_dpkg"]["hosts"]["web-01"], json!({}));
    }

    #[test]
    fn password_is_only_in_the_secret_inventory() {
        let id = CiId::new("web-01").unwrap();
        let mut inventory = Inventory::new();
        let address = "127.0.0.1".parse().unwrap();
        let key = SshKey::Secret(Secret::new("key"));
        let ssh = SshConnection::new(address, 22, "ops", key, HostKeyRule::Learn).unwrap();
        let ssh = ssh.with_become_password(Some(Secret::new("{{ hunter2 }}")));
        inventory.add_host(id, Connection::Ssh(Box::new(ssh)), Variables::new()).unwrap();
        let wire = inventory.to_wire(|_| PathBuf::from("key"), |_, _| String::new()).unwrap();
        assert!(!wire.to_string().contains("hunter2"), "{wire}");
        let secret: Value = serde_json::from_str(inventory.passwords_to_wire().unwrap().expose()).unwrap();
        let password = &secret["all"]["hosts"]["web-01"]["ansible_become_password"];
        assert_eq!(password, &inert_text("{{ hunter2 }}"), "it is never rendered");
        assert!(!format!("{inventory:?}").contains("hunter2"));
    }

    #[test]
    fn groups_accept_only_plain_names() {
        let id = CiId::new("web").unwrap();
        let mut inventory = Inventory::new();
        inventory.add_host(id.clone(), Connection::Controller, Variables::new()).unwrap();
        for group in ["", "all", "a-b", "web", "1a", "A"] {
            assert!(inventory.add_to_group(group, &id).is_err(), "{group:?} was accepted");
        }
    }
}
