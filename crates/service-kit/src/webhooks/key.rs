//! The key of the services, from which the secret of each receiver is derived: the database has no secret, and a copy of it signs
//! nothing.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use super::Secret;

/// Shorter keys could be guessed.
const SHORTEST_KEY: usize = 32;
/// What a secret is derived for, so that the same key in another place makes other values.
const PURPOSE: &[u8] = b"webhook secret/v1\n";

#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub struct WebhookConfig {
    /// File with the key from which the secrets of webhooks are derived, 32 bytes or more; the same for all services. Without it,
    /// webhooks fail with that reason: none is sent unsigned. With another key, every receiver needs a new secret.
    #[arg(long, env = "WEBHOOK_KEY_FILE")]
    pub webhook_key_file: Option<PathBuf>,
}

/// Derives the secrets of receivers. Without a key there are none.
#[derive(Clone, Default)]
pub struct WebhookKey(Option<Hmac<Sha256>>);

impl fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "WebhookKey([hidden])" } else { "WebhookKey(none)" })
    }
}

impl WebhookKey {
    pub fn from_file(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(file) = file else { return Ok(Self(None)) };
        let key = std::fs::read(file)
            .with_context(|| format!("the key of webhooks cannot be read from `{}`", file.display()))?;
        let key = key.trim_ascii();
        anyhow::ensure!(
            key.len() >= SHORTEST_KEY,
            "the key of webhooks in `{}` is too short; it must have at least {SHORTEST_KEY} bytes",
            file.display()
        );
        Self::new(key)
    }

    pub fn new(key: &[u8]) -> anyhow::Result<Self> {
        Ok(Self(Some(Hmac::new_from_slice(key).context("the key of webhooks cannot be used")?)))
    }

    pub fn is_available(&self) -> bool {
        self.0.is_some()
    }

    /// The secret of a row in `platform.webhook_secrets`; `None` without a key.
    pub(crate) fn secret(&self, id: Uuid) -> Option<Secret> {
        let mut mac = self.0.clone()?;
        mac.update(PURPOSE);
        mac.update(id.as_bytes());
        Some(Secret::new(mac.finalize().into_bytes().to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn secret_depends_on_the_key_and_the_row() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let key = WebhookKey::new(b"first").unwrap();
        let text = |key: &WebhookKey, id| key.secret(id).unwrap().text();
        assert_eq!(text(&key, one), text(&key, one));
        assert_ne!(text(&key, one), text(&key, other));
        assert_ne!(text(&key, one), text(&WebhookKey::new(b"second").unwrap(), one));
        assert!(WebhookKey::default().secret(one).is_none());
    }

    #[test]
    fn key_comes_from_a_file_and_is_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("webhook-key");
        let failure = || format!("{:#}", WebhookKey::from_file(Some(&file)).expect_err("it is refused"));
        assert!(failure().contains("webhook-key"));
        fs::write(&file, "too short, hunter2\n").unwrap();
        assert!(failure().contains("at least 32 bytes") && !failure().contains("hunter2"));
        fs::write(&file, format!("{}\n", "hunter2".repeat(5))).unwrap();
        let key = WebhookKey::from_file(Some(&file)).unwrap();
        assert!(key.is_available() && !format!("{key:?}").contains("hunter2"));
    }
}
