//! What hosts are measured against, remembered: policies, exceptions, findings, fixes; and what goes by a number for ever.
//!
//! A memory is of one edition (`patch.edition`) and is given up when the stored number is another. Whoever stores
//! results reads the number under the shared lock, so that nothing changes until it commits; whoever only reads gets
//! the number together with the rows it belongs to.

mod fixes;

use std::{
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock},
};

use advisories::InstalledPackage;
use chrono::{DateTime, Utc};
use domain::{ids::CiId, selector::Tags};
use rustc_hash::FxHashMap;
use serde::Serialize;
use serde_json::value::RawValue;
use service_kit::ApiResult;
use sqlx::PgConnection;

pub(crate) use self::fixes::{FixIndex, Fixes};
use crate::store::{
    self,
    dictionary::{ContentDigest, Finding},
    policy_criteria::{OpenException, Yardstick},
};

/// Rows of each dictionary remembered at most; beyond it the memory is cleared.
const REMEMBERED: usize = 400_000;

/// One for the process. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Measures(Arc<Memories>);

#[derive(Default)]
struct Memories {
    current: Mutex<Option<Arc<Edition>>>,
    /// Numbers mean the same in every edition.
    packages: RwLock<FxHashMap<ContentDigest, i32>>,
    package_bodies: RwLock<FxHashMap<i32, Arc<InstalledPackage>>>,
    findings: RwLock<FxHashMap<ContentDigest, i32>>,
    advisories_of_findings: RwLock<FxHashMap<i32, i32>>,
    ci_ids: RwLock<FxHashMap<i32, CiId>>,
}

/// What holds in one edition.
pub(crate) struct Edition {
    number: i64,
    pub policies: Vec<Yardstick>,
    exceptions: Vec<OpenException>,
    findings: RwLock<FxHashMap<i32, Arc<KnownFinding>>>,
    pub fixes: Fixes,
}

/// A finding, and how it is shown to those who ask for a host that has it.
pub(crate) struct KnownFinding {
    finding: Finding,
    shown: OnceLock<Box<RawValue>>,
}

impl From<Finding> for KnownFinding {
    fn from(finding: Finding) -> Self {
        Self { finding, shown: OnceLock::new() }
    }
}

impl Deref for KnownFinding {
    type Target = Finding;

    fn deref(&self) -> &Finding {
        &self.finding
    }
}

impl KnownFinding {
    pub(crate) fn finding(&self) -> &Finding {
        &self.finding
    }

    /// The text of what `show` makes of it: of all hosts with the finding the first asks, and the others are told the same.
    pub(crate) fn shown<T: Serialize>(
        &self,
        show: impl FnOnce(&Finding) -> T,
    ) -> serde_json::Result<&RawValue> {
        if let Some(shown) = self.shown.get() {
            return Ok(shown);
        }
        let text = serde_json::value::to_raw_value(&show(&self.finding))?;
        Ok(self.shown.get_or_init(|| text))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Measures {
    /// The edition that is stored now.
    pub(crate) async fn current(&self, conn: &mut PgConnection) -> ApiResult<Arc<Edition>> {
        let number = store::policy_criteria::get_edition(conn).await?;
        self.edition(conn, number).await
    }

    /// The edition of this number, or a newer one where that is what is stored by now.
    pub(crate) async fn edition(&self, conn: &mut PgConnection, number: i64) -> ApiResult<Arc<Edition>> {
        if let Some(known) = locked(&self.0.current).as_ref().filter(|known| known.number == number) {
            return Ok(known.clone());
        }
        let number = store::policy_criteria::get_edition(conn).await?;
        let edition = Arc::new(Edition {
            number,
            policies: store::policy_criteria::list_yardsticks(conn).await?,
            exceptions: store::policy_criteria::list_open_exceptions(conn).await?,
            findings: RwLock::default(),
            fixes: Fixes::default(),
        });
        let mut current = locked(&self.0.current);
        // A reader that was slow does not bring an old edition back.
        if current.as_ref().is_none_or(|known| known.number < number) {
            *current = Some(edition.clone());
        }
        Ok(edition)
    }

    pub(crate) fn known_packages(&self, digests: &[ContentDigest]) -> Vec<Option<i32>> {
        look_up(&self.0.packages, digests)
    }

    /// Only what is committed may be remembered.
    pub(crate) fn remember_packages(&self, rows: &FxHashMap<ContentDigest, i32>) {
        remember(&self.0.packages, rows.iter().map(|(digest, no)| (*digest, *no)));
    }

    pub(crate) fn known_findings(&self, digests: &[ContentDigest]) -> Vec<Option<i32>> {
        look_up(&self.0.findings, digests)
    }

    /// Only what is committed may be remembered.
    pub(crate) fn remember_findings(&self, rows: &FxHashMap<ContentDigest, i32>) {
        remember(&self.0.findings, rows.iter().map(|(digest, no)| (*digest, *no)));
    }

    /// Packages by their numbers; numbers that are not stored are absent.
    pub(crate) async fn packages(
        &self,
        conn: &mut PgConnection,
        numbers: &[i32],
    ) -> ApiResult<FxHashMap<i32, Arc<InstalledPackage>>> {
        let (mut found, missing) = recall(&self.0.package_bodies, numbers);
        if !missing.is_empty() {
            let loaded = store::dictionary::load_packages(conn, &missing).await?;
            let loaded: Vec<_> = loaded.into_iter().map(|(no, package)| (no, Arc::new(package))).collect();
            remember(&self.0.package_bodies, loaded.iter().cloned());
            found.extend(loaded);
        }
        Ok(found)
    }

    /// The advisories of findings, by the findings' numbers; numbers that are not stored are absent.
    pub(crate) async fn advisories_of(
        &self,
        conn: &mut PgConnection,
        findings: &[i32],
    ) -> ApiResult<FxHashMap<i32, i32>> {
        let (mut found, missing) = recall(&self.0.advisories_of_findings, findings);
        if !missing.is_empty() {
            let loaded = store::dictionary::list_advisories_of(conn, &missing).await?;
            remember(&self.0.advisories_of_findings, loaded.iter().copied());
            found.extend(loaded);
        }
        Ok(found)
    }

    /// What hosts are called, by their numbers.
    pub(crate) async fn ci_ids(
        &self,
        conn: &mut PgConnection,
        hosts: &[i32],
    ) -> ApiResult<FxHashMap<i32, CiId>> {
        let (mut found, missing) = recall(&self.0.ci_ids, hosts);
        if !missing.is_empty() {
            let loaded = store::hosts::list_ci_ids(conn, &missing).await?;
            remember(&self.0.ci_ids, loaded.iter().cloned());
            found.extend(loaded);
        }
        Ok(found)
    }
}

impl Edition {
    /// Whether it is the edition of this number.
    pub(crate) fn is(&self, number: i64) -> bool {
        self.number == number
    }

    /// Findings by their numbers; numbers that are not stored are absent.
    pub(crate) async fn findings(
        &self,
        conn: &mut PgConnection,
        numbers: &[i32],
    ) -> ApiResult<FxHashMap<i32, Arc<KnownFinding>>> {
        let (mut found, missing) = recall(&self.findings, numbers);
        if !missing.is_empty() {
            let loaded = store::dictionary::load_findings(conn, &missing).await?;
            let loaded: Vec<_> = loaded
                .into_iter()
                .map(|finding| (finding.no, Arc::new(KnownFinding::from(finding))))
                .collect();
            remember(&self.findings, loaded.iter().cloned());
            found.extend(loaded);
        }
        Ok(found)
    }

    /// The policies that select a host.
    pub(crate) fn policies_of<'a>(
        &'a self,
        tags: &'a Tags,
        os_key: &'a str,
    ) -> impl Iterator<Item = &'a Yardstick> {
        self.policies.iter().filter(move |policy| {
            policy.os_key.as_deref().is_none_or(|wanted| wanted == os_key)
                && policy.target_tags.0.iter().all(|(key, value)| tags.get(key) == Some(value))
        })
    }

    pub(crate) fn policy(&self, no: i32) -> Option<&Yardstick> {
        self.policies.iter().find(|policy| policy.no == no)
    }

    pub(crate) fn has_exceptions(&self) -> bool {
        !self.exceptions.is_empty()
    }

    /// Whether a finding is excepted on a CI. An exception for a CVE covers an advisory only together with exceptions
    /// for its other CVEs: what was not excepted must not vanish behind what was.
    pub(crate) fn is_excepted(&self, ci_id: &str, finding: &Finding, now: DateTime<Utc>) -> bool {
        let open: Vec<Option<&str>> = self
            .exceptions
            .iter()
            .filter(|one| {
                one.expires_at > now
                    && one.ci_id.as_deref().is_none_or(|wanted| wanted == ci_id)
                    && one.package.as_deref().is_none_or(|wanted| wanted == finding.package)
            })
            .map(|one| one.advisory_id.as_deref())
            .collect();
        let names = |id: &str| open.contains(&Some(id));
        open.contains(&None)
            || names(&finding.advisory_id)
            || (!finding.cves.is_empty() && finding.cves.iter().all(|cve| names(cve)))
    }
}

fn look_up(memory: &RwLock<FxHashMap<ContentDigest, i32>>, digests: &[ContentDigest]) -> Vec<Option<i32>> {
    let memory = memory.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    digests.iter().map(|digest| memory.get(digest).copied()).collect()
}

fn remember<K: std::hash::Hash + Eq, V>(
    memory: &RwLock<FxHashMap<K, V>>,
    rows: impl ExactSizeIterator<Item = (K, V)>,
) {
    let mut memory = memory.write().unwrap_or_else(|poisoned| poisoned.into_inner());
    if memory.len() + rows.len() > REMEMBERED {
        memory.clear();
    }
    memory.extend(rows);
}

/// What is remembered under these numbers, and the numbers under which nothing is.
fn recall<V: Clone>(memory: &RwLock<FxHashMap<i32, V>>, numbers: &[i32]) -> (FxHashMap<i32, V>, Vec<i32>) {
    let memory = memory.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (mut found, mut missing) = (FxHashMap::default(), Vec::new());
    for number in numbers {
        match memory.get(number) {
            Some(value) => {
                found.entry(*number).or_insert_with(|| value.clone());
            }
            None => missing.push(*number),
        }
    }
    missing.sort_unstable();
    missing.dedup();
    (found, missing)
}
