//! Syslog: RFC 5424 over UDP and over TCP, where its length comes first (RFC 6587), and the form of `syslog(3)` on this machine.

use std::{fmt, io, net::SocketAddr, path::PathBuf, str::FromStr};

use chrono::{DateTime, SecondsFormat, Utc};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UdpSocket, UnixDatagram, UnixStream, lookup_host},
};

/// Facility 13, the audit log, with severity 6, informational.
const PRIORITY: u8 = 13 * 8 + 6;

/// Where a syslog server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogAddress {
    Udp(String),
    Tcp(String),
    Unix(PathBuf),
}

impl fmt::Display for SyslogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl FromStr for SyslogAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be `udp://host:port`, `tcp://host:port` or `unix:/path`".to_owned();
        if let Some(path) = text.strip_prefix("unix:").filter(|path| path.starts_with('/')) {
            return Ok(Self::Unix(path.into()));
        }
        let (scheme, address) = text.split_once("://").ok_or_else(wrong)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        let is_host = !host.is_empty() && host.bytes().all(|b| b.is_ascii_graphic() && !b"/@?#".contains(&b));
        if !is_host || !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err(wrong());
        }
        match scheme {
            "udp" => Ok(Self::Udp(address.to_owned())),
            "tcp" => Ok(Self::Tcp(address.to_owned())),
            _ => Err(wrong()),
        }
    }
}

pub async fn send(address: &SyslogAddress, service: &str, text: &str, at: DateTime<Utc>) -> io::Result<()> {
    let message = message(service, text, at);
    match address {
        SyslogAddress::Udp(address) => {
            let server = resolve(address).await?;
            let local = if server.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
            let socket = UdpSocket::bind(local).await?;
            socket.connect(server).await?;
            socket.send(message.as_bytes()).await.map(drop)
        }
        SyslogAddress::Tcp(address) => {
            let mut stream = TcpStream::connect(resolve(address).await?).await?;
            stream.write_all(format!("{} {message}", message.len()).as_bytes()).await?;
            stream.shutdown().await
        }
        SyslogAddress::Unix(path) => {
            let message = local_message(service, text, at);
            let socket = UnixDatagram::unbound()?;
            match socket.send_to(message.as_bytes(), path).await {
                Ok(_) => Ok(()),
                // Some servers listen for streams, in which a message ends with a line.
                Err(error) if error.raw_os_error() == Some(nix::libc::EPROTOTYPE) => {
                    let mut stream = UnixStream::connect(path).await?;
                    stream.write_all(format!("{message}\n").as_bytes()).await?;
                    stream.shutdown().await
                }
                Err(error) => Err(error),
            }
        }
    }
}

async fn resolve(address: &str) -> io::Result<SocketAddr> {
    let found = lookup_host(address).await?.next();
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

/// Without a host name, which the server knows better.
fn message(service: &str, text: &str, at: DateTime<Utc>) -> String {
    let time = at.to_rfc3339_opts(SecondsFormat::Micros, true);
    format!("<{PRIORITY}>1 {time} - {service} {} audit-head - {text}", std::process::id())
}

fn local_message(service: &str, text: &str, at: DateTime<Utc>) -> String {
    format!("<{PRIORITY}>{} {service}[{}]: {text}", at.format("%b %e %H:%M:%S"), std::process::id())
}

#[cfg(test)]
mod tests {
    use tokio::{io::AsyncReadExt, net::TcpListener};

    use super::*;

    const AT: DateTime<Utc> = DateTime::UNIX_EPOCH;

    #[test]
    fn addresses_are_read_and_shown() {
        for text in ["udp://10.0.0.1:514", "tcp://[::1]:601", "tcp://logs.example.org:601", "unix:/dev/log"] {
            assert_eq!(text.parse::<SyslogAddress>().unwrap().to_string(), text);
        }
        for text in
            ["", "10.0.0.1:514", "udp://10.0.0.1", "udp://:514", "udp://h:0", "tls://h:6514", "unix:log"]
        {
            assert!(text.parse::<SyslogAddress>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn datagram_has_the_head_of_rfc_5424() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = SyslogAddress::Udp(server.local_addr().unwrap().to_string());
        send(&address, "cmdb", "{\"position\":7}", AT).await.unwrap();
        let mut buffer = [0; 2000];
        let length = server.recv(&mut buffer).await.unwrap();
        let pid = std::process::id();
        let expected =
            format!("<110>1 1970-01-01T00:00:00.000000Z - cmdb {pid} audit-head - {{\"position\":7}}");
        assert_eq!(String::from_utf8_lossy(&buffer[..length]), expected);
    }

    #[tokio::test]
    async fn message_over_a_stream_begins_with_its_length() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = SyslogAddress::Tcp(server.local_addr().unwrap().to_string());
        let sent = tokio::spawn(async move { send(&address, "cmdb", "{}", AT).await });
        let mut text = String::new();
        server.accept().await.unwrap().0.read_to_string(&mut text).await.unwrap();
        sent.await.unwrap().unwrap();
        let (length, message) = text.split_once(' ').unwrap();
        assert_eq!(length, message.len().to_string());
        assert!(message.starts_with("<110>1 ") && message.ends_with(" audit-head - {}"), "{message}");
    }

    #[tokio::test]
    async fn local_sockets_of_both_kinds_get_the_local_form() {
        let folder = tempfile::tempdir().unwrap();
        let (datagrams, streams) = (folder.path().join("datagrams"), folder.path().join("streams"));
        let server = UnixDatagram::bind(&datagrams).unwrap();
        send(&SyslogAddress::Unix(datagrams), "cmdb", "{}", AT).await.unwrap();
        let mut buffer = [0; 2000];
        let length = server.recv(&mut buffer).await.unwrap();
        let expected = format!("<110>Jan  1 00:00:00 cmdb[{}]: {{}}", std::process::id());
        assert_eq!(String::from_utf8_lossy(&buffer[..length]), expected);

        let server = tokio::net::UnixListener::bind(&streams).unwrap();
        let sent = tokio::spawn(async move { send(&SyslogAddress::Unix(streams), "cmdb", "{}", AT).await });
        let mut text = String::new();
        server.accept().await.unwrap().0.read_to_string(&mut text).await.unwrap();
        sent.await.unwrap().unwrap();
        assert_eq!(text, format!("{expected}\n"));
        let nobody = SyslogAddress::Unix(folder.path().join("nobody"));
        assert!(send(&nobody, "cmdb", "{}", AT).await.is_err());
    }
}
