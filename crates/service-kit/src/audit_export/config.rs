//! How the export is set up.

use std::{path::PathBuf, sync::Arc, time::Duration};

use chrono::TimeDelta;
use clap::value_parser;
use reqwest::Url;

use super::{HeadKey, PublicKey, SyslogAddress, destination::Destination};
use crate::outbound::{self, Receivers};

const HOUR: u32 = 3600;

#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct AuditExportConfig {
    /// File with the secret from which the key is derived that signs exported ends of audit chains, 32 bytes or more; the same for
    /// all services. Needed by the destinations below.
    #[arg(long, env = "AUDIT_KEY_FILE")]
    pub audit_key_file: Option<PathBuf>,

    /// File to which the end of the audit chain is appended, one line of JSON each time. On a disk of another machine, if it is to
    /// prove something about this one. With several replicas of a service, the one that is next writes to its own file.
    #[arg(long, env = "AUDIT_EXPORT_FILE")]
    pub audit_export_file: Option<PathBuf>,

    /// Receiver of a webhook with the end of the audit chain. An administrator registers it with `patchctl webhook create`.
    #[arg(long, env = "AUDIT_EXPORT_URL")]
    pub audit_export_url: Option<String>,

    /// Syslog server that gets the end of the audit chain: `udp://host:port`, `tcp://host:port` or `unix:/dev/log`.
    #[arg(long, env = "AUDIT_EXPORT_SYSLOG")]
    pub audit_export_syslog: Option<SyslogAddress>,

    /// Seconds between two exports to a destination.
    #[arg(long, env = "AUDIT_EXPORT_SECONDS", default_value_t = HOUR, value_parser = value_parser!(u32).range(1..=86_400))]
    pub audit_export_seconds: u32,
}

impl Default for AuditExportConfig {
    fn default() -> Self {
        Self {
            audit_key_file: None,
            audit_export_file: None,
            audit_export_url: None,
            audit_export_syslog: None,
            audit_export_seconds: HOUR,
        }
    }
}

/// Where the ends of a chain go, checked; nowhere by default.
#[derive(Clone, Default)]
pub struct AuditExports {
    key: Option<HeadKey>,
    destinations: Arc<[Destination]>,
    every: Duration,
    /// The setting names the receiver, and so allows it.
    receivers: Option<Arc<Receivers>>,
}

impl AuditExports {
    pub fn new(config: &AuditExportConfig) -> anyhow::Result<Self> {
        let mut destinations = Vec::new();
        let mut allowed = Vec::new();
        if let Some(file) = &config.audit_export_file {
            destinations.push(Destination::File(file.clone()));
        }
        if let Some(url) = &config.audit_export_url {
            let parsed = outbound::parse(url)
                .map_err(|refusal| anyhow::anyhow!("the address of `--audit-export-url` {refusal}"))?;
            allowed.push(authority(&parsed));
            destinations.push(Destination::Webhook(parsed.into()));
        }
        if let Some(address) = &config.audit_export_syslog {
            destinations.push(Destination::Syslog(address.clone()));
        }
        let key = match &config.audit_key_file {
            Some(file) => Some(HeadKey::from_file(file)?),
            None => None,
        };
        anyhow::ensure!(
            key.is_some() || destinations.is_empty(),
            "the ends of audit chains are exported with a signature; name a file with at least 32 random bytes in --audit-key-file"
        );
        let receivers = Some(Arc::new(Receivers::new(&allowed)?));
        let every = Duration::from_secs(config.audit_export_seconds.into());
        Ok(Self { key, destinations: destinations.into(), every, receivers })
    }

    /// The key and the destinations, if there is any.
    pub(super) fn opened(&self) -> Option<(&HeadKey, &[Destination])> {
        self.key.as_ref().filter(|_| !self.destinations.is_empty()).map(|key| (key, &*self.destinations))
    }

    pub(super) fn every(&self) -> TimeDelta {
        TimeDelta::from_std(self.every).unwrap_or(TimeDelta::hours(1))
    }

    pub(super) fn receivers(&self) -> Arc<Receivers> {
        self.receivers.clone().unwrap_or_default()
    }

    /// The key that checks signatures, if ends are exported.
    pub fn public_key(&self) -> Option<PublicKey> {
        self.opened().map(|(key, _)| key.public_key())
    }

    pub(crate) fn kinds(&self) -> Vec<api_types::access::AuditDestination> {
        self.destinations.iter().map(Destination::kind).collect()
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    format!("{host}:{}", url.port_or_known_default().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn export_needs_a_key_and_says_so() {
        let file = Some(PathBuf::from("/var/log/audit-heads"));
        let config = AuditExportConfig { audit_export_file: file, ..AuditExportConfig::default() };
        let refused = AuditExports::new(&config).err().expect("it is refused").to_string();
        assert!(refused.contains("--audit-key-file"), "{refused}");
        assert!(AuditExports::new(&AuditExportConfig::default()).unwrap().public_key().is_none());
    }

    #[test]
    fn address_of_a_receiver_is_checked_and_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("audit-key");
        std::fs::write(&key, "k".repeat(32)).unwrap();
        let config = |url: &str| AuditExportConfig {
            audit_key_file: Some(key.clone()),
            audit_export_url: Some(url.to_owned()),
            ..AuditExportConfig::default()
        };
        assert!(AuditExports::new(&config("https://a:b@siem.example.org/")).is_err());
        let exports = AuditExports::new(&config("http://127.0.0.1:9000/audit")).unwrap();
        assert!(exports.receivers().check("http://127.0.0.1:9000/audit").is_ok());
        assert!(exports.receivers().check("http://127.0.0.1:9001/").is_err());
        assert!(exports.public_key().is_some());
    }
}
