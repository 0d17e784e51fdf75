//! The addresses of the four services: four consecutive ports.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use service_kit::tls::Transport;
use tokio::net::TcpListener;

use terminal::Failure;

/// Names of the services in the order of their ports.
pub const SERVICES: [&str; 4] = ["patch-manager", "cmdb", "itsm", "sim-engine"];

/// Base URLs of the services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    pub patch_manager: String,
    pub cmdb: String,
    pub itsm: String,
    pub sim_engine: String,
}

impl Addresses {
    /// The addresses on this machine when the services listen on `bind`.
    pub fn new(bind: IpAddr, port_base: u16, by_tls: bool) -> Self {
        let host = match bind {
            IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            address => address,
        };
        let scheme = if by_tls { "https" } else { "http" };
        let url = |offset: u16| format!("{scheme}://{}", SocketAddr::new(host, port_base + offset));
        Self { patch_manager: url(0), cmdb: url(1), itsm: url(2), sim_engine: url(3) }
    }

    /// Name and base URL of each service.
    pub fn each(&self) -> [(&'static str, &str); 4] {
        let urls = [&self.patch_manager, &self.cmdb, &self.itsm, &self.sim_engine];
        std::array::from_fn(|index| (SERVICES[index], urls[index].as_str()))
    }
}

/// Refuses to show tokens to a network.
pub fn check_plain(address: IpAddr, transport: &Transport) -> Result<(), Failure> {
    if !matches!(transport, Transport::PlainOnLoopback) || address.to_canonical().is_loopback() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "plain HTTP on {address} shows tokens to everybody on the network: start with --tls, listen on 127.0.0.1 behind a proxy that \
         speaks TLS, or allow it with --allow-plain-http"
    )))
}

/// Binds all four ports, or none.
pub async fn bind(address: IpAddr, port_base: u16) -> Result<Vec<TcpListener>, Failure> {
    let mut listeners = Vec::with_capacity(SERVICES.len());
    for (service, offset) in SERVICES.iter().zip(0..) {
        let port = port_base + offset;
        let listener = TcpListener::bind((address, port)).await.map_err(|error| {
            let reason = match error.kind() {
                ErrorKind::AddrInUse => "is in use".to_owned(),
                ErrorKind::PermissionDenied => "is reserved for root".to_owned(),
                _ => format!("cannot be used ({error})"),
            };
            Failure::new(format!(
                "port {port} on {address} for {service} {reason}; choose the first of four free ports with --port-base"
            ))
        })?;
        listeners.push(listener);
    }
    Ok(listeners)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unspecified_address_is_reached_on_loopback() {
        let addresses = Addresses::new("0.0.0.0".parse().unwrap(), 9000, false);
        assert_eq!(addresses.sim_engine, "http://127.0.0.1:9003");
        assert_eq!(Addresses::new("::".parse().unwrap(), 9000, true).cmdb, "https://[::1]:9001");
    }
}
