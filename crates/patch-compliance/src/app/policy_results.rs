//! Policy results: what the policies of a host require of its missing fixes. Results are recomputed, compared with the stored
//! ones, and only differences are written, together with the roll-ups that count them.

use std::collections::{BTreeMap, HashMap};

use advisories::{CoverageGap, Month, compliance::current_patch_level};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    baseline::{BaselineRules, Verdict},
    compliance::{ComplianceStatus, Severity, UnknownCause},
    selector::Tags,
};
use rustc_hash::FxHashMap;
use service_kit::ApiResult;
use sqlx::PgConnection;

use super::{criteria_cache::Revision, host_list_entries};
use crate::{
    App,
    store::{
        self,
        dictionary::Finding,
        host_list::ListEntry,
        policy_criteria::PolicyCriteria,
        results::{HostInput, StoredResult},
        rollups::Changes,
        text_column::TextColumn,
    },
};

/// Maximum age of a scan, in hours, for hosts that no policy selects.
pub(crate) const DEFAULT_SCAN_AGE_HOURS: i32 = 48;
/// Maximum age of the feeds of a release, in hours, for hosts that no policy selects.
pub(crate) const DEFAULT_FEED_AGE_HOURS: i32 = 168;
/// Hosts per statement.
const BATCH: usize = 5000;

/// Recomputes the results of these hosts. The caller has locked them, or excludes all other writers.
pub(crate) async fn recompute(
    conn: &mut PgConnection,
    revision: &Revision,
    hosts: &[i32],
    now: DateTime<Utc>,
) -> ApiResult<()> {
    for batch in hosts.chunks(BATCH) {
        let inputs = store::results::list_host_inputs(conn, batch).await?;
        recompute_hosts(conn, revision, &inputs, now).await?;
    }
    Ok(())
}

/// [`recompute`] for hosts that are already loaded.
pub(crate) async fn recompute_hosts(
    conn: &mut PgConnection,
    revision: &Revision,
    hosts: &[HostInput],
    now: DateTime<Utc>,
) -> ApiResult<()> {
    for batch in hosts.chunks(BATCH) {
        let ids: Vec<i32> = batch.iter().map(|host| host.id).collect();
        let stored = store::results::list_stored(conn, &ids).await?;
        recompute_batch(conn, revision, batch, stored, now).await?;
    }
    Ok(())
}

/// Recomputes hosts with a fix that has become old enough for a baseline.
pub(crate) async fn recompute_approved(app: &App) -> ApiResult<()> {
    let now = app.clock.now();
    loop {
        let mut transaction = app.pool.begin().await?;
        // Checks without the lock: inventories must not wait when there is nothing to do.
        if store::results::list_newly_approved(&mut transaction, now, 1).await?.is_empty() {
            return Ok(());
        }
        store::lock_results_exclusive(&mut transaction).await?;
        let hosts = store::results::list_newly_approved(&mut transaction, now, BATCH as i64).await?;
        let revision = app.criteria.current(&mut transaction).await?;
        recompute(&mut transaction, &revision, &hosts, now).await?;
        transaction.commit().await?;
        if !hosts.is_empty() {
            tracing::info!("{} hosts lack fixes that are old enough for their baselines now", hosts.len());
        }
    }
}

async fn recompute_batch(
    conn: &mut PgConnection,
    revision: &Revision,
    hosts: &[HostInput],
    stored: Vec<StoredResult>,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    let numbers: Vec<i32> = hosts.iter().flat_map(|host| host.findings.iter().copied()).collect();
    let findings = revision.findings(conn, &numbers).await?;
    let mut stored: HashMap<(i32, i32), StoredResult> =
        stored.into_iter().map(|result| ((result.host_id, result.policy_no), result)).collect();
    let mut verdicts = Verdicts::default();
    let mut totals_of_sets: HashMap<(Option<i32>, i32), FindingTotals> = HashMap::new();
    let (mut changed, mut changes) = (Vec::new(), Changes::new());
    let mut status_changes: BTreeMap<ComplianceStatus, Vec<i32>> = BTreeMap::new();
    let mut listed = Vec::with_capacity(hosts.len());
    for host in hosts.iter().filter(|host| host.active) {
        let missing: Vec<&Finding> =
            host.findings.iter().filter_map(|no| findings.get(no)).map(|known| known.finding()).collect();
        let mut worst = ComplianceStatus::Compliant;
        let mut entry = ListEntry::new(host);
        for criteria in criteria_of(revision, host) {
            let key = (host.set_no, criteria.no);
            let totals = match totals_of_sets.get(&key) {
                Some(totals) if !revision.has_exceptions() => *totals,
                _ => {
                    let totals = FindingTotals::of(&missing, revision, host, &criteria, &mut verdicts, now);
                    totals_of_sets.insert(key, totals);
                    totals
                }
            };
            entry.add(totals.pending, totals.exploited, totals.severity, totals.next_due);
            let result = criteria.result(revision, host, &totals, now);
            worst = worst.max(result.status);
            let before = stored.remove(&(host.id, criteria.no));
            if before.as_ref() == Some(&result) {
                continue;
            }
            if let Some(before) = before {
                count_policy(&mut changes, criteria.no, before.status, -1);
            }
            count_policy(&mut changes, criteria.no, result.status, 1);
            changed.push(result);
        }
        entry.cell.status = worst;
        listed.push(entry);
        if host.status != worst {
            count_host(&mut changes, &host.tags.0, host.status, -1);
            count_host(&mut changes, &host.tags.0, worst, 1);
            status_changes.entry(worst).or_default().push(host.id);
        }
    }
    for result in stored.values() {
        count_policy(&mut changes, result.policy_no, result.status, -1);
    }
    let gone: Vec<(i32, i32)> = stored.into_keys().collect();
    store::results::delete_results(conn, &gone).await?;
    store::results::upsert_results(conn, &changed).await?;
    for (status, hosts) in &status_changes {
        store::results::update_statuses(conn, *status, hosts).await?;
    }
    let gone: Vec<i32> = hosts.iter().filter(|host| !host.active).map(|host| host.id).collect();
    host_list_entries::write(conn, listed, &gone).await?;
    store::rollups::count(conn, &changes).await
}

fn count_policy(changes: &mut Changes, no: i32, status: ComplianceStatus, by: i64) {
    if no > 0 {
        *changes.entry(("policy", no.to_string(), status)).or_default() += by;
    }
}

/// Adds a host to the roll-ups of its tags (`by` 1), or removes it from them (`by` -1).
pub(crate) fn count_host(changes: &mut Changes, tags: &Tags, status: ComplianceStatus, by: i64) {
    for (dimension, value) in dimensions(tags) {
        *changes.entry((dimension, value, status)).or_default() += by;
    }
}

/// The roll-ups that a host counts in, in addition to those of its policies.
pub(crate) fn dimensions(tags: &Tags) -> impl Iterator<Item = (&'static str, String)> {
    let tag = |name: &str| tags.get(name).cloned().unwrap_or_default();
    let values = ["env", "os", "tier", "owner", "cluster"].map(|name| (name, tag(name)));
    std::iter::once(("total", String::new())).chain(values)
}

/// The criteria of one policy for a host, or the default criteria of a host without a policy.
struct HostCriteria<'a> {
    no: i32,
    /// `None`: every fix is required.
    rules: Option<&'a BaselineRules>,
    max_scan_age_hours: i32,
    max_feed_age_hours: i32,
}

fn criteria_of<'a>(revision: &'a Revision, host: &'a HostInput) -> Vec<HostCriteria<'a>> {
    let of = |policy: &'a PolicyCriteria| HostCriteria {
        no: policy.no,
        rules: Some(&policy.rules),
        max_scan_age_hours: policy.max_scan_age_hours,
        max_feed_age_hours: policy.max_feed_age_hours,
    };
    let mut criteria: Vec<HostCriteria<'a>> =
        revision.policies_of(&host.tags.0, &host.os_key).map(of).collect();
    if criteria.is_empty() {
        criteria.push(HostCriteria {
            no: 0,
            rules: None,
            max_scan_age_hours: DEFAULT_SCAN_AGE_HOURS,
            max_feed_age_hours: DEFAULT_FEED_AGE_HOURS,
        });
    }
    criteria
}

/// What baselines say of findings. What package lists say is computed once for all hosts of a batch.
#[derive(Default)]
struct Verdicts<'a>(FxHashMap<(i32, i32), Verdict<'a>>);

impl<'a> Verdicts<'a> {
    fn of(&mut self, criteria: &HostCriteria<'a>, finding: &Finding, now: DateTime<Utc>) -> Verdict<'a> {
        match criteria.rules {
            None => Verdict::INCLUDED,
            Some(rules) if rules.names_packages() => {
                *self.0.entry((criteria.no, finding.no)).or_insert_with(|| rules.judge(&finding.fix(), now))
            }
            Some(rules) => rules.judge(&finding.fix(), now),
        }
    }
}

/// Sums over the missing fixes of a host that a policy requires.
#[derive(Debug, Clone, Copy, Default)]
struct FindingTotals {
    pending: i32,
    excepted: i32,
    /// Earliest publication of all missing fixes, required or not, excepted or not.
    earliest: Option<DateTime<Utc>>,
    next_due: Option<DateTime<Utc>>,
    open_cves: i32,
    undated_cves: i32,
    published_sum: i64,
    /// The worst of the pending fixes.
    severity: Option<Severity>,
    /// Pending fixes of CVEs that are known to be exploited.
    exploited: i32,
    /// Missing fixes that are not in the baseline, and when the first of them is old enough.
    left_out: i32,
    next_approval: Option<DateTime<Utc>>,
}

impl FindingTotals {
    fn of<'a>(
        missing: &[&Finding],
        revision: &Revision,
        host: &HostInput,
        criteria: &HostCriteria<'a>,
        verdicts: &mut Verdicts<'a>,
        now: DateTime<Utc>,
    ) -> Self {
        let mut sum = Self::default();
        let mut cves: Vec<(&str, bool, DateTime<Utc>)> = Vec::with_capacity(missing.len());
        for finding in missing {
            sum.earliest = Some(sum.earliest.map_or(finding.published, |at| at.min(finding.published)));
            if let Verdict::LeftOut(exclusion) = verdicts.of(criteria, finding, now) {
                sum.left_out += 1;
                sum.next_approval = sum.next_approval.into_iter().chain(exclusion.until()).min();
                continue;
            }
            let is_undated = finding.due.is_none();
            cves.extend(finding.cves.iter().map(|cve| (cve.as_str(), is_undated, finding.published)));
            if revision.is_excepted(&host.ci_id, finding, now) {
                sum.excepted += 1;
            } else {
                sum.pending += 1;
                sum.severity = sum.severity.max(Some(finding.severity));
                sum.exploited += i32::from(finding.exploited);
                sum.next_due = sum.next_due.into_iter().chain(finding.due).min();
            }
        }
        // The first known publication of each CVE counts.
        cves.sort_unstable();
        cves.dedup_by_key(|(cve, ..)| *cve);
        sum.open_cves = cves.len() as i32;
        let dated = cves.iter().filter(|(_, is_undated, _)| !is_undated);
        sum.published_sum = dated.clone().map(|(.., published)| published.timestamp()).sum();
        sum.undated_cves = sum.open_cves - dated.count() as i32;
        sum
    }
}

impl HostCriteria<'_> {
    fn result(
        &self,
        revision: &Revision,
        host: &HostInput,
        totals: &FindingTotals,
        now: DateTime<Utc>,
    ) -> StoredResult {
        let (cause, cause_release) = match self.unknown_cause(revision, host, totals, now) {
            Some((cause, release)) => (Some(cause), release.map(str::to_owned)),
            None => (None, None),
        };
        let status = match cause {
            Some(_) => ComplianceStatus::Unknown,
            None if totals.pending > 0 => ComplianceStatus::NonCompliant,
            None => ComplianceStatus::Compliant,
        };
        StoredResult {
            host_id: host.id,
            policy_no: self.no,
            status,
            cause: cause.map(TextColumn),
            cause_release,
            unread: host.unread,
            target_level: self.rules.and_then(|rules| rules.level).map(|level| level.to_string()),
            current_level: current_level(revision, host, totals, now).map(|month| month.to_string()),
            pending: totals.pending,
            excepted: totals.excepted,
            next_due: totals.next_due,
            open_cves: totals.open_cves,
            undated_cves: totals.undated_cves,
            published_sum: totals.published_sum,
            left_out: totals.left_out,
            next_approval: totals.next_approval,
        }
    }

    /// Why nothing can be said of the host, and the release that this is about. What is known to be missing stays known
    /// although more may be missing.
    fn unknown_cause<'h>(
        &self,
        revision: &Revision,
        host: &'h HostInput,
        totals: &FindingTotals,
        now: DateTime<Utc>,
    ) -> Option<(UnknownCause, Option<&'h str>)> {
        let Some(scanned) = host.last_scanned else { return Some((UnknownCause::NeverScanned, None)) };
        if scanned < now - TimeDelta::hours(i64::from(self.max_scan_age_hours)) {
            return Some((UnknownCause::ScanTooOld, None));
        }
        let max_feed_age = TimeDelta::hours(i64::from(self.max_feed_age_hours));
        let is_missing_nothing = totals.pending == 0;
        for release in &host.releases {
            let cause = match revision.coverage.gap(release, max_feed_age, now) {
                Some(CoverageGap::FeedTooOld { .. }) => UnknownCause::FeedTooOld,
                Some(CoverageGap::NotCovered) if is_missing_nothing => UnknownCause::NotCovered,
                Some(CoverageGap::OutOfSupport(_))
                    if is_missing_nothing && !revision.coverage.is_extended(release, &host.releases, now) =>
                {
                    UnknownCause::OutOfSupport
                }
                _ => continue,
            };
            return Some((cause, Some(release)));
        }
        (host.unread > 0 && is_missing_nothing).then_some((UnknownCause::PartlyRead, None))
    }
}

/// The newest month up to which the host has every applicable advisory. A level never passes the last scan or the last feed, and
/// a host of which nobody knows all packages or all advisories has none.
fn current_level(
    revision: &Revision,
    host: &HostInput,
    totals: &FindingTotals,
    now: DateTime<Utc>,
) -> Option<Month> {
    let mut as_of = Month::of(host.last_scanned?);
    if host.unread > 0 || host.releases.is_empty() {
        return None;
    }
    for release in &host.releases {
        let last = if revision.coverage.is_extended(release, &host.releases, now) {
            Month::of(revision.coverage.fetched_at(release)?)
        } else {
            revision.coverage.last_month(release)?
        };
        as_of = as_of.min(last);
    }
    current_patch_level(totals.earliest, as_of)
}
