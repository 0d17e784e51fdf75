//! Inventories whose text a host has pushed before: recognised by a digest of the text, without parsing the packages.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use domain::ids::CiId;
use rustc_hash::FxHashMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use service_kit::{ApiResult, clock};
use sha2::{Digest, Sha256};

use super::{inventory::needs_recompute, observation::is_plain_line};
use crate::{
    App,
    store::{
        self,
        dictionary::ContentDigest,
        hosts::{HostText, Touch},
    },
};

/// Part of every digest. Increase it when the meaning of the same text changes.
const MEANING: u8 = 2;

/// What is known of a pushed inventory without parsing its packages.
pub(crate) struct InventoryFingerprint {
    ci_id: CiId,
    scan_id: Option<String>,
    collected_at: DateTime<Utc>,
    /// Digest of everything that the inventory states about its host.
    pub text: ContentDigest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Head<'a> {
    ci_id: CiId,
    scan_id: Option<String>,
    #[serde(borrow)]
    os: Cow<'a, str>,
    collected_at: Option<DateTime<Utc>>,
    boot_id: Option<String>,
    running_kernel: Option<String>,
    #[serde(default)]
    reboot_pending: bool,
    #[serde(borrow, default)]
    repositories: Option<&'a RawValue>,
    #[serde(borrow)]
    packages: &'a RawValue,
    #[serde(borrow, default)]
    unread: Option<&'a RawValue>,
}

impl InventoryFingerprint {
    /// `None` if the line cannot be a valid inventory; parsing it finds the reason.
    pub(crate) fn at(line: &[u8], now: DateTime<Utc>) -> Option<Self> {
        let head: Head<'_> = serde_json::from_slice(line).ok()?;
        let collected_at = head.collected_at.unwrap_or(now);
        if collected_at > now + clock::TOLERANCE || !head.scan_id.as_deref().is_none_or(is_plain_line) {
            return None;
        }
        let mut hash = Sha256::new_with_prefix([MEANING, u8::from(head.reboot_pending)]);
        for text in [Some(head.os.as_ref()), head.boot_id.as_deref(), head.running_kernel.as_deref()] {
            hash.update([0, u8::from(text.is_some())]);
            hash.update(text.unwrap_or_default());
        }
        hash.update([0]);
        hash.update(head.packages.get());
        if let Some(repositories) = head.repositories {
            hash.update([1]);
            hash.update(repositories.get());
        }
        if let Some(unread) = head.unread {
            hash.update([0]);
            hash.update(unread.get());
        }
        Some(Self {
            ci_id: head.ci_id,
            scan_id: head.scan_id,
            collected_at: collected_at.min(now),
            text: hash.finalize().into(),
        })
    }
}

/// Records scans of unchanged hosts. Returns which of these inventories need no further work.
pub(crate) async fn touch_unchanged(
    app: &App,
    fingerprints: &[Option<InventoryFingerprint>],
) -> ApiResult<Vec<bool>> {
    let now = app.clock.now();
    let mut ids: Vec<&str> =
        fingerprints.iter().flatten().map(|fingerprint| fingerprint.ci_id.as_str()).collect();
    ids.sort_unstable();
    let mut transaction = app.pool.begin().await?;
    store::lock_results_shared(&mut transaction).await?;
    let revision = app.criteria.current(&mut transaction).await?;
    let hosts = store::hosts::find_texts(&mut transaction, &ids).await?;
    let mut hosts: FxHashMap<&str, &HostText> =
        hosts.iter().map(|host| (host.ci_id.as_str(), host)).collect();
    // Only parsing shows which of several inventories of a host is the newest.
    for two in ids.windows(2).filter(|two| two[0] == two[1]) {
        hosts.remove(two[0]);
    }
    let (mut taken, mut touched) = (vec![false; fingerprints.len()], Vec::new());
    for (fingerprint, taken) in fingerprints.iter().zip(&mut taken) {
        let Some(fingerprint) = fingerprint else { continue };
        let Some(host) = hosts.get(fingerprint.ci_id.as_str()) else { continue };
        let is_known = host.text_digest.as_deref() == Some(fingerprint.text.as_slice())
            && !needs_recompute(&revision, host.status, host.last_scanned, now);
        if !is_known {
            continue;
        }
        *taken = true;
        let is_repeated = fingerprint.scan_id.is_some() && fingerprint.scan_id == host.scan_id;
        if !is_repeated && host.last_scanned.is_none_or(|last| last <= fingerprint.collected_at) {
            touched.push(Touch {
                host_id: host.id,
                scan_id: fingerprint.scan_id.clone(),
                at: fingerprint.collected_at,
            });
        }
    }
    match store::hosts::touch(&mut transaction, touched).await {
        Ok(()) => transaction.commit().await?,
        // Another transaction touches the same hosts in another order; parsing them resolves it.
        Err(error) if store::is_deadlock(&error) => {
            transaction.rollback().await?;
            taken.fill(false);
        }
        Err(error) => return Err(error),
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    fn fingerprint(line: &str) -> Option<InventoryFingerprint> {
        InventoryFingerprint::at(line.as_bytes(), DateTime::UNIX_EPOCH)
    }

    #[test]
    fn only_the_text_about_the_host_counts() {
        let line = |head: &str, packages: &str| {
            fingerprint(&format!(r#"{{"ci_id":"web-01",{head}"os":"rocky:9","packages":{packages}}}"#))
        };
        let text = |head: &str, packages: &str| line(head, packages).unwrap().text;
        let plain = text("", r#"[{"name":"bash"}]"#);
        assert_eq!(
            text(r#""scan_id":"7","collected_at":"1970-01-01T00:00:00Z","#, r#"[{"name":"bash"}]"#),
            plain
        );
        for head in [r#""boot_id":"a","#, r#""running_kernel":"a","#, r#""reboot_pending":true,"#] {
            assert_ne!(text(head, r#"[{"name":"bash"}]"#), plain, "{head}");
        }
        assert_ne!(text(r#""boot_id":"a","#, "[]"), text(r#""running_kernel":"a","#, "[]"));
        assert_ne!(text("", r#"[{"name":"zsh"}]"#), plain);
        assert!(line(r#""colour":"red","#, "[]").is_none() && fingerprint("{").is_none());
        assert!(
            fingerprint(r#"{"ci_id":"web\u0000","os":"rocky:9","packages":[]}"#).is_none(),
            "not a valid CI id"
        );
        assert!(line(r#""scan_id":"","#, "[]").is_none(), "a scan id without a character is refused by name");
        let ahead = (DateTime::UNIX_EPOCH + clock::TOLERANCE + TimeDelta::seconds(1)).to_rfc3339();
        assert!(line(&format!(r#""collected_at":"{ahead}","#), "[]").is_none());
    }
}
