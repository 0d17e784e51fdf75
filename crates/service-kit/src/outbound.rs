//! Where requests to the outside may go: webhooks, health endpoints, deployers. Their URLs come from outside, and this
//! process runs inside: without this check, a webhook could reach the database, cloud metadata and every host of the
//! private network.
//!
//! The text is checked when it is stored. The addresses of its name are checked when it is used, and the connection is
//! made to exactly those addresses.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use reqwest::{
    Certificate, Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};

const LONGEST: usize = 2000;
const PORTS: [u16; 4] = [80, 443, 8080, 8443];
/// Name endings that mean this machine or the private network.
const INNER_NAMES: [&str; 7] =
    ["localhost", "localdomain", "local", "internal", "intranet", "lan", "home.arpa"];
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a webhook may not go to a URL.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "must be a URL `http://host/path` or `https://host/path` of at most {LONGEST} visible ASCII characters"
    )]
    NoUrl,
    #[error("must not contain a user name, a password or a fragment")]
    NotPlain,
    #[error(
        "must not use port {0}; allowed are {PORTS:?}, and what an administrator lists in --allow-webhook-to or --allow-outbound-to"
    )]
    Port(u16),
    #[error(
        "must not point to this machine or a private network; an administrator can allow it with --allow-webhook-to (recipients of \
         messages) or --allow-outbound-to (everything else)"
    )]
    Inner,
}

/// Why a receiver cannot be reached: it is not allowed, or its name has no address at present.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    #[error("{0}")]
    Never(String),
    #[error("{0}")]
    Later(String),
}

/// The check, and the receivers that an operator exempted from it.
#[derive(Debug, Default)]
pub struct Receivers {
    allowed: Vec<(String, Option<u16>)>,
    /// `{host}` or `{host}:port`: the managed hosts themselves.
    allowed_hosts: Vec<String>,
}

/// Stands for the id of a managed host in an address.
pub const HOST: &str = "{host}";

/// What an address with [`HOST`] leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// One receiver for all hosts.
    Receiver,
    /// Each host itself, as an administrator allows.
    EachHost,
}

/// An allowed receiver and its addresses.
#[derive(Debug)]
pub struct Receiver {
    pub url: Url,
    pub addresses: Vec<SocketAddr>,
}

impl Receivers {
    /// `allowed`: `host` or `host:port` each.
    pub fn new(allowed: &[String]) -> anyhow::Result<Self> {
        let parse = |entry: &String| {
            let entry = entry.trim();
            let url = Url::parse(&format!("http://{entry}/"))
                .ok()
                .filter(|url| url.path() == "/" && url.username().is_empty() && url.query().is_none());
            let host = url.as_ref().and_then(Url::host_str);
            let host = host.ok_or_else(|| {
                anyhow::anyhow!(
                    "the allowed receiver `{entry}` cannot be read; expected `host` or `host:port`"
                )
            })?;
            // `Url` drops port 80, the default of the scheme, but here a `host` without a port means every port.
            let port = url.as_ref().and_then(Url::port).or_else(|| entry.ends_with(":80").then_some(80));
            Ok((host.to_owned(), port))
        };
        let (hosts, others): (Vec<&String>, Vec<&String>) =
            allowed.iter().partition(|entry| entry.contains(HOST));
        Ok(Self {
            allowed: others.into_iter().map(parse).collect::<anyhow::Result<_>>()?,
            allowed_hosts: hosts.into_iter().map(|entry| entry.trim().to_owned()).collect(),
        })
    }

    /// Checks the text of an address that may contain [`HOST`].
    pub fn check_for_hosts(&self, text: &str) -> Result<Target, Refusal> {
        let authority = text.split_once("://").map_or("", |(_, rest)| rest);
        let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
        if !authority.contains(HOST) {
            return self.check(&text.replace(HOST, "host")).map(|_| Target::Receiver);
        }
        parse(&text.replace(HOST, "host.example"))?;
        let name = authority.rsplit_once(':').map_or(authority, |(name, _)| name);
        let is_listed = self.allowed_hosts.iter().any(|listed| listed == authority || listed == name);
        if is_listed { Ok(Target::EachHost) } else { Err(Refusal::Inner) }
    }

    /// Checks the text only.
    pub fn check(&self, text: &str) -> Result<Url, Refusal> {
        let url = parse(text)?;
        let (host, port) =
            (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        if self.is_allowed(host, port) {
            return Ok(url);
        }
        if !PORTS.contains(&port) {
            return Err(Refusal::Port(port));
        }
        match address_of(host) {
            Some(address) if is_inner(address) => Err(Refusal::Inner),
            None if is_inner_name(host) => Err(Refusal::Inner),
            _ => Ok(url),
        }
    }

    /// Checks the text again, since the settings may have changed, and every address of its name.
    pub async fn resolve(&self, text: &str) -> Result<Receiver, Unresolved> {
        let url =
            self.check(text).map_err(|refusal| Unresolved::Never(format!("the receiver's URL {refusal}")))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let port = url.port_or_known_default().unwrap_or_default();
        let addresses: Vec<SocketAddr> = match address_of(&host) {
            Some(address) => vec![SocketAddr::new(address, port)],
            None => tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((host.as_str(), port)))
                .await
                .ok()
                .and_then(Result::ok)
                .map(Iterator::collect)
                .unwrap_or_default(),
        };
        if addresses.is_empty() {
            return Err(Unresolved::Later("the receiver's name has no address".to_owned()));
        }
        // One inner address among outer ones is enough to refuse: any of them may be used.
        if !self.is_allowed(&host, port) && addresses.iter().any(|address| is_inner(address.ip())) {
            return Err(Unresolved::Never(format!("the receiver's URL {}", Refusal::Inner)));
        }
        Ok(Receiver { url, addresses })
    }

    fn is_allowed(&self, host: &str, port: u16) -> bool {
        self.allowed.iter().any(|(allowed, of)| allowed == host && of.is_none_or(|of| of == port))
    }
}

impl Receiver {
    /// A client for this receiver only: it connects to the addresses that were checked and to no others, and follows no
    /// redirect, which would bypass the check.
    pub fn client(&self, connect_timeout: Duration) -> reqwest::Result<Client> {
        self.client_trusting(connect_timeout, None)
    }

    /// The same, which also trusts this authority.
    pub fn client_trusting(
        &self,
        connect_timeout: Duration,
        authority: Option<Certificate>,
    ) -> reqwest::Result<Client> {
        Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(connect_timeout)
            .dns_resolver(Arc::new(Checked(self.addresses.clone())))
            .tls_certs_merge(authority)
            .build()
    }
}

/// A client that reaches a receiver whose text was checked through a proxy, which resolves its name: what it may reach is the
/// proxy's decision. It follows no redirect.
pub fn client_through(proxy: &str, connect_timeout: Duration) -> reqwest::Result<Client> {
    Client::builder()
        .proxy(reqwest::Proxy::all(proxy)?)
        .redirect(redirect::Policy::none())
        .connect_timeout(connect_timeout)
        .build()
}

/// Resolves every name to the addresses that were checked: between the check and the connection no name server is
/// asked again.
struct Checked(Vec<SocketAddr>);

impl Resolve for Checked {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

/// Stricter than browsers: what must be repaired to be a URL is refused.
pub(crate) fn parse(text: &str) -> Result<Url, Refusal> {
    let lower = text.to_ascii_lowercase();
    let rest =
        lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://")).ok_or(Refusal::NoUrl)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_plain_text = text.len() <= LONGEST && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if !is_plain_text || authority.is_empty() {
        return Err(Refusal::NoUrl);
    }
    if authority.contains('@') || lower.contains('#') {
        return Err(Refusal::NotPlain);
    }
    let url = Url::parse(text).map_err(|_| Refusal::NoUrl)?;
    let is_named = url.host_str().is_some_and(|host| !host.split('.').any(|label| label == "xn--"));
    if is_named && !authority.contains('%') && url.port() != Some(0) { Ok(url) } else { Err(Refusal::NoUrl) }
}

/// The address of a URL's host, in any notation.
fn address_of(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether the name itself is inner. Names without a dot are completed by the
/// resolver's search list; names that spell an address are resolved to it by public services.
fn is_inner_name(host: &str) -> bool {
    let name = host.trim_end_matches('.');
    let ends_inside = INNER_NAMES
        .iter()
        .any(|inner| name.strip_suffix(inner).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    let numbers: Vec<bool> = name.split(['.', '-']).map(|label| label.parse::<u8>().is_ok()).collect();
    ends_inside
        || !name.contains('.')
        || numbers.windows(4).any(|four| four.iter().all(|is_number| *is_number))
}

/// Everything but the addresses of the public internet (the registries of special-purpose addresses, RFC 6890).
fn is_inner(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_inner_v4(address),
        IpAddr::V6(address) => is_inner_v6(address),
    }
}

fn is_inner_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (0 | 10 | 127, ..) => true,
        (100, 64..=127, _) => true,
        (169, 254, _) => true,
        (172, 16..=31, _) => true,
        (192, 0, 0 | 2) | (192, 88, 99) | (192, 168, _) => true,
        (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) => true,
        // Multicast, reserved, broadcast.
        (224.., ..) => true,
        _ => false,
    }
}

/// Only `2000::/3` is handed out for the public internet, and parts of it carry other addresses inside them.
fn is_inner_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    match (a, b) {
        // Teredo, ORCHID, benchmarking and documentation.
        (0x2001, 0..=0x1ff) | (0x2001, 0x0db8) => true,
        // 6to4.
        (0x2002, _) => true,
        (0x3fff, 0..=0x0fff) => true,
        (0x2000..=0x3fff, _) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_receivers_are_accepted() {
        let receivers = Receivers::new(&[]).unwrap();
        for url in
            ["https://hooks.example.org/a?b=c", "http://8.8.8.8:8080/", "https://[2a00:1450:4001::1]/x"]
        {
            assert!(receivers.check(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn inner_receivers_are_refused_in_every_notation() {
        let receivers = Receivers::new(&[]).unwrap();
        for url in [
            "http://127.1/",
            "http://0x7f000001/",
            "http://[::ffff:10.0.0.1]/",
            "http://LOCALHOST./",
            "http://10-0-0-1.nip.io/",
            "http://intranet/",
            "http://metadata.google.internal/",
        ] {
            assert_eq!(receivers.check(url), Err(Refusal::Inner), "{url}");
        }
        assert_eq!(receivers.check("https://hooks.example.org:22/"), Err(Refusal::Port(22)));
        assert_eq!(receivers.check("https://a@hooks.example.org/"), Err(Refusal::NotPlain));
    }

    #[test]
    fn what_an_operator_lists_is_allowed_only_on_its_port() {
        let receivers = Receivers::new(&["127.0.0.1:9000".to_owned(), "hooks.lan".to_owned()]).unwrap();
        assert!(receivers.check("http://127.0.0.1:9000/x").is_ok());
        assert!(receivers.check("http://127.0.0.1:9001/x").is_err());
        assert!(receivers.check("http://hooks.lan:1234/x").is_ok());
        assert!(Receivers::new(&["a b".to_owned()]).is_err());
    }

    #[test]
    fn managed_hosts_are_receivers_only_if_an_administrator_lists_them() {
        let none = Receivers::new(&[]).unwrap();
        assert_eq!(none.check_for_hosts("https://lb.example.org/drained/{host}"), Ok(Target::Receiver));
        for url in ["http://{host}/", "http://{host}:9000/x", "http://lb.internal/{host}"] {
            assert_eq!(none.check_for_hosts(url), Err(Refusal::Inner), "{url}");
        }
        let listed = Receivers::new(&["{host}:9000".to_owned(), "lb.internal".to_owned()]).unwrap();
        assert_eq!(listed.check_for_hosts("http://{host}:9000/x"), Ok(Target::EachHost));
        assert_eq!(listed.check_for_hosts("http://lb.internal/{host}"), Ok(Target::Receiver));
        for url in ["http://{host}:22/", "http://{host}/", "http://{host}.evil.example:9000/"] {
            assert_eq!(listed.check_for_hosts(url), Err(Refusal::Inner), "{url}");
        }
        assert_eq!(listed.check_for_hosts("http://u:p@{host}:9000/"), Err(Refusal::NotPlain));
        let every_port = Receivers::new(&["{host}".to_owned()]).unwrap();
        assert_eq!(every_port.check_for_hosts("http://{host}:22/"), Ok(Target::EachHost));
        for url in ["http://{host}.evil.example/", "http://evil-{host}:22/", "http://{host}.evil.example:22/"]
        {
            assert_eq!(every_port.check_for_hosts(url), Err(Refusal::Inner), "{url}");
        }
    }

    #[tokio::test]
    async fn name_without_an_address_may_have_one_later() {
        let receivers = Receivers::new(&[]).unwrap();
        assert!(matches!(
            receivers.resolve("http://does-not-exist.invalid/").await,
            Err(Unresolved::Later(_))
        ));
    }
}
