//! The network of a fleet: a bridge with a /24 that nobody else on this machine has.

use std::{fs, net::Ipv4Addr, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FleetError, command::quick};

/// Bridges are named by this and their number.
const PREFIX: &str = "pmfleet";
pub const PREFIX_LENGTH: u8 = 24;
/// Numbers of hosts within the network.
pub const HOSTS: std::ops::RangeInclusive<u8> = 10..=249;

/// The `number`-th network of the machine's fleets; bridge, links and addresses follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    number: u8,
}

impl Network {
    /// Takes the first number whose bridge and addresses are free. The caller holds the machine's lock.
    pub fn allocate(owner: &Path) -> Result<Self, FleetError> {
        for number in 0..=u8::MAX {
            let network = Self { number };
            if link_exists(&network.bridge()) || !network.is_free()? {
                continue;
            }
            network.raise(owner)?;
            return Ok(network);
        }
        Err(FleetError::Missing("all 256 networks of 10.213.0.0/16 are taken".into()))
    }

    /// Makes the bridge be there, as after a restart of the machine.
    pub fn restore(self, owner: &Path) -> Result<(), FleetError> {
        let bridge = self.bridge();
        match owner_of(&bridge)? {
            Some(found) if found == owner.to_string_lossy() => Ok(()),
            Some(found) => Err(FleetError::Missing(format!(
                "the bridge `{bridge}` of this fleet belongs to the fleet in `{found}`; stop that or delete these hosts"
            ))),
            None => self.raise(owner),
        }
    }

    fn raise(self, owner: &Path) -> Result<(), FleetError> {
        let bridge = self.bridge();
        quick("ip", &["link", "add", &bridge, "type", "bridge"])?;
        let rest = || {
            quick("ip", &["link", "set", &bridge, "alias", &owner.to_string_lossy()])?;
            quick("ip", &["address", "add", &format!("{}/{PREFIX_LENGTH}", self.gateway()), "dev", &bridge])?;
            quick("ip", &["link", "set", &bridge, "up"])
        };
        if let Err(error) = rest() {
            self.remove()?;
            return Err(error);
        }
        Ok(())
    }

    pub fn remove(self) -> Result<(), FleetError> {
        remove_link(&self.bridge())
    }

    pub fn bridge(self) -> String {
        format!("{PREFIX}{}", self.number)
    }

    /// The machine's end of a host's cable.
    pub fn link(self, host: u8) -> String {
        format!("pm{}h{host}", self.number)
    }

    /// The hardware address of a host's interface, one of those anybody may choose.
    pub fn hardware_address(self, host: u8) -> String {
        format!("02:50:4d:00:{:02x}:{host:02x}", self.number)
    }

    /// The machine, which serves the package repositories there.
    pub fn gateway(self) -> Ipv4Addr {
        self.address(1)
    }

    pub fn address(self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.number, host)
    }

    /// Whether the machine has no way into this network yet, other than its way to everywhere.
    fn is_free(self) -> Result<bool, FleetError> {
        let net = format!("{}/{PREFIX_LENGTH}", self.address(0));
        let within = quick("ip", &["-4", "route", "show", "table", "all", "root", &net])?;
        let around = quick("ip", &["-4", "route", "show", "table", "all", "match", &net])?;
        Ok(within.trim().is_empty() && around.lines().all(|route| route.starts_with("default")))
    }
}

/// Bridges of fleets, each with the folder of the fleet it belongs to.
pub fn list_bridges() -> Result<Vec<(String, String)>, FleetError> {
    let links = Path::new("/sys/class/net");
    let entries = fs::read_dir(links).map_err(FleetError::file("read", links))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut bridges = Vec::new();
    for name in names.filter(|name| name.starts_with(PREFIX)) {
        if let Some(owner) = owner_of(&name)? {
            bridges.push((name, owner));
        }
    }
    Ok(bridges)
}

/// Removes a link; one that is not there is fine.
pub fn remove_link(link: &str) -> Result<(), FleetError> {
    match quick("ip", &["link", "delete", link]) {
        Err(error) if link_exists(link) => Err(error),
        _ => Ok(()),
    }
}

fn link_exists(link: &str) -> bool {
    Path::new("/sys/class/net").join(link).exists()
}

/// The folder that a bridge carries as its alias; nothing when there is no such bridge.
fn owner_of(bridge: &str) -> Result<Option<String>, FleetError> {
    if !link_exists(bridge) {
        return Ok(None);
    }
    let shown = match quick("ip", &["-j", "link", "show", "dev", bridge]) {
        Ok(shown) => shown,
        // Its fleet was given up just now.
        Err(_) if !link_exists(bridge) => return Ok(None),
        Err(error) => return Err(error),
    };
    let shown: Value = serde_json::from_str(&shown).map_err(|_| FleetError::Garbled("ip -j link".into()))?;
    Ok(Some(shown[0]["ifalias"].as_str().unwrap_or_default().to_owned()))
}
