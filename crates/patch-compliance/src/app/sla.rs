//! Service levels: what is overdue, how long fixes took, how long hosts were exposed.

use std::collections::{BTreeMap, btree_map::Entry};

use advisories::{os_key, sla::SlaPolicy};
use api_types::{
    access::Outcome,
    patch::{ServiceLevels, Timeliness, TimelinessReport},
};
use chrono::{Datelike, Months, NaiveDate};
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors, audit,
    second_person::{self, Weakening},
};

use super::{compliance::UNTAGGED, package_set_matching};
use crate::{
    App,
    store::{self, sla::Remediated},
};

/// Longest time to fix that can be set.
const MAX_DAYS: u32 = 3650;
/// The name of the levels in the audit log.
const SERVICE_LEVELS: &str = "service-levels";
const SECONDS_OF_A_DAY: f64 = 86_400.0;

pub(crate) async fn get_service_levels(app: &App) -> ApiResult<ServiceLevels> {
    let mut conn = app.pool.acquire().await?;
    Ok(on_the_wire(store::sla::get_service_levels(&mut conn).await?))
}

fn on_the_wire(levels: SlaPolicy) -> ServiceLevels {
    let SlaPolicy { exploited_days, critical_days, high_days, other_days } = levels;
    ServiceLevels { exploited_days, critical_days, high_days, other_days }
}

/// Changes the levels and every due date. Longer times wait for a second person.
pub(crate) async fn set_service_levels(
    app: &App,
    caller: &Caller,
    wanted: ServiceLevels,
) -> ApiResult<Outcome<ServiceLevels>> {
    let ServiceLevels { exploited_days, critical_days, high_days, other_days } = wanted;
    let mut errors = FieldErrors::default();
    for (pointer, days) in [
        ("/exploited_days", exploited_days),
        ("/critical_days", critical_days),
        ("/high_days", high_days),
        ("/other_days", other_days),
    ] {
        errors.require((1..=MAX_DAYS).contains(&days), pointer, format!("must be 1 to {MAX_DAYS} days"));
    }
    errors.finish()?;
    let mut transaction = app.pool.begin().await?;
    store::lock_results_for_change(&mut transaction).await?;
    let stored = store::sla::get_service_levels(&mut transaction).await?;
    let levels = SlaPolicy { exploited_days, critical_days, high_days, other_days };
    let write = Weakening {
        operation: "set_service_levels",
        object: SERVICE_LEVELS.to_owned(),
        weakens: stored.weakened_by(&levels),
        body: Some(serde_json::to_value(wanted)?),
        replaces: serde_json::to_value(stored)?,
    };
    if let Some(proposal) = second_person::ask(&mut transaction, caller, app.clock.now(), write).await? {
        transaction.commit().await?;
        return Ok(Outcome::Proposed(Box::new(proposal)));
    }
    let before = on_the_wire(stored);
    store::sla::set_service_levels(&mut transaction, &levels).await?;
    let record = audit::Record::new("set_service_levels", SERVICE_LEVELS).before(&before).after(&wanted);
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    package_set_matching::try_recompute_due(app).await;
    Ok(Outcome::Done(wanted))
}

pub(crate) async fn get_timeliness(app: &App, months: u32) -> ApiResult<TimelinessReport> {
    if !(1..=120).contains(&months) {
        return Err(ApiError::invalid("months", "must be 1 to 120"));
    }
    let now = app.clock.now();
    let this_month = NaiveDate::from_ymd_opt(now.year(), now.month(), 1).unwrap_or_default();
    let since = this_month - Months::new(months - 1);
    let mut conn = app.pool.acquire().await?;
    let mut report = TimelinessReport {
        as_of: now,
        repairs_since: since,
        service_levels: on_the_wire(store::sla::get_service_levels(&mut conn).await?),
        total: Timeliness::default(),
        by_policy: Default::default(),
        by_env: Default::default(),
        by_os: Default::default(),
        by_tier: Default::default(),
        by_owner: Default::default(),
        by_cluster: Default::default(),
    };
    for open in store::sla::list_open(&mut conn, now).await? {
        let place = place_of(&mut report, &open.dimension, open.value);
        place.hosts += open.hosts;
        place.hosts_in_breach += open.hosts_in_breach;
        place.open_cve_days = rounded(place.open_cve_days + days(open.cve_seconds));
    }
    for remediated in merge_releases(store::sla::list_remediations(&mut conn, since).await?) {
        let place = place_of(&mut report, &remediated.dimension, remediated.value);
        place.fixes_installed = remediated.fixes;
        place.fixes_installed_late = remediated.late;
        place.closed_cve_days = days(remediated.cve_seconds);
        place.mean_days_to_patch = (remediated.fixes > 0)
            .then(|| rounded(remediated.seconds as f64 / remediated.fixes as f64 / SECONDS_OF_A_DAY));
    }
    Ok(report)
}

/// Several spellings of one release become one row.
fn merge_releases(rows: Vec<Remediated>) -> Vec<Remediated> {
    let mut merged: BTreeMap<(String, String), Remediated> = BTreeMap::new();
    for mut row in rows {
        if row.dimension == "os" {
            row.value = os_key(&row.value);
        }
        match merged.entry((row.dimension.clone(), row.value.clone())) {
            Entry::Vacant(place) => {
                place.insert(row);
            }
            Entry::Occupied(mut place) => {
                let sum = place.get_mut();
                sum.fixes += row.fixes;
                sum.late += row.late;
                sum.seconds += row.seconds;
                sum.cve_seconds += row.cve_seconds;
            }
        }
    }
    merged.into_values().collect()
}

fn place_of<'a>(report: &'a mut TimelinessReport, dimension: &str, value: String) -> &'a mut Timeliness {
    let values = match dimension {
        "policy" => &mut report.by_policy,
        "env" => &mut report.by_env,
        "os" => &mut report.by_os,
        "tier" => &mut report.by_tier,
        "owner" => &mut report.by_owner,
        "cluster" => &mut report.by_cluster,
        _ => return &mut report.total,
    };
    let value = if dimension == "os" { os_key(&value) } else { value };
    values.entry(if value.is_empty() { UNTAGGED.to_owned() } else { value }).or_default()
}

fn days(seconds: i64) -> f64 {
    rounded(seconds as f64 / SECONDS_OF_A_DAY)
}

/// One decimal.
fn rounded(days: f64) -> f64 {
    (days * 10.0).round() / 10.0
}
