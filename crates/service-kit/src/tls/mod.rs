//! How a listener speaks: TLS with a certificate from files, which is read again when they change, or plain HTTP where nobody else
//! can read it.

mod certificates;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    version::{TLS12, TLS13},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use certificates::Certificates;

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub struct TlsConfig {
    /// File with the certificate of this service, followed by those that lead to its authority, in PEM. With it, the service speaks TLS
    /// only, 1.2 or newer. A changed file is used for new connections within seconds.
    #[arg(long, env = "TLS_CERTIFICATE_FILE", requires = "tls_key_file")]
    pub tls_certificate_file: Option<PathBuf>,

    /// File with the private key of the certificate, in PEM.
    #[arg(long, env = "TLS_KEY_FILE", requires = "tls_certificate_file")]
    pub tls_key_file: Option<PathBuf>,

    /// Speak plain HTTP on an address that other machines reach. Who reads the network then has the tokens: only for a network that
    /// nobody else is in, such as that between containers.
    #[arg(long, env = "ALLOW_PLAIN_HTTP")]
    pub allow_plain_http: bool,
}

/// What a listener speaks. By default plain HTTP, only on loopback.
#[derive(Debug, Clone, Default)]
pub enum Transport {
    #[default]
    PlainOnLoopback,
    PlainEverywhere,
    Tls(Arc<Certificates>),
}

impl Transport {
    pub fn new(config: &TlsConfig) -> anyhow::Result<Self> {
        match (&config.tls_certificate_file, &config.tls_key_file) {
            (Some(certificate), Some(key)) => {
                Ok(Self::Tls(Arc::new(Certificates::read(certificate.clone(), key.clone())?)))
            }
            (None, None) if config.allow_plain_http => Ok(Self::PlainEverywhere),
            (None, None) => Ok(Self::PlainOnLoopback),
            _ => anyhow::bail!(
                "--tls-certificate-file and --tls-key-file belong together; set both, or neither"
            ),
        }
    }

    /// Refuses to show tokens to a network.
    pub fn check(&self, address: SocketAddr) -> anyhow::Result<()> {
        anyhow::ensure!(
            !matches!(self, Self::PlainOnLoopback) || address.ip().to_canonical().is_loopback(),
            "plain HTTP on {address} shows tokens to everybody on the network: set --tls-certificate-file and --tls-key-file, listen on \
             127.0.0.1 behind a proxy that speaks TLS, or allow it with --allow-plain-http (ALLOW_PLAIN_HTTP=true)"
        );
        Ok(())
    }

    /// What accepts connections by TLS; `None` for plain HTTP. The files are watched until `stop`.
    pub(crate) fn acceptor(&self, stop: CancellationToken) -> anyhow::Result<Option<TlsAcceptor>> {
        let Self::Tls(certificates) = self else { return Ok(None) };
        tokio::spawn(watch(certificates.clone(), stop));
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(certificates.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }
}

/// Reads the files again when they change. What cannot be used is reported, and the certificate of before stays.
async fn watch(certificates: Arc<Certificates>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let looked = certificates.clone();
        match tokio::task::spawn_blocking(move || looked.reload()).await {
            Ok(Ok(true)) => tracing::info!("the changed TLS certificate is used for new connections"),
            Ok(Ok(false)) | Err(_) => {}
            Ok(Err(error)) => {
                tracing::error!("the changed TLS certificate is not used, the one before stays: {error:#}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_refused_where_others_can_read_it() {
        let everywhere: SocketAddr = "0.0.0.0:8080".parse().unwrap();
        let refused = Transport::default().check(everywhere).unwrap_err().to_string();
        assert!(
            refused.contains("--tls-certificate-file") && refused.contains("--allow-plain-http"),
            "{refused}"
        );
        assert!(Transport::default().check("10.0.0.1:8080".parse().unwrap()).is_err());
        for loopback in ["127.0.0.1:8080", "127.0.0.2:80", "[::1]:8080", "[::ffff:127.0.0.1]:80"] {
            assert!(Transport::default().check(loopback.parse().unwrap()).is_ok(), "{loopback}");
        }
        let allowed = Transport::new(&TlsConfig { allow_plain_http: true, ..TlsConfig::default() }).unwrap();
        assert!(allowed.check(everywhere).is_ok());
        let half = TlsConfig { tls_key_file: Some("key.pem".into()), ..TlsConfig::default() };
        assert!(Transport::new(&half).err().unwrap().to_string().contains("belong together"));
    }
}
