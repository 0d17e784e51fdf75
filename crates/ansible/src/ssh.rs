//! How to log in to a real host: address, user, keys of both sides, jump host. Nothing here can carry an option.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

use domain::ids::CiId;

use crate::{inventory::InvalidInventory, secret::Secret};

/// In bytes; an RSA key of 16384 bits is shorter.
const LONGEST_HOST_KEY: usize = 4096;
const LONGEST_PATH: usize = 200;

/// Where a host listens for SSH: an IP address or a host name, nothing that a shell or ssh would interpret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(String);

impl FromStr for Address {
    type Err = InvalidInventory;

    fn from_str(text: &str) -> Result<Self, InvalidInventory> {
        // Unlike a host's id, an address may be a loopback one: simulated hosts are on this machine.
        match IpAddr::from_str(text) {
            Ok(address) => Ok(Self(address.to_string())),
            Err(_) => match CiId::new(text) {
                Ok(name) => Ok(Self(name.into())),
                Err(_) => Err(InvalidInventory::Address(shown(text))),
            },
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Public key of a host as in a `known_hosts` file: `ssh-ed25519 AAAA...`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostKey(String);

impl FromStr for HostKey {
    type Err = InvalidInventory;

    /// Drops a comment after the key.
    fn from_str(text: &str) -> Result<Self, InvalidInventory> {
        let mut words = text.split_ascii_whitespace();
        let (kind, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let kind_fits = ["ssh-", "ecdsa-", "sk-"].iter().any(|start| kind.starts_with(start))
            && kind.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-@.".contains(&b));
        let key_fits =
            key.starts_with("AAAA") && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
        if kind_fits && key_fits && text.len() <= LONGEST_HOST_KEY {
            Ok(Self(format!("{kind} {key}")))
        } else {
            Err(InvalidInventory::HostKey(shown(text)))
        }
    }
}

impl HostKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which key a host must show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKeyRule {
    Known(HostKey),
    /// No key is known: the first one is accepted and reported as [`crate::Event::HostKeyLearned`].
    Learn,
    /// No key is known, and none is learned: the login is refused.
    Refuse,
}

/// The private key for the login.
#[derive(Debug, Clone)]
pub enum SshKey {
    File(PathBuf),
    /// Is in a 0600 file during the run, in memory if the machine has such a file system.
    Secret(Secret),
    /// The same with a certificate: one line, `ssh-ed25519-cert-v01@openssh.com AAAA...`.
    Signed {
        key: Secret,
        certificate: Secret,
    },
}

impl SshKey {
    pub(crate) fn secret(&self) -> Option<&Secret> {
        match self {
            Self::File(_) => None,
            Self::Secret(key) | Self::Signed { key, .. } => Some(key),
        }
    }

    /// The key's file; `written` is where the run writes a secret key.
    pub(crate) fn file(&self, written: PathBuf) -> PathBuf {
        if let Self::File(path) = self { path.clone() } else { written }
    }
}

/// A host that only forwards connections; its login uses the key of the host behind it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Jump {
    pub(crate) address: Address,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) host_key: HostKey,
}

impl Jump {
    pub fn new(address: Address, port: u16, user: &str, host_key: HostKey) -> Result<Self, InvalidInventory> {
        Ok(Self { address, port, user: check_user(user)?, host_key })
    }
}

/// How to log in to a real host. Only these values become Ansible's connection variables.
#[derive(Debug, Clone)]
pub struct SshConnection {
    pub(crate) address: Address,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) key: SshKey,
    pub(crate) host_key: HostKeyRule,
    pub(crate) jump: Option<Jump>,
    pub(crate) python: Option<String>,
    pub(crate) become_password: Option<Secret>,
}

impl SshConnection {
    pub fn new(
        address: Address,
        port: u16,
        user: &str,
        key: SshKey,
        host_key: HostKeyRule,
    ) -> Result<Self, InvalidInventory> {
        let user = check_user(user)?;
        Ok(Self { address, port, user, key, host_key, jump: None, python: None, become_password: None })
    }

    /// The password with which a user that is not root becomes root.
    pub fn with_become_password(mut self, password: Option<Secret>) -> Self {
        self.become_password = password;
        self
    }

    pub fn through(mut self, jump: Option<Jump>) -> Self {
        self.jump = jump;
        self
    }

    /// The Python for Ansible's modules; without it, Ansible looks for one.
    pub fn with_python(mut self, path: Option<&str>) -> Result<Self, InvalidInventory> {
        let fits = |path: &str| {
            path.starts_with('/')
                && path.len() <= LONGEST_PATH
                && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+".contains(&b))
        };
        match path {
            Some(path) if !fits(path) => Err(InvalidInventory::Python(shown(path))),
            path => {
                self.python = path.map(str::to_owned);
                Ok(self)
            }
        }
    }

    /// What must stay out of events and logs.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.key.secret().into_iter().chain(&self.become_password)
    }

    /// Any user but root becomes root for the work.
    pub(crate) fn escalates(&self) -> bool {
        self.user != "root"
    }
}

/// `ops`, `first.last`, `svc@corp.example` or `CORP\svc`. ssh gets the name quoted and expands none of these characters.
fn check_user(user: &str) -> Result<String, InvalidInventory> {
    let valid = (1..=64).contains(&user.len())
        && user.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.@\\".contains(&b))
        && user.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && user.matches(['@', '\\']).count() <= 1
        && user.ends_with(|last: char| last != '\\' && last != '@');
    if valid { Ok(user.to_owned()) } else { Err(InvalidInventory::User(shown(user))) }
}

/// A refused text, safe to print.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_field_accepts_options_or_shell_syntax() {
        for text in ["", "-oProxyCommand=x", "a b", "user@host", "host:22", "$(x)"] {
            assert!(text.parse::<Address>().is_err(), "{text:?} was accepted");
        }
        for text in
            ["", "ssh-ed25519", "ssh-ed25519 x", "ssh-rsa AAAA\n* ssh-rsa", "-o AAAA", "ssh-$(x) AAAA"]
        {
            let parsed = text.parse::<HostKey>();
            assert!(parsed.as_ref().map_or(true, |key| !key.as_str().contains('*')), "{text:?} was accepted");
        }
        let connection = |user: &str| {
            let address = "10.0.0.1".parse().unwrap();
            SshConnection::new(address, 22, user, SshKey::File("k".into()), HostKeyRule::Learn)
        };
        for user in ["", "-x", "a b", "0x", "a\\b\\c", "a\\", "u%h", "a\"b", "$(x)", "@x"] {
            assert!(connection(user).is_err(), "{user:?} was accepted");
        }
        for user in ["ops", "first.last", "svc@corp.example", "CORP\\svc"] {
            assert!(connection(user).is_ok(), "{user:?} was refused");
        }
        for python in ["python3", "/usr/bin/python3 -c x", "/a\nb", ""] {
            assert!(connection("ops").unwrap().with_python(Some(python)).is_err(), "{python:?} was accepted");
        }
        let key: HostKey = "ssh-ed25519 AAAAC3Nza+/= root@web-01".parse().unwrap();
        assert_eq!(key.as_str(), "ssh-ed25519 AAAAC3Nza+/=");
    }
}
