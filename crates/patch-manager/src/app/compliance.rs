//! Compliance as it is read: roll-ups, one CI, rows of the export.

use api_types::{
    cmdb::PatchState,
    patch::{
        CiCompliance, ComplianceCounts, ComplianceRow, ComplianceShare, ComplianceStatus, ComplianceSummary,
        PendingPatch, PolicyCompliance,
    },
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::{CiId, PolicyId};
use service_kit::{ApiError, ApiResult};
use sqlx::PgConnection;

use crate::{
    service::App,
    store::{
        self,
        compliance::{PendingOfHost, ResultFilter, ResultRow},
        words,
    },
};

/// How a value that a CI has no tag for is called in roll-ups.
const UNTAGGED: &str = "untagged";

pub(crate) async fn get_compliance(app: &App) -> ApiResult<ComplianceSummary> {
    let mut conn = app.pool.acquire().await?;
    let cells = store::compliance::list_rollup(&mut conn).await?;
    let (oldest_scan, newest_scan) = store::compliance::find_scan_range(&mut conn).await?;
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
    };
    for cell in cells {
        let value = if cell.value.is_empty() { UNTAGGED.to_owned() } else { cell.value };
        let counts = match cell.dimension.as_str() {
            "policy" => summary.by_policy.entry(value).or_default(),
            "env" => summary.by_env.entry(value).or_default(),
            "os" => summary.by_os.entry(value).or_default(),
            "tier" => summary.by_tier.entry(value).or_default(),
            "owner" => summary.by_owner.entry(value).or_default(),
            "cluster" => summary.by_cluster.entry(value).or_default(),
            _ => &mut summary.total,
        };
        match words::status(&cell.status) {
            ComplianceStatus::Compliant => counts.compliant = cell.hosts,
            ComplianceStatus::NonCompliant => counts.non_compliant = cell.hosts,
            ComplianceStatus::Unknown => counts.unknown = cell.hosts,
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

/// One decimal is as fine as anybody reads it. Nothing is no percentage of nothing: 0.
fn set_percent(counts: &mut ComplianceCounts) {
    let all = counts.compliant + counts.non_compliant + counts.unknown;
    counts.percent = match all {
        0 => 0.0,
        all => (counts.compliant as f64 * 1000.0 / all as f64).floor() / 10.0,
    };
}

pub(crate) async fn get_ci_compliance(app: &App, ci_id: &CiId) -> ApiResult<CiCompliance> {
    let mut conn = app.pool.acquire().await?;
    ci_compliance(&mut conn, ci_id, app.clock.now()).await
}

async fn ci_compliance(conn: &mut PgConnection, ci_id: &CiId, now: DateTime<Utc>) -> ApiResult<CiCompliance> {
    let name = [ci_id.to_string()];
    let host = store::hosts::find_hosts(conn, &name).await?.pop().ok_or_else(|| {
        ApiError::not_found(format!(
            "managed host `{ci_id}`: it is no active host or VM with an `os` tag in the CMDB"
        ))
    })?;
    let rows = store::compliance::list_results_of(conn, ci_id.as_str()).await?;
    let pending = store::compliance::list_pending_of(conn, &name, now).await?;
    let package_digest = store::compliance::find_package_digest(conn, ci_id.as_str()).await?;
    let worst = rows.iter().max_by_key(|row| badness(live_status(row, now)));
    let status = worst.map_or(ComplianceStatus::Unknown, |row| live_status(row, now));
    let reason = worst.map_or_else(|| NEVER_SCANNED.to_owned(), |row| reason(row, now));
    Ok(CiCompliance {
        ci_id: ci_id.clone(),
        os_type: host.os,
        compliance_status: status,
        reason,
        current_patch_level: worst.and_then(|row| row.current_level.clone()),
        target_patch_level: worst.and_then(|row| row.target_level.clone()),
        package_digest,
        last_scanned: host.last_scanned,
        last_patched: host.last_patched,
        reboot_pending: host.reboot_pending,
        pending_patches: pending.into_iter().map(pending_patch).collect(),
        policies: rows
            .iter()
            .filter(|row| row.policy_id.is_some())
            .map(|row| result(row, now))
            .collect::<ApiResult<_>>()?,
    })
}

/// The state of a CI as the CMDB keeps it, without the run that brought it about.
pub(crate) async fn patch_state(
    conn: &mut PgConnection,
    ci_id: &CiId,
    now: DateTime<Utc>,
) -> ApiResult<PatchState> {
    let state = ci_compliance(conn, ci_id, now).await?;
    Ok(PatchState {
        compliance_status: words::status_name(state.compliance_status).to_owned(),
        current_patch_level: state.current_patch_level,
        last_scanned: state.last_scanned,
        last_patched: state.last_patched,
        run_id: None,
    })
}

/// How many of these hosts are compliant.
pub(crate) async fn share(conn: &mut PgConnection, hosts: &[CiId]) -> ApiResult<ComplianceShare> {
    let ids: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let (compliant, _) = store::compliance::count_compliant(conn, &ids).await?;
    Ok(ComplianceShare { compliant, total: ids.len() as i64 })
}

/// Remembers when hosts were patched.
pub(crate) async fn record_patched(
    conn: &mut PgConnection,
    hosts: &[CiId],
    at: DateTime<Utc>,
) -> ApiResult<()> {
    let ids: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    store::hosts::record_patched(conn, &ids, at).await
}

/// One page of the export; `after` is the last row of the page before.
pub(crate) async fn list_rows(
    conn: &mut PgConnection,
    filter: &ResultFilter,
    after: Option<(String, i32)>,
    limit: i64,
    now: DateTime<Utc>,
) -> ApiResult<(Vec<ComplianceRow>, Option<(String, i32)>)> {
    let rows = store::compliance::list_results(conn, filter, after, limit).await?;
    let last = match rows.len() as i64 == limit {
        true => rows.last().map(|row| (row.ci_id.clone(), row.policy_no)),
        false => None,
    };
    Ok((rows.iter().map(|row| export_row(row, now)).collect::<ApiResult<_>>()?, last))
}

fn export_row(row: &ResultRow, now: DateTime<Utc>) -> ApiResult<ComplianceRow> {
    Ok(ComplianceRow {
        ci_id: CiId::new(&row.ci_id).map_err(ApiError::internal)?,
        policy_id: policy_id(row)?,
        os_type: row.os.clone(),
        env: row.env.clone(),
        compliance_status: live_status(row, now),
        reason: reason(row, now),
        current_patch_level: row.current_level.clone(),
        target_patch_level: row.target_level.clone(),
        pending: i64::from(row.pending),
        last_scanned: row.last_scanned,
        last_patched: row.last_patched,
    })
}

fn result(row: &ResultRow, now: DateTime<Utc>) -> ApiResult<PolicyCompliance> {
    let policy_id =
        policy_id(row)?.ok_or_else(|| ApiError::internal("a result without a policy is shown as one"))?;
    Ok(PolicyCompliance {
        policy_id,
        compliance_status: live_status(row, now),
        reason: reason(row, now),
        target_patch_level: row.target_level.clone(),
        current_patch_level: row.current_level.clone(),
        pending: i64::from(row.pending),
        last_scanned: row.last_scanned,
    })
}

fn policy_id(row: &ResultRow) -> ApiResult<Option<PolicyId>> {
    row.policy_id.as_deref().map(PolicyId::new).transpose().map_err(ApiError::internal)
}

const NEVER_SCANNED: &str = "never scanned";

/// The stored status, unless the scan behind it has become too old since it was stored.
fn live_status(row: &ResultRow, now: DateTime<Utc>) -> ComplianceStatus {
    match is_stale(row, now) {
        true => ComplianceStatus::Unknown,
        false => words::status(&row.status),
    }
}

fn is_stale(row: &ResultRow, now: DateTime<Utc>) -> bool {
    let most = TimeDelta::hours(i64::from(row.max_scan_age_hours));
    row.last_scanned.is_none_or(|scanned| scanned < now - most)
}

fn badness(status: ComplianceStatus) -> u8 {
    match status {
        ComplianceStatus::Compliant => 0,
        ComplianceStatus::Unknown => 1,
        ComplianceStatus::NonCompliant => 2,
    }
}

fn reason(row: &ResultRow, now: DateTime<Utc>) -> String {
    let Some(scanned) = row.last_scanned else { return NEVER_SCANNED.to_owned() };
    if is_stale(row, now) {
        return format!(
            "last scanned {} h ago, longer than the {} h that are allowed",
            (now - scanned).num_hours(),
            row.max_scan_age_hours
        );
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
    if row.reboot_pending {
        text.push_str("; the host waits for a reboot");
    }
    text
}

fn pending_patch(row: PendingOfHost) -> PendingPatch {
    PendingPatch {
        package: row.package,
        installed: row.installed,
        fixed: row.fixed,
        installable: row.candidate,
        advisory_id: row.advisory_id,
        cve_ids: row.cves,
        severity: words::severity(&row.severity),
        exploited: row.exploited,
        published: row.published,
        due: row.due,
        state: words::package_state(&row.state),
        rule: row.rule,
    }
}
