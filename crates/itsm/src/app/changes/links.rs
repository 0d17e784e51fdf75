//! Signed links with which an approver decides from an e-mail, without a token of the platform.
//!
//! A link is bound to one change, one plan, one person and one verified address of that person; it expires and decides once. Opening the page
//! decides nothing, because mail scanners follow links. The secret part is after the `#`, which
//! browsers do not send, so that it is in no server's log.

use std::path::Path;

use anyhow::Context as _;
use api_types::itsm::Change;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use service_kit::{ApiError, ApiResult, problem_types};
use sha2::Sha256;
use uuid::Uuid;

use crate::store::links::ApprovalLink;

/// Shorter keys could be guessed.
const SHORTEST_KEY: usize = 32;

/// Signs links. Without a key there are no links, and approvers need tokens.
#[derive(Clone)]
pub struct LinkSigner(Option<Hmac<Sha256>>);

impl LinkSigner {
    pub fn from_file(file: Option<&Path>) -> anyhow::Result<Self> {
        let Some(file) = file else { return Ok(Self(None)) };
        let key = std::fs::read(file)
            .with_context(|| format!("the key of approval links cannot be read from `{}`", file.display()))?;
        let key = key.trim_ascii();
        anyhow::ensure!(
            key.len() >= SHORTEST_KEY,
            "the key of approval links in `{}` is too short; it must have at least {SHORTEST_KEY} bytes",
            file.display()
        );
        Ok(Self(Some(Hmac::new_from_slice(key).context("the key of approval links cannot be used")?)))
    }

    pub fn is_available(&self) -> bool {
        self.0.is_some()
    }

    /// The secret part of a link: its id, and the signature of its content.
    pub fn token(&self, link: &ApprovalLink) -> Option<String> {
        let mut mac = self.0.clone()?;
        mac.update(content(link).as_bytes());
        let mut token = link.id.as_bytes().to_vec();
        token.extend_from_slice(&mac.finalize().into_bytes());
        Some(URL_SAFE_NO_PAD.encode(token))
    }

    /// The link that a token claims to be; this is not verified.
    pub fn id_of(token: &str) -> Option<Uuid> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        Uuid::from_slice(bytes.get(..16)?).ok()
    }

    /// Whether the token was made for this link, compared in constant time.
    pub fn verifies(&self, token: &str, link: &ApprovalLink) -> bool {
        let (Some(mut mac), Ok(bytes)) = (self.0.clone(), URL_SAFE_NO_PAD.decode(token)) else {
            return false;
        };
        mac.update(content(link).as_bytes());
        bytes.get(16..).is_some_and(|proof| mac.verify_slice(proof).is_ok())
    }
}

/// The fields, separated by a character that none of them contains.
fn content(link: &ApprovalLink) -> String {
    let plan = link.plan_hash.as_deref().unwrap_or("none");
    let expires = link.expires_at.timestamp_micros();
    let head = format!("{}\n{}\n{}\n{plan}\n{expires}", link.id, link.change_id, link.approver);
    match &link.subject {
        Some(subject) => format!("approval/v2\n{head}\n{subject}"),
        None => format!("approval/v1\n{head}"),
    }
}

/// Whether the link may still decide on the present change.
pub fn check_usable(link: &ApprovalLink, change: &Change, now: DateTime<Utc>) -> ApiResult<()> {
    if link.used_at.is_some() {
        return Err(ApiError::new(problem_types::LINK_USED, "this link was already used; each decides once"));
    }
    if link.voided_at.is_some() || link.plan_hash != change.plan_hash {
        let reason = "the change was edited after this link was sent; a newer e-mail has the link for it";
        return Err(ApiError::new(problem_types::LINK_VOID, reason));
    }
    if link.expires_at <= now {
        let reason = "this link has expired; decide with a token, or have the change submitted again";
        return Err(ApiError::new(problem_types::LINK_EXPIRED, reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(key: &str) -> LinkSigner {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, key).unwrap();
        LinkSigner::from_file(Some(&file)).unwrap()
    }

    fn link() -> ApprovalLink {
        ApprovalLink {
            id: Uuid::from_u128(7),
            change_id: "CHG0000001".to_owned(),
            approver: "arjun@example.org".to_owned(),
            subject: Some("arjun".to_owned()),
            plan_hash: Some("a".repeat(64)),
            expires_at: DateTime::from_timestamp(1_770_000_000, 0).unwrap(),
            used_at: None,
            voided_at: None,
        }
    }

    #[test]
    fn token_is_valid_only_for_its_own_link() {
        let signer = signer("0123456789abcdef0123456789abcdef");
        let token = signer.token(&link()).unwrap();
        assert_eq!(LinkSigner::id_of(&token), Some(link().id));
        assert!(signer.verifies(&token, &link()));
        let others = [
            ApprovalLink { change_id: "CHG0000002".to_owned(), ..link() },
            ApprovalLink { approver: "mallory@example.org".to_owned(), ..link() },
            ApprovalLink { subject: Some("mallory".to_owned()), ..link() },
            ApprovalLink { subject: None, ..link() },
            ApprovalLink { plan_hash: None, ..link() },
            ApprovalLink { expires_at: link().expires_at + chrono::TimeDelta::seconds(1), ..link() },
        ];
        assert!(others.iter().all(|other| !signer.verifies(&token, other)));
        assert!(!super::tests::signer("another key of thirty-two bytes!").verifies(&token, &link()));
        for forged in ["", "AAAA", &token[..token.len() - 4], "%%%"] {
            assert!(!signer.verifies(forged, &link()), "{forged:?} was accepted");
        }
    }

    #[test]
    fn short_keys_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "short").unwrap();
        assert!(LinkSigner::from_file(Some(&file)).is_err());
        assert!(!LinkSigner::from_file(None).unwrap().is_available());
    }
}
