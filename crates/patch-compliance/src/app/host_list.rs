//! The list of hosts by compliance.

use std::collections::{BTreeMap, HashMap};

use api_types::{
    page::Page,
    patch::{ComplianceStatus, HostCompliance, HostSort, Severity, UnknownCause},
};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use serde::{Deserialize, Serialize};
use service_kit::{
    ApiError, ApiResult,
    page::{PageRequest, page},
};
use sqlx::PgConnection;

use super::{
    compliance::{NEVER_SCANNED, live_status, reason, unknown_cause},
    criteria_cache::{CriteriaCache, Revision},
};
use crate::{
    App,
    store::{
        self,
        compliance::ResultRow,
        host_list::{Cell, HostFilter, HostRow, Order, Place},
    },
};

/// Where a page begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Cursor {
    sort: HostSort,
    rank: i32,
    number: i64,
    name: String,
    host_id: i32,
}

/// A host of the page with its place.
type Ranked = (i32, Place);

pub(crate) async fn list_hosts(
    app: &App,
    filter: &HostFilter,
    sort: HostSort,
    request: &PageRequest,
) -> ApiResult<Page<HostCompliance>> {
    let limit = request.limit()?;
    let after = request.after::<Cursor>()?;
    if after.as_ref().is_some_and(|cursor| cursor.sort != sort) {
        return Err(ApiError::malformed(
            "`page_token` is of a list in another order; start again without it",
        ));
    }
    let (rank, place) = after.map_or((i32::MIN, Place::START), |cursor| {
        (cursor.rank, Place { number: cursor.number, name: cursor.name, host_id: cursor.host_id })
    });
    let mut conn = app.reads.acquire().await?;
    let found =
        read_page(&mut conn, &app.criteria, filter, sort, (rank, place), limit, app.clock.now()).await;
    conn.release(found)
}

async fn read_page(
    conn: &mut PgConnection,
    criteria: &CriteriaCache,
    filter: &HostFilter,
    sort: HostSort,
    after: Ranked,
    limit: i64,
    now: DateTime<Utc>,
) -> ApiResult<Page<HostCompliance>> {
    let is_unfiltered = filter.statuses.is_empty()
        && filter.severities.is_empty()
        && (&filter.env, &filter.os, filter.exploited) == (&None, &None, None);
    let ranked = if is_unfiltered && sort == HostSort::Name {
        let places = store::host_list::list_all_hosts(conn, &after.1.name, limit + 1).await?;
        places.into_iter().map(|place| (0, place)).collect()
    } else {
        let cells = store::host_list::list_cells(conn, filter).await?;
        next_hosts(conn, &cells, sort, &after, usize::try_from(limit + 1).unwrap_or(0)).await?
    };
    let cursor = |(rank, place): &Ranked| Cursor {
        sort,
        rank: *rank,
        number: place.number,
        name: place.name.clone(),
        host_id: place.host_id,
    };
    let page = page(ranked, limit, cursor);
    let ids: Vec<i32> = page.items.iter().map(|(_, place)| place.host_id).collect();
    let revision = criteria.current(conn).await?;
    let mut rows: HashMap<i32, Vec<HostRow>> = HashMap::new();
    for row in store::host_list::list_rows(conn, &ids).await? {
        rows.entry(row.host_id).or_default().push(row);
    }
    let shown = ids.iter().filter_map(|id| rows.remove(id)).map(|rows| shown(&revision, rows, now));
    Ok(Page { items: shown.collect::<ApiResult<_>>()?, next_page_token: page.next_page_token })
}

/// The next hosts of these combinations. In a list by severity, the worst combinations come first.
async fn next_hosts(
    conn: &mut PgConnection,
    cells: &[Cell],
    sort: HostSort,
    after: &Ranked,
    wanted: usize,
) -> ApiResult<Vec<Ranked>> {
    let order = match sort {
        HostSort::Name => Order::Name,
        HostSort::Severity | HostSort::Due => Order::Due,
        HostSort::Pending => Order::Pending,
    };
    let mut groups: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for cell in cells {
        let rank = match sort {
            HostSort::Name => 0,
            HostSort::Severity => rank(cell),
            // Hosts without pending fixes are last in these orders, so that they need not be merged with the others.
            HostSort::Due | HostSort::Pending => i32::from(cell.severity.is_none()),
        };
        groups.entry(rank).or_default().push(cell.no);
    }
    let mut found: Vec<Ranked> = Vec::new();
    for (rank, cells) in groups.range(after.0..) {
        if found.len() >= wanted {
            break;
        }
        let place = if *rank == after.0 { &after.1 } else { &Place::START };
        let places = merged(conn, order, cells, place, wanted - found.len()).await?;
        found.extend(places.into_iter().map(|place| (*rank, place)));
    }
    Ok(found)
}

/// Lowest first: exploited, then by severity.
fn rank(cell: &Cell) -> i32 {
    let severity = match cell.severity {
        None => 0,
        Some(Severity::None) => 1,
        Some(Severity::Unknown) => 2,
        Some(Severity::Low) => 3,
        Some(Severity::Medium) => 4,
        Some(Severity::High) => 5,
        Some(Severity::Critical) => 6,
    };
    -(severity + if cell.exploited { 10 } else { 0 })
}

/// The next hosts of all combinations in one order. A few of each are read first, and more only if those do not suffice.
async fn merged(
    conn: &mut PgConnection,
    order: Order,
    cells: &[i32],
    after: &Place,
    wanted: usize,
) -> ApiResult<Vec<Place>> {
    let mut quota = (4 + 2 * wanted / cells.len().max(1)).min(wanted);
    loop {
        let limit = i32::try_from(quota).unwrap_or(i32::MAX);
        let rows = store::host_list::list_hosts(conn, order, cells, after, limit).await?;
        let (places, is_complete) = first_places(rows, quota, wanted);
        if is_complete || quota >= wanted {
            return Ok(places);
        }
        quota = (quota * 4).min(wanted);
    }
}

/// The first places of all combinations, and whether they are certainly the first: a combination with `quota` rows may have
/// more right after its last one.
fn first_places(rows: Vec<(i32, Place)>, quota: usize, wanted: usize) -> (Vec<Place>, bool) {
    let mut last_of: HashMap<i32, (usize, Place)> = HashMap::new();
    for (cell, place) in &rows {
        let (count, last) = last_of.entry(*cell).or_insert((0, place.clone()));
        *count += 1;
        if place > last {
            *last = place.clone();
        }
    }
    let bound = last_of.into_values().filter(|(count, _)| *count >= quota).map(|(_, last)| last).min();
    let mut places: Vec<Place> = rows.into_iter().map(|(_, place)| place).collect();
    places.sort_unstable();
    let certain = bound.map_or(usize::MAX, |bound| places.partition_point(|place| *place <= bound));
    places.truncate(wanted);
    (places, certain >= wanted)
}

/// A host with its results.
fn shown(revision: &Revision, rows: Vec<HostRow>, now: DateTime<Utc>) -> ApiResult<HostCompliance> {
    let Some(host) = rows.first().cloned() else {
        return Err(ApiError::internal("a host of a list has no row"));
    };
    let results: Vec<ResultRow> = rows.into_iter().filter_map(result_row).collect();
    let worst = results.iter().max_by_key(|row| live_status(row, now));
    Ok(HostCompliance {
        ci_id: CiId::new(&host.ci_id).map_err(ApiError::internal)?,
        compliance_status: worst.map_or(ComplianceStatus::Unknown, |row| live_status(row, now)),
        reason: worst.map_or_else(|| NEVER_SCANNED.to_owned(), |row| reason(revision, row, now)),
        unknown_cause: worst.map_or(Some(UnknownCause::NeverScanned), |row| unknown_cause(row, now)),
        env: host.env,
        os: host.os_key,
        current_patch_level: worst.and_then(|row| row.current_level.clone()),
        pending: -host.listed_pending_rank,
        worst_severity: host.severity.map(|column| column.0),
        exploited: i64::from(host.listed_exploited),
        next_due: DateTime::from_timestamp(host.listed_due, 0),
        last_scanned: host.last_scanned,
    })
}

/// `None` for a host without results, and for the result of a deleted policy.
fn result_row(row: HostRow) -> Option<ResultRow> {
    let policy_no = row.policy_no?;
    if row.policy_id.is_none() && policy_no != 0 {
        return None;
    }
    Some(ResultRow {
        ci_id: row.ci_id,
        os: row.os,
        os_key: row.os_key,
        env: row.env,
        policy_id: row.policy_id,
        policy_no,
        status: row.status?.0,
        target_level: row.target_level,
        current_level: row.current_level,
        pending: row.pending?,
        excepted: row.excepted?,
        left_out: row.left_out.unwrap_or_default(),
        cause: row.cause,
        cause_release: row.cause_release,
        unread: row.unread.unwrap_or_default(),
        max_feed_age_hours: row.max_feed_age_hours,
        max_scan_age_hours: row.max_scan_age_hours,
        last_scanned: row.last_scanned,
        last_patched: row.last_patched,
        reboot_pending: row.reboot_pending,
        stale_services: row.stale_services.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: i64) -> Place {
        Place { number, ..Place::START }
    }

    #[test]
    fn worst_combinations_come_first() {
        let cell = |severity, exploited| Cell { no: 1, severity, exploited };
        let mut cells = [
            cell(None, false),
            cell(Some(Severity::Critical), false),
            cell(Some(Severity::Low), true),
            cell(Some(Severity::High), false),
        ];
        cells.sort_by_key(rank);
        let order = cells.map(|cell| (cell.severity, cell.exploited));
        assert_eq!(
            order,
            [
                (Some(Severity::Low), true),
                (Some(Severity::Critical), false),
                (Some(Severity::High), false),
                (None, false)
            ]
        );
    }

    #[test]
    fn places_behind_a_full_combination_are_not_certain() {
        let rows = vec![(1, place(1)), (1, place(2)), (2, place(5)), (3, place(9))];
        let (places, is_complete) = first_places(rows.clone(), 2, 3);
        assert_eq!((places.len(), is_complete), (3, false), "combination 1 may have a 3 and a 4");
        assert!(first_places(rows.clone(), 2, 2).1);
        assert!(first_places(rows, 3, 4).1, "no combination has more");
    }
}
