//! Compliance by day: the roll-ups, recorded.

use std::collections::BTreeMap;

use advisories::os_key;
use api_types::{
    page::Page,
    patch::{ComplianceCounts, ComplianceDay, ComplianceStatus},
};
use chrono::{DateTime, Days, Months, NaiveDate, Utc};
use service_kit::{
    ApiResult,
    error::chain,
    page::{PageRequest, page},
};

use super::compliance::{UNTAGGED, set_percent};
use crate::{
    App,
    store::{self, history::HistoryRow},
};

/// How long days are kept.
const KEPT: Months = Months::new(13);

pub(crate) async fn try_record(app: &App) {
    if let Err(error) = record(app, app.clock.now()).await {
        tracing::warn!("cannot record the compliance of this day now; retrying: {}", chain(&error));
    }
}

/// Writes the roll-ups of the current day, and deletes days that are too old.
async fn record(app: &App, now: DateTime<Utc>) -> ApiResult<()> {
    let today = now.date_naive();
    let mut transaction = app.pool.begin().await?;
    // Another replica is at it.
    if !store::history::try_lock(&mut transaction).await? {
        return Ok(());
    }
    let mut counts: BTreeMap<(String, String), ComplianceCounts> = BTreeMap::new();
    for cell in store::rollups::list_rollup(&mut transaction).await? {
        let value = match (cell.dimension.as_str(), cell.value) {
            ("total", value) => value,
            (_, value) if value.is_empty() => UNTAGGED.to_owned(),
            ("os", value) => os_key(&value),
            (_, value) => value,
        };
        let counts = counts.entry((cell.dimension, value)).or_default();
        match cell.status {
            ComplianceStatus::Compliant => counts.compliant += cell.hosts,
            ComplianceStatus::NonCompliant => counts.non_compliant += cell.hosts,
            ComplianceStatus::Unknown => counts.unknown += cell.hosts,
        }
    }
    let rows: Vec<HistoryRow> = counts
        .into_iter()
        .map(|((dimension, value), counts)| HistoryRow {
            day: today,
            dimension,
            value,
            compliant: counts.compliant,
            non_compliant: counts.non_compliant,
            unknown: counts.unknown,
        })
        .collect();
    store::history::replace_day(&mut transaction, today, &rows).await?;
    store::advisory_history::record_day(&mut transaction, today).await?;
    let oldest = today.checked_sub_months(KEPT).unwrap_or(NaiveDate::MIN);
    store::history::delete_before(&mut transaction, oldest).await?;
    store::advisory_history::delete_before(&mut transaction, oldest).await?;
    transaction.commit().await?;
    Ok(())
}

/// Which days are listed, of which part of the fleet.
#[derive(Debug, Clone)]
pub(crate) struct HistoryFilter {
    pub days: u32,
    pub dimension: String,
    pub value: Option<String>,
}

/// Newest first.
pub(crate) async fn list_history(
    app: &App,
    filter: &HistoryFilter,
    request: &PageRequest,
) -> ApiResult<Page<ComplianceDay>> {
    let (limit, after) = (request.limit()?, request.after::<(NaiveDate, String)>()?);
    let today = app.clock.now().date_naive();
    let since = today.checked_sub_days(Days::new(u64::from(filter.days - 1))).unwrap_or(NaiveDate::MIN);
    let value = match (filter.dimension.as_str(), &filter.value) {
        ("os", Some(os)) => Some(os_key(os)),
        (_, value) => value.clone(),
    };
    let mut conn = app.pool.acquire().await?;
    let rows =
        store::history::list_days(&mut conn, &filter.dimension, value.as_deref(), since, after, limit + 1)
            .await?;
    Ok(page(rows, limit, |row| (row.day, row.value.clone())).map(day))
}

fn day(row: HistoryRow) -> ComplianceDay {
    let HistoryRow { day, dimension, value, compliant, non_compliant, unknown } = row;
    let mut counts = ComplianceCounts { compliant, non_compliant, unknown, percent: 0.0 };
    set_percent(&mut counts);
    ComplianceDay { day, dimension, value, counts }
}
