//! Remediation statistics: how many fixes were installed and how long it took, counted when a scan finds a fix that was
//! missing.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use service_kit::ApiResult;
use sqlx::PgConnection;

use super::{criteria_cache::Revision, policy_results::dimensions};
use crate::store::{self, dictionary::Finding, rollups::RemediationStats};

/// A host that is no longer missing some advisories.
pub(crate) struct RemediatedHost<'a> {
    pub host_id: i32,
    /// All its findings before.
    pub had: &'a [i32],
    /// The advisories that are no longer missing.
    pub gone: Vec<i32>,
    pub at: DateTime<Utc>,
}

pub(crate) async fn count(
    conn: &mut PgConnection,
    revision: &Revision,
    remediated: &[RemediatedHost<'_>],
    now: DateTime<Utc>,
) -> ApiResult<()> {
    if remediated.is_empty() {
        return Ok(());
    }
    let hosts: Vec<i32> = remediated.iter().map(|one| one.host_id).collect();
    let known = store::hosts::list_known(conn, &hosts).await?;
    let known: BTreeMap<i32, _> = known.into_iter().map(|host| (host.id, host)).collect();
    let had: Vec<i32> = remediated.iter().flat_map(|one| one.had.iter().copied()).collect();
    let findings = revision.findings(conn, &had).await?;
    let mut sums: BTreeMap<(&'static str, String), RemediationStats> = BTreeMap::new();
    for one in remediated {
        let Some(host) = known.get(&one.host_id) else { continue };
        let mut by_advisory: BTreeMap<i32, &Finding> = BTreeMap::new();
        for finding in one.had.iter().filter_map(|no| findings.get(no)) {
            if one.gone.contains(&finding.advisory_no) {
                by_advisory.insert(finding.advisory_no, finding);
            }
        }
        let mut sum = RemediationStats::default();
        by_advisory
            .values()
            .filter_map(|finding| remediation(finding, one.at))
            .for_each(|stats| sum.add(stats));
        let policies =
            revision.policies_of(&host.tags.0, &host.os_key).map(|policy| ("policy", policy.no.to_string()));
        for key in policies.chain(dimensions(&host.tags.0)) {
            sums.entry(key).or_default().add(sum);
        }
    }
    let month = NaiveDate::from_ymd_opt(now.year(), now.month(), 1).unwrap_or_default();
    store::rollups::add_remediations(conn, month, &sums).await
}

/// `None` if the feed gives no date: nobody knows how long the fix took.
fn remediation(finding: &Finding, at: DateTime<Utc>) -> Option<RemediationStats> {
    let due = finding.due?;
    let seconds = (at - finding.published).num_seconds().max(0);
    Some(RemediationStats {
        fixes: 1,
        late: i64::from(at > due),
        seconds,
        cve_seconds: seconds * finding.cves.len() as i64,
    })
}
