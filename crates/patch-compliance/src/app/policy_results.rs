//! The results of hosts: what their policies ask of what they lack. Reckoned here, compared with what is stored, and
//! only differences are written, together with the counters that sum them up.

use std::collections::{BTreeMap, HashMap};

use advisories::{Month, compliance::current_patch_level};
use chrono::{DateTime, TimeDelta, Utc};
use domain::selector::Tags;
use service_kit::ApiResult;
use sqlx::PgConnection;

use super::criteria_cache::Edition;
use crate::store::{
    self,
    dictionary::Finding,
    policy_criteria::Yardstick,
    results::{MeasuredHost, StoredResult},
    rollups::Changes,
};

/// Hours for which a scan says something about hosts that no policy selects.
pub(crate) const DEFAULT_SCAN_AGE_HOURS: i32 = 48;
/// Hosts reckoned with in one statement.
const BATCH: usize = 5000;
const STATUSES: [&str; 3] = ["compliant", "unknown", "non_compliant"];

/// Reckons these hosts anew. The caller has them locked, or keeps everybody else out.
pub(crate) async fn reckon(
    conn: &mut PgConnection,
    edition: &Edition,
    hosts: &[i32],
    now: DateTime<Utc>,
) -> ApiResult<()> {
    for batch in hosts.chunks(BATCH) {
        let measured = store::results::list_measured_hosts(conn, batch).await?;
        reckon_measured(conn, edition, &measured, now).await?;
    }
    Ok(())
}

/// [`reckon`] for hosts that are at hand.
pub(crate) async fn reckon_measured(
    conn: &mut PgConnection,
    edition: &Edition,
    hosts: &[MeasuredHost],
    now: DateTime<Utc>,
) -> ApiResult<()> {
    for batch in hosts.chunks(BATCH) {
        let ids: Vec<i32> = batch.iter().map(|host| host.id).collect();
        let stored = store::results::list_stored(conn, &ids).await?;
        reckon_batch(conn, edition, batch, stored, now).await?;
    }
    Ok(())
}

async fn reckon_batch(
    conn: &mut PgConnection,
    edition: &Edition,
    hosts: &[MeasuredHost],
    stored: Vec<StoredResult>,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    let numbers: Vec<i32> = hosts.iter().flat_map(|host| host.findings.iter().copied()).collect();
    let findings = edition.findings(conn, &numbers).await?;
    let mut stored: HashMap<(i32, i32), StoredResult> =
        stored.into_iter().map(|result| ((result.host_id, result.policy_no), result)).collect();
    let mut asked: HashMap<(Option<i32>, i32), Asked> = HashMap::new();
    let (mut changed, mut changes) = (Vec::new(), Changes::new());
    let mut turned: BTreeMap<&'static str, Vec<i32>> = BTreeMap::new();
    for host in hosts.iter().filter(|host| host.active) {
        let lacks: Vec<&Finding> =
            host.findings.iter().filter_map(|no| findings.get(no)).map(|known| known.finding()).collect();
        let mut worst = 0;
        for measure in measures_of(edition, host) {
            let key = (host.set_no, measure.no);
            let what = match asked.get(&key) {
                Some(what) if !edition.has_exceptions() => *what,
                _ => {
                    let what = Asked::of(&lacks, edition, host, measure.level_ends, now);
                    asked.insert(key, what);
                    what
                }
            };
            let result = measure.result(host, &what, now);
            let (rank, status) = status_of(&result.status);
            worst = worst.max(rank);
            let before = stored.remove(&(host.id, measure.no));
            if before.as_ref() == Some(&result) {
                continue;
            }
            if let Some(before) = before {
                count_policy(&mut changes, measure.no, status_of(&before.status).1, -1);
            }
            count_policy(&mut changes, measure.no, status, 1);
            changed.push(result);
        }
        let (before, after) = (status_of(&host.status).1, STATUSES[worst]);
        if before != after {
            count_host(&mut changes, &host.tags.0, before, -1);
            count_host(&mut changes, &host.tags.0, after, 1);
            turned.entry(after).or_default().push(host.id);
        }
    }
    for result in stored.values() {
        count_policy(&mut changes, result.policy_no, status_of(&result.status).1, -1);
    }
    let gone: Vec<(i32, i32)> = stored.into_keys().collect();
    store::results::delete_results(conn, &gone).await?;
    store::results::upsert_results(conn, &changed).await?;
    for (status, hosts) in &turned {
        store::results::set_statuses(conn, status, hosts).await?;
    }
    store::rollups::count(conn, &changes).await
}

/// Its rank, the worst highest.
fn status_of(text: &str) -> (usize, &'static str) {
    let rank = STATUSES.iter().position(|status| *status == text).unwrap_or(1);
    (rank, STATUSES[rank])
}

fn count_policy(changes: &mut Changes, no: i32, status: &'static str, by: i64) {
    if no > 0 {
        *changes.entry(("policy", no.to_string(), status)).or_default() += by;
    }
}

/// Adds a host to the roll-ups, or takes it out of them.
pub(crate) fn count_host(changes: &mut Changes, tags: &Tags, status: &'static str, by: i64) {
    for (dimension, value) in dimensions(tags) {
        *changes.entry((dimension, value, status)).or_default() += by;
    }
}

/// [`count_host`] with a status as it is stored.
pub(crate) fn count_known_host(changes: &mut Changes, tags: &Tags, status: &str, by: i64) {
    count_host(changes, tags, status_of(status).1, by);
}

/// Where a host counts beside its policies.
pub(crate) fn dimensions(tags: &Tags) -> impl Iterator<Item = (&'static str, String)> {
    let tag = |name: &str| tags.get(name).cloned().unwrap_or_default();
    let values = ["env", "os", "tier", "owner", "cluster"].map(|name| (name, tag(name)));
    std::iter::once(("total", String::new())).chain(values)
}

/// One policy's measure of a host, or the measure of hosts without any.
struct Measure<'a> {
    no: i32,
    patch_level: Option<&'a str>,
    level_ends: Option<DateTime<Utc>>,
    max_scan_age_hours: i32,
}

fn measures_of<'a>(edition: &'a Edition, host: &'a MeasuredHost) -> Vec<Measure<'a>> {
    let of = |policy: &'a Yardstick| Measure {
        no: policy.no,
        patch_level: policy.patch_level.as_deref(),
        level_ends: policy.level_ends,
        max_scan_age_hours: policy.max_scan_age_hours,
    };
    let measures: Vec<Measure<'a>> = edition.policies_of(&host.tags.0, &host.os_key).map(of).collect();
    match measures.is_empty() {
        true => vec![Measure {
            no: 0,
            patch_level: None,
            level_ends: None,
            max_scan_age_hours: DEFAULT_SCAN_AGE_HOURS,
        }],
        false => measures,
    }
}

/// What is asked of a host, in sum.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    pending: i32,
    excepted: i32,
    /// Of all that is lacking, asked or not, excepted or not.
    earliest: Option<DateTime<Utc>>,
    next_due: Option<DateTime<Utc>>,
    open_cves: i32,
    published_sum: i64,
}

impl Asked {
    fn of(
        lacks: &[&Finding],
        edition: &Edition,
        host: &MeasuredHost,
        level_ends: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Self {
        let mut sum = Self::default();
        let mut cves: Vec<(&str, DateTime<Utc>)> = Vec::with_capacity(lacks.len());
        for finding in lacks {
            sum.earliest = Some(sum.earliest.map_or(finding.published, |at| at.min(finding.published)));
            if level_ends.is_some_and(|ends| finding.published >= ends) {
                continue;
            }
            cves.extend(finding.cves.iter().map(|cve| (cve.as_str(), finding.published)));
            if edition.has_exceptions() && edition.is_excepted(&host.ci_id, finding, now) {
                sum.excepted += 1;
            } else {
                sum.pending += 1;
                sum.next_due = Some(sum.next_due.map_or(finding.due, |at| at.min(finding.due)));
            }
        }
        // Of each CVE the first publication counts.
        cves.sort_unstable();
        cves.dedup_by_key(|(cve, _)| *cve);
        sum.open_cves = cves.len() as i32;
        sum.published_sum = cves.iter().map(|(_, published)| published.timestamp()).sum();
        sum
    }
}

impl Measure<'_> {
    fn result(&self, host: &MeasuredHost, asked: &Asked, now: DateTime<Utc>) -> StoredResult {
        let oldest = now - TimeDelta::hours(i64::from(self.max_scan_age_hours));
        let status = match host.last_scanned {
            None => "unknown",
            Some(scanned) if scanned < oldest => "unknown",
            Some(_) if asked.pending > 0 => "non_compliant",
            Some(_) => "compliant",
        };
        let current_level = host
            .last_scanned
            .and_then(|scanned| current_patch_level(asked.earliest, Month::of(scanned)))
            .map(|month| month.to_string());
        StoredResult {
            host_id: host.id,
            policy_no: self.no,
            status: status.to_owned(),
            target_level: self.patch_level.map(str::to_owned),
            current_level,
            pending: asked.pending,
            excepted: asked.excepted,
            next_due: asked.next_due,
            open_cves: asked.open_cves,
            published_sum: asked.published_sum,
        }
    }
}
