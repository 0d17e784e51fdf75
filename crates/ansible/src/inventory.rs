//! The hosts of a run: how each is reached, its variables and its groups.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    path::PathBuf,
    str::FromStr,
};

use domain::ids::CiId;
use serde_json::{Map, Value, json};

use crate::{
    error::StartError,
    secret::Secret,
    variables::{Variables, inert_text},
};

/// A part of an inventory that is not let through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidInventory {
    #[error("host `{0}` is in the inventory twice")]
    Twice(CiId),
    #[error("host `{0}` is not in the inventory; add it before its groups")]
    UnknownHost(CiId),
    #[error("group `{0}` must be 1 to 100 of `a-z 0-9 _` with a letter first, and no word of Ansible's own")]
    Group(String),
    #[error("address `{0}` is neither an IP address nor a host name")]
    Address(String),
    #[error("user `{0}` must be 1 to 32 of `a-z 0-9 _ -` with a letter or `_` first")]
    User(String),
}

/// Where a host listens for SSH: an IP address or a host name, never something a shell or ssh would read otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(String);

impl FromStr for Address {
    type Err = InvalidInventory;

    fn from_str(text: &str) -> Result<Self, InvalidInventory> {
        // Other than a host's id, an address may be a loopback one: hosts of a laboratory live on this machine.
        match IpAddr::from_str(text) {
            Ok(address) => Ok(Self(address.to_string())),
            Err(_) => match CiId::new(text) {
                Ok(name) => Ok(Self(name.into())),
                Err(_) => Err(InvalidInventory::Address(
                    text.chars().take(64).flat_map(char::escape_default).collect(),
                )),
            },
        }
    }
}

/// The private key a host is entered with.
#[derive(Debug, Clone)]
pub enum SshKey {
    File(PathBuf),
    /// Lives in a 0600 file for the time of the run.
    Secret(Secret),
}

/// How a real host is entered. These are the only values that become Ansible's connection variables.
#[derive(Debug, Clone)]
pub struct SshConnection {
    address: Address,
    port: u16,
    user: String,
    key: SshKey,
    escalate: bool,
}

impl SshConnection {
    pub fn new(address: Address, port: u16, user: &str, key: SshKey) -> Result<Self, InvalidInventory> {
        let valid = (1..=32).contains(&user.len())
            && user.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
            && (user.as_bytes()[0].is_ascii_lowercase() || user.starts_with('_'));
        match valid {
            true => Ok(Self { address, port, user: user.to_owned(), key, escalate: user != "root" }),
            false => {
                Err(InvalidInventory::User(user.chars().take(64).flat_map(char::escape_default).collect()))
            }
        }
    }
}

/// How the inside of a host is reached.
#[derive(Debug, Clone)]
pub enum Connection {
    /// From the controller through an HTTP API; nothing is run on a remote machine.
    Controller,
    Ssh(SshConnection),
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
        // A group named as a host would make patterns ambiguous.
        if !valid || self.hosts.keys().any(|host| host.as_str() == group) {
            return Err(InvalidInventory::Group(
                group.chars().take(64).flat_map(char::escape_default).collect(),
            ));
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

    pub fn variables(&self, host: &CiId) -> Option<&Variables> {
        self.hosts.get(host).map(|host| &host.variables)
    }

    /// The keys that have to be written to files, and to be kept out of events and logs.
    pub(crate) fn secret_keys(&self) -> impl Iterator<Item = (&CiId, &Secret)> {
        self.hosts.iter().filter_map(|(id, host)| match &host.connection {
            Connection::Ssh(SshConnection { key: SshKey::Secret(key), .. }) => Some((id, key)),
            _ => None,
        })
    }

    /// The inventory as Ansible's `yaml` inventory plugin reads it. `key_file` says where the key of a host was written.
    pub(crate) fn to_wire(&self, key_file: impl Fn(&CiId) -> PathBuf) -> Result<Value, StartError> {
        let mut hosts = Map::new();
        for (id, host) in &self.hosts {
            let mut variables = host.variables.to_wire()?;
            match &host.connection {
                Connection::Controller => {
                    variables.insert("ansible_connection".into(), "local".into());
                }
                Connection::Ssh(ssh) => {
                    let key = match &ssh.key {
                        SshKey::File(path) => path.clone(),
                        SshKey::Secret(_) => key_file(id),
                    };
                    variables.insert("ansible_connection".into(), "ssh".into());
                    variables.insert("ansible_host".into(), inert_text(&ssh.address.0));
                    variables.insert("ansible_port".into(), ssh.port.into());
                    variables.insert("ansible_user".into(), inert_text(&ssh.user));
                    variables
                        .insert("ansible_ssh_private_key_file".into(), inert_text(&key.to_string_lossy()));
                    variables.insert("ansible_become".into(), ssh.escalate.into());
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

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_entered_only_by_what_was_typed_for_it() {
        let id = CiId::new("web-01").unwrap();
        let mut inventory = Inventory::new();
        let key = SshKey::Secret(Secret::new("key"));
        let ssh = SshConnection::new("127.0.0.1".parse().unwrap(), 2201, "ops", key).unwrap();
        inventory.add_host(id.clone(), Connection::Ssh(ssh), Variables::new()).unwrap();
        inventory.add_to_group("packaging_dpkg", &id).unwrap();
        let wire = inventory.to_wire(|id| PathBuf::from(format!("/run/keys/{id}"))).unwrap();
        assert_eq!(wire["all"]["hosts"]["web-01"]["ansible_host"]["__ansible_unsafe"], "127.0.0.1");
        assert_eq!(
            wire["all"]["hosts"]["web-01"]["ansible_ssh_private_key_file"]["__ansible_unsafe"],
            "/run/keys/web-01"
        );
        assert_eq!(wire["all"]["children"]["packaging_dpkg"]["hosts"]["web-01"], json!({}));
    }

    #[test]
    fn addresses_users_and_groups_cannot_carry_more_than_they_are() {
        for text in ["", "-oProxyCommand=x", "a b", "user@host", "host:22", "$(x)"] {
            assert!(text.parse::<Address>().is_err(), "{text:?} was accepted");
        }
        for user in ["", "-x", "Root", "a b", "0x"] {
            let ssh = SshConnection::new("10.0.0.1".parse().unwrap(), 22, user, SshKey::File("k".into()));
            assert!(ssh.is_err(), "{user:?} was accepted");
        }
        let id = CiId::new("web").unwrap();
        let mut inventory = Inventory::new();
        inventory.add_host(id.clone(), Connection::Controller, Variables::new()).unwrap();
        for group in ["", "all", "a-b", "web", "1a", "A"] {
            assert!(inventory.add_to_group(group, &id).is_err(), "{group:?} was accepted");
        }
    }
}
