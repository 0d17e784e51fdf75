//! Compliance for readers: roll-ups, one CI, rows of the export.

use std::{sync::Arc, time::Instant};

use advisories::{CoverageGap, os_key};
use api_types::{
    cmdb::PatchState,
    patch::{
        CiCompliance, ComplianceCounts, ComplianceRow, ComplianceShare, ComplianceStatus, ComplianceSummary,
        PackageKnowledge, PolicyCompliance, UnknownCause, UnnoticedUpdate, UnreadPackage,
    },
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::{CiId, PolicyId};
use service_kit::{ApiError, ApiResult};
use sqlx::PgConnection;

use super::{
    coverage,
    criteria_cache::{CachedFinding, CriteriaCache, Revision, support_ends},
    pending_patch::{PatchJson, baseline_notes},
    policy_results::{DEFAULT_FEED_AGE_HOURS, DEFAULT_SCAN_AGE_HOURS},
};
use crate::{
    App,
    store::{
        self,
        compliance::{CiRecord, ResultFilter, ResultRow},
        dictionary::Finding,
        policy_criteria::PolicyCriteria,
    },
};

/// The name in roll-ups for a CI without the tag.
pub(crate) const UNTAGGED: &str = "untagged";

pub(crate) async fn get_compliance(app: &App) -> ApiResult<ComplianceSummary> {
    let mut conn = app.pool.acquire().await?;
    let cells = store::rollups::list_rollup(&mut conn).await?;
    let (oldest_scan, newest_scan) = match app.scan_range.get() {
        Some(range) => range,
        None => {
            let began = Instant::now();
            let range = store::compliance::find_scan_range(&mut conn).await?;
            app.scan_range.put(range, began.elapsed());
            range
        }
    };
    let revision = app.criteria.current(&mut conn).await?;
    let mut coverage = coverage::releases(&mut conn, &revision, &cells, app.clock.now()).await?;
    coverage.retain(|release| release.hosts > 0);
    coverage.sort_by_key(|release| std::cmp::Reverse(release.state));
    let mut summary = ComplianceSummary {
        total: ComplianceCounts::default(),
        by_policy: Default::default(),
        by_env: Default::default(),
        by_os: Default::default(),
        by_tier: Default::default(),
        by_owner: Default::default(),
        by_cluster: Default::default(),
        oldest_scan,
        newest_scan,
        coverage,
    };
    for cell in cells {
        let value = if cell.value.is_empty() { UNTAGGED.to_owned() } else { cell.value };
        let counts = match cell.dimension.as_str() {
            "policy" => summary.by_policy.entry(value).or_default(),
            "env" => summary.by_env.entry(value).or_default(),
            "os" => summary.by_os.entry(os_key(&value)).or_default(),
            "tier" => summary.by_tier.entry(value).or_default(),
            "owner" => summary.by_owner.entry(value).or_default(),
            "cluster" => summary.by_cluster.entry(value).or_default(),
            _ => &mut summary.total,
        };
        match cell.status {
            ComplianceStatus::Compliant => counts.compliant += cell.hosts,
            ComplianceStatus::NonCompliant => counts.non_compliant += cell.hosts,
            ComplianceStatus::Unknown => counts.unknown += cell.hosts,
        }
    }
    let dimensions = [
        &mut summary.by_policy,
        &mut summary.by_env,
        &mut summary.by_os,
        &mut summary.by_tier,
        &mut summary.by_owner,
        &mut summary.by_cluster,
    ];
    dimensions.into_iter().flat_map(|values| values.values_mut()).for_each(set_percent);
    set_percent(&mut summary.total);
    Ok(summary)
}

/// One decimal. Without hosts it is 0.
pub(crate) fn set_percent(counts: &mut ComplianceCounts) {
    let all = counts.compliant + counts.non_compliant + counts.unknown;
    counts.percent = match all {
        0 => 0.0,
        all => (counts.compliant as f64 * 1000.0 / all as f64).floor() / 10.0,
    };
}

pub(crate) async fn get_ci_compliance(app: &App, ci_id: &CiId) -> ApiResult<CiWithPatches> {
    let mut conn = app.reads.acquire().await?;
    let shown = ci_compliance(&mut conn, &app.criteria, ci_id, app.clock.now()).await;
    conn.release(shown)
}

pub(crate) fn not_managed(ci_id: &CiId) -> ApiError {
    ApiError::not_found(format!(
        "managed host `{ci_id}`: it is not an active host or VM with an `os` tag in the CMDB"
    ))
}

/// A CI with its missing fixes, ready to serialise.
pub(crate) type CiWithPatches = CiCompliance<PatchJson>;

/// Needs one read of the database; what repeats from CI to CI is cached.
pub(super) async fn ci_compliance(
    conn: &mut PgConnection,
    criteria: &CriteriaCache,
    ci_id: &CiId,
    now: DateTime<Utc>,
) -> ApiResult<CiWithPatches> {
    let records = store::compliance::list_ci_records(conn, ci_id.as_str()).await?;
    let Some(record) = records.first() else {
        return Err(not_managed(ci_id));
    };
    let revision = criteria.revision(conn, record.revision).await?;
    let numbers = record.findings.as_deref().unwrap_or_default();
    let findings = revision.findings(conn, numbers).await?;
    let mut findings: Vec<Arc<CachedFinding>> = findings.into_values().collect();
    findings.sort_unstable_by(|a, b| {
        let place = |one: &Finding| (one.due.is_none(), one.due);
        place(a)
            .cmp(&place(b))
            .then_with(|| (&a.advisory_id, &a.package, &a.fixed).cmp(&(&b.advisory_id, &b.package, &b.fixed)))
    });
    let rows = result_rows(&revision, ci_id, &records);
    let worst = rows.iter().max_by_key(|row| live_status(row, now));
    let status = worst.map_or(ComplianceStatus::Unknown, |row| live_status(row, now));
    let unknown_cause = match worst {
        Some(row) => unknown_cause(row, now),
        None => Some(UnknownCause::NeverScanned),
    };
    let mut reason = worst.map_or_else(|| NEVER_SCANNED.to_owned(), |row| reason(&revision, row, now));
    let notice_unknown = notice_unknown(record, &findings);
    if !notice_unknown.is_empty() {
        reason.push_str(&format!("; {} pending from a security suite, notice unknown", notice_unknown.len()));
    }
    let repositories = record.repositories.clone().map(|answer| answer.0).unwrap_or_default();
    if let Some(problem) = repositories.problem() {
        reason.push_str("; ");
        reason.push_str(&problem);
    }
    let unread = match record.unread {
        Some(1..) => store::package_sets::list_unread(conn, ci_id.as_str()).await?,
        _ => Vec::new(),
    };
    let count = |number: Option<i32>| i64::from(number.unwrap_or_default());
    let policies: Vec<&PolicyCriteria> =
        records.iter().filter_map(|record| revision.policy(record.policy_no?)).collect();
    let pending = findings.into_iter().map(|finding| -> ApiResult<PatchJson> {
        let notes = baseline_notes(&policies, &finding, now)?;
        let excepted = revision.is_excepted(ci_id.as_str(), &finding, now);
        Ok(PatchJson::new(finding, excepted, notes))
    });
    let pending_patches = pending.collect::<ApiResult<_>>()?;
    Ok(CiCompliance {
        ci_id: ci_id.clone(),
        compliance_status: status,
        unknown_cause,
        reason,
        packages: PackageKnowledge {
            installed: count(record.packages),
            third_party: count(record.third_party),
            unknown_vendor: count(record.unknown_vendor),
            unread: count(record.unread),
            unread_packages: unread
                .into_iter()
                .map(|one| UnreadPackage { place: one.place, reason: one.reason })
                .collect(),
        },
        feed_fetched: fetched_at(&revision, record.releases.as_deref().unwrap_or_default()),
        current_patch_level: worst.and_then(|row| row.current_level.clone()),
        target_patch_level: worst.and_then(|row| row.target_level.clone()),
        package_digest: record.package_digest.as_deref().map(hex),
        last_scanned: record.last_scanned,
        last_patched: record.last_patched,
        reboot_pending: record.reboot_pending,
        pending_restart: record.stale_services.0.clone().into(),
        repositories,
        notice_unknown,
        pending_patches,
        policies: rows
            .iter()
            .filter(|row| row.policy_id.is_some())
            .map(|row| result(&revision, row, now))
            .collect::<ApiResult<_>>()?,
        os_type: record.os.clone(),
    })
}

/// What the repositories offer from security suites for packages without a known missing fix.
fn notice_unknown(record: &CiRecord, findings: &[Arc<CachedFinding>]) -> Vec<UnnoticedUpdate> {
    let offers = record.security_offers.iter().flat_map(|offers| &offers.0);
    let unknown = offers.filter(|offer| findings.iter().all(|finding| finding.package != offer.package));
    unknown
        .map(|offer| UnnoticedUpdate {
            package: offer.package.clone(),
            installed: offer.installed.clone(),
            candidate: offer.candidate.clone(),
            origin: offer.origin.clone(),
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The results of a CI in the order of their policies' ids, without those of deleted policies.
fn result_rows(revision: &Revision, ci_id: &CiId, records: &[CiRecord]) -> Vec<ResultRow> {
    let mut rows: Vec<ResultRow> =
        records.iter().filter_map(|record| result_row(revision, ci_id, record)).collect();
    rows.sort_by(|a, b| a.policy_id.cmp(&b.policy_id));
    rows
}

fn result_row(revision: &Revision, ci_id: &CiId, record: &CiRecord) -> Option<ResultRow> {
    let policy_no = record.policy_no?;
    let policy = revision.policy(policy_no);
    if policy.is_none() && policy_no != 0 {
        return None;
    }
    Some(ResultRow {
        ci_id: ci_id.to_string(),
        os: record.os.clone(),
        os_key: record.os_key.clone(),
        env: record.env.clone(),
        policy_id: policy.map(|policy| policy.id.clone()),
        policy_no,
        status: record.status?.0,
        target_level: record.target_level.clone(),
        current_level: record.current_level.clone(),
        pending: record.pending?,
        excepted: record.excepted?,
        left_out: record.left_out.unwrap_or_default(),
        cause: record.cause,
        cause_release: record.cause_release.clone(),
        unread: record.unread.unwrap_or_default(),
        max_feed_age_hours: policy.map(|policy| policy.max_feed_age_hours),
        max_scan_age_hours: policy.map(|policy| policy.max_scan_age_hours),
        last_scanned: record.last_scanned,
        last_patched: record.last_patched,
        reboot_pending: record.reboot_pending,
        stale_services: record.stale_services.clone(),
    })
}

/// The patch state of a CI for the CMDB, without the run.
pub async fn patch_state(app: &App, ci_id: &CiId, now: DateTime<Utc>) -> ApiResult<PatchState> {
    let mut conn = app.pool.acquire().await?;
    patch_state_by(&mut conn, &app.criteria, ci_id, now).await
}

pub(crate) async fn patch_state_by(
    conn: &mut PgConnection,
    criteria: &CriteriaCache,
    ci_id: &CiId,
    now: DateTime<Utc>,
) -> ApiResult<PatchState> {
    let state = ci_compliance(conn, criteria, ci_id, now).await?;
    Ok(PatchState {
        compliance_status: state.compliance_status.name().to_owned(),
        current_patch_level: state.current_patch_level,
        last_scanned: state.last_scanned,
        last_patched: state.last_patched,
        run_id: None,
    })
}

/// How many of these hosts are compliant.
pub async fn share(conn: &mut PgConnection, hosts: &[CiId]) -> ApiResult<ComplianceShare> {
    let ids: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let (compliant, _) = store::compliance::count_compliant(conn, &ids).await?;
    Ok(ComplianceShare { compliant, total: ids.len() as i64 })
}

/// Records when hosts were patched.
pub async fn record_patched(conn: &mut PgConnection, hosts: &[CiId], at: DateTime<Utc>) -> ApiResult<()> {
    let ids: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    store::hosts::record_patched(conn, &ids, at).await
}

/// One page of the export; `after` is the last row of the previous page.
pub(crate) async fn list_results(
    conn: &mut PgConnection,
    criteria: &CriteriaCache,
    filter: &ResultFilter,
    after: Option<(String, i32)>,
    limit: i64,
    now: DateTime<Utc>,
) -> ApiResult<(Vec<ComplianceRow>, Option<(String, i32)>)> {
    let rows = store::compliance::list_results(conn, filter, after, limit).await?;
    let revision = criteria.current(conn).await?;
    let is_full = rows.len() as i64 == limit;
    let last = rows.last().filter(|_| is_full).map(|row| (row.ci_id.clone(), row.policy_no));
    Ok((rows.iter().map(|row| export_row(&revision, row, now)).collect::<ApiResult<_>>()?, last))
}

fn export_row(revision: &Revision, row: &ResultRow, now: DateTime<Utc>) -> ApiResult<ComplianceRow> {
    Ok(ComplianceRow {
        ci_id: CiId::new(&row.ci_id).map_err(ApiError::internal)?,
        policy_id: policy_id(row)?,
        os_type: row.os.clone(),
        env: row.env.clone(),
        compliance_status: live_status(row, now),
        unknown_cause: unknown_cause(row, now),
        reason: reason(revision, row, now),
        feed_fetched: revision.coverage.fetched_at(&row.os_key),
        unread: i64::from(row.unread),
        current_patch_level: row.current_level.clone(),
        target_patch_level: row.target_level.clone(),
        pending: i64::from(row.pending),
        last_scanned: row.last_scanned,
        last_patched: row.last_patched,
    })
}

fn result(revision: &Revision, row: &ResultRow, now: DateTime<Utc>) -> ApiResult<PolicyCompliance> {
    let policy_id = policy_id(row)?.ok_or_else(|| ApiError::internal("a policy result has no policy"))?;
    Ok(PolicyCompliance {
        policy_id,
        compliance_status: live_status(row, now),
        unknown_cause: unknown_cause(row, now),
        reason: reason(revision, row, now),
        target_patch_level: row.target_level.clone(),
        current_patch_level: row.current_level.clone(),
        pending: i64::from(row.pending),
        left_out: i64::from(row.left_out),
        last_scanned: row.last_scanned,
    })
}

fn policy_id(row: &ResultRow) -> ApiResult<Option<PolicyId>> {
    row.policy_id.as_deref().map(PolicyId::new).transpose().map_err(ApiError::internal)
}

pub(crate) const NEVER_SCANNED: &str = "never scanned";

/// The stored status, unless the scan has become too old since.
pub(crate) fn live_status(row: &ResultRow, now: DateTime<Utc>) -> ComplianceStatus {
    if is_stale(row, now) { ComplianceStatus::Unknown } else { row.status }
}

fn max_scan_age_hours(row: &ResultRow) -> i32 {
    row.max_scan_age_hours.unwrap_or(DEFAULT_SCAN_AGE_HOURS)
}

fn is_stale(row: &ResultRow, now: DateTime<Utc>) -> bool {
    let most = TimeDelta::hours(i64::from(max_scan_age_hours(row)));
    row.last_scanned.is_none_or(|scanned| scanned < now - most)
}

/// Why the status is unknown; `None` if it is known.
pub(crate) fn unknown_cause(row: &ResultRow, now: DateTime<Utc>) -> Option<UnknownCause> {
    match row.last_scanned {
        None => Some(UnknownCause::NeverScanned),
        Some(_) if is_stale(row, now) => Some(UnknownCause::ScanTooOld),
        Some(_) => row.cause.map(|cause| cause.0),
    }
}

/// When the feeds of these releases were last imported; `None` if one of them is not covered.
fn fetched_at(revision: &Revision, releases: &[String]) -> Option<DateTime<Utc>> {
    let times: Option<Vec<_>> =
        releases.iter().map(|release| revision.coverage.fetched_at(release)).collect();
    times?.into_iter().min()
}

pub(crate) fn reason(revision: &Revision, row: &ResultRow, now: DateTime<Utc>) -> String {
    let Some(scanned) = row.last_scanned else { return NEVER_SCANNED.to_owned() };
    if is_stale(row, now) {
        return format!(
            "last scanned {} h ago, more than the allowed {} h",
            (now - scanned).num_hours(),
            max_scan_age_hours(row)
        );
    }
    let release = row.cause_release.as_deref().unwrap_or(&row.os_key);
    let unread = match row.unread {
        1 => "1 package could not be read".to_owned(),
        many => format!("{many} packages could not be read"),
    };
    if let Some(cause) = row.cause.map(|cause| cause.0) {
        if cause == UnknownCause::PartlyRead {
            return format!("{unread}; what they lack is not known");
        }
        if let Some(gap) = gap(revision, cause, release) {
            let max_age_hours = row.max_feed_age_hours.unwrap_or(DEFAULT_FEED_AGE_HOURS);
            return coverage::describe(release, gap, max_age_hours, now);
        }
    }
    let until = row.target_level.as_deref().map(|level| format!(" up to {level}")).unwrap_or_default();
    let mut text = match row.pending {
        0 => format!("every applicable fix{until} is installed"),
        1 => format!("1 fix{until} is pending"),
        many => format!("{many} fixes{until} are pending"),
    };
    if row.excepted > 0 {
        text.push_str(&format!(", {} more excepted", row.excepted));
    }
    if row.left_out > 0 {
        text.push_str(&format!(", {} more not in the baseline", row.left_out));
    }
    if row.unread > 0 {
        text.push_str(&format!("; {unread}"));
    }
    if row.reboot_pending {
        text.push_str("; the host waits for a reboot");
    }
    if let Some(pending) = row.stale_services.0.pending_text() {
        text.push_str(&format!("; {pending}"));
    }
    text
}

/// The gap in the advisories of a release that is the cause.
fn gap(revision: &Revision, cause: UnknownCause, release: &str) -> Option<CoverageGap> {
    match cause {
        UnknownCause::NotCovered => Some(CoverageGap::NotCovered),
        UnknownCause::OutOfSupport => support_ends(release).map(CoverageGap::OutOfSupport),
        UnknownCause::FeedTooOld => {
            revision.coverage.fetched_at(release).map(|fetched_at| CoverageGap::FeedTooOld { fetched_at })
        }
        UnknownCause::NeverScanned | UnknownCause::ScanTooOld | UnknownCause::PartlyRead => None,
    }
}
