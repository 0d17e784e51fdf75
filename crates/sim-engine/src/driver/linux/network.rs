//! The network of a fleet: a bridge with a /24 that nothing else on this machine uses.

use std::{fs, net::Ipv4Addr, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{FleetError, command::quick};

/// The name of a bridge is this and its number.
const PREFIX: &str = "pmfleet";
pub const PREFIX_LENGTH: u8 = 24;
/// Numbers of hosts within the network.
pub const HOSTS: std::ops::RangeInclusive<u8> = 10..=249;

/// The `number` of the network determines its bridge, links and addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    number: u8,
}

impl Network {
    /// Allocates the first number whose bridge and addresses are free. The caller holds the machine's lock.
    pub fn allocate(owner: &Path) -> Result<Self, FleetError> {
        for number in 0..=u8::MAX {
            let network = Self { number };
            if link_exists(&network.bridge()) || !network.is_free()? {
                continue;
            }
            network.create(owner)?;
            return Ok(network);
        }
        Err(FleetError::Unsupported("all 256 networks of 10.213.0.0/16 are in use".into()))
    }

    /// Creates the bridge if it does not exist, as after a restart of the machine.
    pub fn restore(self, owner: &Path) -> Result<(), FleetError> {
        let bridge = self.bridge();
        match owner_of(&bridge)? {
            Some(found) if found == owner.to_string_lossy() => Ok(()),
            Some(found) => Err(FleetError::Unsupported(format!(
                "the bridge `{bridge}` of this fleet belongs to the fleet in `{found}`; stop that fleet or delete these hosts"
            ))),
            None => self.create(owner),
        }
    }

    fn create(self, owner: &Path) -> Result<(), FleetError> {
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

    /// The machine's end of the link to a host.
    pub fn link(self, host: u8) -> String {
        format!("pm{}h{host}", self.number)
    }

    /// The hardware address of a host's interface, locally administered.
    pub fn hardware_address(self, host: u8) -> String {
        format!("02:50:4d:00:{:02x}:{host:02x}", self.number)
    }

    /// The machine, which serves the package repositories at this address.
    pub fn gateway(self) -> Ipv4Addr {
        self.address(1)
    }

    pub fn address(self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.number, host)
    }

    /// Whether the machine has no route into this network, except for its default route.
    fn is_free(self) -> Result<bool, FleetError> {
        let net = format!("{}/{PREFIX_LENGTH}", self.address(0));
        let within = quick("ip", &["-4", "route", "show", "table", "all", "root", &net])?;
        let around = quick("ip", &["-4", "route", "show", "table", "all", "match", &net])?;
        Ok(within.trim().is_empty() && around.lines().all(|route| route.starts_with("default")))
    }
}

/// Bridges of fleets, each with the folder of its fleet.
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

/// Removes a link. A missing link is not an error.
pub fn remove_link(link: &str) -> Result<(), FleetError> {
    match quick("ip", &["link", "delete", link]) {
        Err(error) if link_exists(link) => Err(error),
        _ => Ok(()),
    }
}

fn link_exists(link: &str) -> bool {
    Path::new("/sys/class/net").join(link).exists()
}

/// The folder in the alias of a bridge. `None` if there is no such bridge.
fn owner_of(bridge: &str) -> Result<Option<String>, FleetError> {
    if !link_exists(bridge) {
        return Ok(None);
    }
    let shown = match quick("ip", &["-j", "link", "show", "dev", bridge]) {
        Ok(shown) => shown,
        // It has just been removed.
        Err(_) if !link_exists(bridge) => return Ok(None),
        Err(error) => return Err(error),
    };
    let shown: Value = serde_json::from_str(&shown).map_err(|_| FleetError::Invalid("ip -j link".into()))?;
    Ok(Some(shown[0]["ifalias"].as_str().unwrap_or_default().to_owned()))
}
