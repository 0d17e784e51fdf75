//! Caches the criteria of compliance: policies, exceptions, coverage, findings and fixes; and rows that never change.
//!
//! Criteria are cached per revision (`patch.edition`) and dropped when the stored number differs. A transaction that
//! stores results reads the number under the shared lock, so that nothing changes until it commits; a reader gets the
//! number together with the rows it belongs to.

mod fixes;
mod known_releases;

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

pub(crate) use self::{
    fixes::{FixCache, FixIndex},
    known_releases::{KnownReleases, support_ends},
};
use super::os_tag;
use crate::store::{
    self,
    dictionary::{ContentDigest, Finding},
    policy_criteria::{OpenException, PolicyCriteria},
};

/// Maximum cached rows of each dictionary; when it is full, it is cleared.
const MAX_ENTRIES: usize = 400_000;

/// One per process. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct CriteriaCache(Arc<CacheMaps>);

#[derive(Default)]
struct CacheMaps {
    current: Mutex<Option<Arc<Revision>>>,
    /// Numbers mean the same in every revision.
    packages: RwLock<FxHashMap<ContentDigest, i32>>,
    package_bodies: RwLock<FxHashMap<i32, Arc<InstalledPackage>>>,
    findings: RwLock<FxHashMap<ContentDigest, i32>>,
    advisories_of_findings: RwLock<FxHashMap<i32, i32>>,
    ci_ids: RwLock<FxHashMap<i32, CiId>>,
}

/// The criteria in one revision.
pub(crate) struct Revision {
    number: i64,
    pub policies: Vec<PolicyCriteria>,
    pub coverage: KnownReleases,
    exceptions: Vec<OpenException>,
    findings: RwLock<FxHashMap<i32, Arc<CachedFinding>>>,
    pub fixes: FixCache,
}

/// A finding and its JSON for readers.
pub(crate) struct CachedFinding {
    finding: Finding,
    json: OnceLock<Box<RawValue>>,
}

impl From<Finding> for CachedFinding {
    fn from(finding: Finding) -> Self {
        Self { finding, json: OnceLock::new() }
    }
}

impl Deref for CachedFinding {
    type Target = Finding;

    fn deref(&self) -> &Finding {
        &self.finding
    }
}

impl CachedFinding {
    pub(crate) fn finding(&self) -> &Finding {
        &self.finding
    }

    /// The JSON of what `show` makes of it, built once for all hosts with the finding.
    pub(crate) fn json<T: Serialize>(
        &self,
        show: impl FnOnce(&Finding) -> T,
    ) -> serde_json::Result<&RawValue> {
        if let Some(json) = self.json.get() {
            return Ok(json);
        }
        let text = serde_json::value::to_raw_value(&show(&self.finding))?;
        Ok(self.json.get_or_init(|| text))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl CriteriaCache {
    /// The stored revision.
    pub(crate) async fn current(&self, conn: &mut PgConnection) -> ApiResult<Arc<Revision>> {
        let number = store::policy_criteria::get_revision(conn).await?;
        self.revision(conn, number).await
    }

    /// The revision of this number, or a newer one if that is stored now.
    pub(crate) async fn revision(&self, conn: &mut PgConnection, number: i64) -> ApiResult<Arc<Revision>> {
        if let Some(known) = locked(&self.0.current).as_ref().filter(|known| known.number == number) {
            return Ok(known.clone());
        }
        let number = store::policy_criteria::get_revision(conn).await?;
        let revision = Arc::new(Revision {
            number,
            policies: store::policy_criteria::list_policy_criteria(conn).await?,
            coverage: KnownReleases::of(&store::coverage::list_coverage(conn).await?),
            exceptions: store::policy_criteria::list_open_exceptions(conn).await?,
            findings: RwLock::default(),
            fixes: FixCache::default(),
        });
        let mut current = locked(&self.0.current);
        // A slow reader must not restore an old revision.
        if current.as_ref().is_none_or(|known| known.number < number) {
            *current = Some(revision.clone());
        }
        Ok(revision)
    }

    pub(crate) fn cached_packages(&self, digests: &[ContentDigest]) -> Vec<Option<i32>> {
        get_numbers(&self.0.packages, digests)
    }

    /// Cache only committed rows.
    pub(crate) fn cache_packages(&self, rows: &FxHashMap<ContentDigest, i32>) {
        cache(&self.0.packages, rows.iter().map(|(digest, no)| (*digest, *no)));
    }

    pub(crate) fn cached_findings(&self, digests: &[ContentDigest]) -> Vec<Option<i32>> {
        get_numbers(&self.0.findings, digests)
    }

    /// Cache only committed rows.
    pub(crate) fn cache_findings(&self, rows: &FxHashMap<ContentDigest, i32>) {
        cache(&self.0.findings, rows.iter().map(|(digest, no)| (*digest, *no)));
    }

    /// Packages by number, without those that are not stored.
    pub(crate) async fn packages(
        &self,
        conn: &mut PgConnection,
        numbers: &[i32],
    ) -> ApiResult<FxHashMap<i32, Arc<InstalledPackage>>> {
        get_or_load(&self.0.package_bodies, numbers, |missing| async move {
            let loaded = store::dictionary::load_packages(conn, &missing).await?;
            Ok(loaded.into_iter().map(|(no, package)| (no, Arc::new(package))).collect())
        })
        .await
    }

    /// The advisories of findings, by the finding's number, without those that are not stored.
    pub(crate) async fn advisories_of(
        &self,
        conn: &mut PgConnection,
        findings: &[i32],
    ) -> ApiResult<FxHashMap<i32, i32>> {
        get_or_load(&self.0.advisories_of_findings, findings, |missing| async move {
            store::dictionary::list_advisories_of(conn, &missing).await
        })
        .await
    }

    /// CI ids by host number.
    pub(crate) async fn ci_ids(
        &self,
        conn: &mut PgConnection,
        hosts: &[i32],
    ) -> ApiResult<FxHashMap<i32, CiId>> {
        get_or_load(&self.0.ci_ids, hosts, |missing| async move {
            store::hosts::list_ci_ids(conn, &missing).await
        })
        .await
    }
}

impl Revision {
    /// Whether it has this number.
    pub(crate) fn is(&self, number: i64) -> bool {
        self.number == number
    }

    /// Findings by number, without those that are not stored.
    pub(crate) async fn findings(
        &self,
        conn: &mut PgConnection,
        numbers: &[i32],
    ) -> ApiResult<FxHashMap<i32, Arc<CachedFinding>>> {
        get_or_load(&self.findings, numbers, |missing| async move {
            let loaded = store::dictionary::load_findings(conn, &missing).await?;
            Ok(loaded.into_iter().map(|finding| (finding.no, Arc::new(finding.into()))).collect())
        })
        .await
    }

    /// The policies that select a host.
    pub(crate) fn policies_of<'a>(
        &'a self,
        tags: &'a Tags,
        os_key: &'a str,
    ) -> impl Iterator<Item = &'a PolicyCriteria> {
        self.policies.iter().filter(move |policy| is_selected(policy, tags, os_key))
    }

    pub(crate) fn policy(&self, no: i32) -> Option<&PolicyCriteria> {
        self.policies.iter().find(|policy| policy.no == no)
    }

    pub(crate) fn has_exceptions(&self) -> bool {
        !self.exceptions.is_empty()
    }

    /// Whether a finding is excepted on a CI. An exception for a CVE covers an advisory only together with exceptions for
    /// its other CVEs: an open CVE must not be hidden by an excepted one.
    pub(crate) fn is_excepted(&self, ci_id: &str, finding: &Finding, now: DateTime<Utc>) -> bool {
        if self.exceptions.is_empty() {
            return false;
        }
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

/// Whether a policy selects a host.
pub(crate) fn is_selected(policy: &PolicyCriteria, tags: &Tags, os_key: &str) -> bool {
    policy.os_key.as_deref().is_none_or(|wanted| wanted == os_key)
        && policy.target_tags.0.iter().all(|(key, value)| os_tag::has_tag(tags, key, value))
}

fn get_numbers(map: &RwLock<FxHashMap<ContentDigest, i32>>, digests: &[ContentDigest]) -> Vec<Option<i32>> {
    let map = map.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    digests.iter().map(|digest| map.get(digest).copied()).collect()
}

fn cache<K: std::hash::Hash + Eq, V>(
    map: &RwLock<FxHashMap<K, V>>,
    rows: impl ExactSizeIterator<Item = (K, V)>,
) {
    let mut map = map.write().unwrap_or_else(|poisoned| poisoned.into_inner());
    if map.len() + rows.len() > MAX_ENTRIES {
        map.clear();
    }
    map.extend(rows);
}

/// The values of these numbers, from the cache or loaded.
async fn get_or_load<V: Clone, F: Future<Output = ApiResult<Vec<(i32, V)>>>>(
    map: &RwLock<FxHashMap<i32, V>>,
    numbers: &[i32],
    load: impl FnOnce(Vec<i32>) -> F,
) -> ApiResult<FxHashMap<i32, V>> {
    let (mut found, missing) = get_cached(map, numbers);
    if !missing.is_empty() {
        let loaded = load(missing).await?;
        cache(map, loaded.iter().cloned());
        found.extend(loaded);
    }
    Ok(found)
}

/// The cached values of these numbers, and the numbers that are not cached.
fn get_cached<V: Clone>(map: &RwLock<FxHashMap<i32, V>>, numbers: &[i32]) -> (FxHashMap<i32, V>, Vec<i32>) {
    let map = map.read().unwrap_or_else(|poisoned| poisoned.into_inner());
    let (mut found, mut missing) = (FxHashMap::default(), Vec::new());
    for number in numbers {
        match map.get(number) {
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
