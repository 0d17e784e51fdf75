//! The end of a chain with its signature. The public key checks it; no secret is needed.

use std::{fmt, path::Path, str::FromStr, sync::Arc};

use anyhow::Context as _;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Shorter secrets could be guessed.
const SHORTEST_SECRET: usize = 32;
const PUBLIC_KEY_BYTES: usize = 32;
/// What the key is derived for, so that the same secret in another place makes another key.
const PURPOSE: &[u8] = b"audit heads/v1";

/// Marks a line among others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    AuditHead,
}

/// The end of the chain of a service at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHead {
    kind: Kind,
    pub service: String,
    pub position: i64,
    /// In hexadecimal; it covers every record up to the position.
    pub hash: String,
    pub at: DateTime<Utc>,
    /// Ed25519 in base64.
    signature: String,
}

impl SignedHead {
    /// Finds an end in a line, which may have something before it, as a syslog server writes it; `None` for any other line.
    pub fn find(line: &str) -> Option<Self> {
        let start = line.find('{')?;
        serde_json::from_str(line[start..].trim_end()).ok()
    }

    /// One line of JSON.
    pub(super) fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let Ok(signature) = STANDARD.decode(&self.signature) else { return false };
        let content = content(&self.service, self.position, &self.hash, self.at);
        UnparsedPublicKey::new(&ED25519, &key.0).verify(content.as_bytes(), &signature).is_ok()
    }
}

/// The fields, separated by a character that none of them contains.
fn content(service: &str, position: i64, hash: &str, at: DateTime<Utc>) -> String {
    format!("audit head/v1\n{service}\n{position}\n{hash}\n{}", at.timestamp_micros())
}

/// Signs the ends of chains.
#[derive(Clone)]
pub struct HeadKey(Arc<Ed25519KeyPair>);

impl HeadKey {
    pub fn from_file(file: &Path) -> anyhow::Result<Self> {
        let secret = std::fs::read(file).with_context(|| {
            format!("the key of exported audit chains cannot be read from `{}`", file.display())
        })?;
        let secret = secret.trim_ascii();
        anyhow::ensure!(
            secret.len() >= SHORTEST_SECRET,
            "the key of exported audit chains in `{}` is too short; it must have at least {SHORTEST_SECRET} bytes",
            file.display()
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).context("the key cannot be used")?;
        mac.update(PURPOSE);
        let pair = Ed25519KeyPair::from_seed_unchecked(&mac.finalize().into_bytes())
            .map_err(|_| anyhow::anyhow!("no key can be derived from `{}`", file.display()))?;
        Ok(Self(Arc::new(pair)))
    }

    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().to_vec())
    }

    pub fn sign(&self, service: &str, position: i64, hash: &[u8], at: DateTime<Utc>) -> SignedHead {
        let hash = hex::encode(hash);
        let signature = self.0.sign(content(service, position, &hash, at).as_bytes());
        let signature = STANDARD.encode(signature.as_ref());
        SignedHead { kind: Kind::AuditHead, service: service.to_owned(), position, hash, at, signature }
    }
}

/// Checks signatures: 32 bytes, in base64 as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(&self.0))
    }
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = STANDARD.decode(text).ok().filter(|bytes| bytes.len() == PUBLIC_KEY_BYTES);
        bytes.map(Self).ok_or_else(|| "must be a key as `patchctl audit exports` prints it".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> HeadKey {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("audit-key");
        std::fs::write(&file, text).unwrap();
        HeadKey::from_file(&file).unwrap()
    }

    #[test]
    fn signature_covers_every_field_and_needs_the_key() {
        let key_of_platform = key("the key of this platform, 32 bytes and more");
        let public: PublicKey = key_of_platform.public_key().to_string().parse().unwrap();
        let at = DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap();
        let head = key_of_platform.sign("cmdb", 7, &[0xab; 32], at);
        let read = SignedHead::find(&head.line()).unwrap();
        assert_eq!(read, head);
        assert!(read.is_signed_by(&public));
        let others = [
            SignedHead { service: "itsm".to_owned(), ..head.clone() },
            SignedHead { position: 8, ..head.clone() },
            SignedHead { hash: hex::encode([0xac; 32]), ..head.clone() },
            SignedHead { at: at + chrono::TimeDelta::microseconds(1), ..head.clone() },
            SignedHead { signature: String::new(), ..head.clone() },
            key("the key of another platform, 32 bytes and more").sign("cmdb", 7, &[0xab; 32], at),
        ];
        for other in others {
            assert!(!other.is_signed_by(&public), "{other:?}");
        }
    }

    #[test]
    fn ends_are_found_in_the_file_of_a_syslog_server() {
        let head = key("the key of this platform, 32 bytes and more").sign("cmdb", 7, &[1; 32], Utc::now());
        let line = format!("Nov 30 12:00:00 patch-1 cmdb[77]: {}\n", head.line());
        assert_eq!(SignedHead::find(&line).unwrap().position, 7);
        for other in ["", "Nov 30 12:00:00 patch-1 cmdb[77]: started", "{}", "{\"kind\":\"other\"}"] {
            assert!(SignedHead::find(other).is_none(), "{other}");
        }
        assert!("short".parse::<PublicKey>().is_err());
    }
}
