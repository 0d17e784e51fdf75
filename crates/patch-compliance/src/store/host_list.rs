//! The list of hosts: an entry per active host, ordered within each combination of what lists filter by.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use domain::{
    compliance::{ComplianceStatus, Severity, UnknownCause},
    restart::StaleServices,
};
use service_kit::ApiResult;
use sqlx::{PgConnection, types::Json};

use super::text_column::TextColumn;

/// A combination of what lists filter by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellKey {
    pub env: String,
    pub os_key: String,
    pub status: ComplianceStatus,
    /// The worst of the pending fixes; `None` if nothing is pending.
    pub severity: Option<Severity>,
    pub exploited: bool,
}

/// A host in the list.
#[derive(Debug, Clone)]
pub struct ListEntry {
    pub host_id: i32,
    pub ci_id: String,
    pub cell: CellKey,
    pub pending: i32,
    pub exploited: i32,
    pub next_due: Option<DateTime<Utc>>,
}

impl ListEntry {
    fn due(&self) -> i64 {
        self.next_due.map_or(i64::MAX, |due| due.timestamp())
    }

    fn pending_rank(&self) -> i64 {
        -i64::from(self.pending)
    }
}

/// The numbers of these combinations. New ones get a number.
pub async fn number_cells(
    conn: &mut PgConnection,
    keys: &BTreeSet<CellKey>,
) -> ApiResult<HashMap<CellKey, i32>> {
    let keys: Vec<&CellKey> = keys.iter().collect();
    let mut numbers = find_cells(conn, &keys).await?;
    let missing: Vec<&CellKey> = keys.into_iter().filter(|key| !numbers.contains_key(*key)).collect();
    if !missing.is_empty() {
        let columns = columns(&missing);
        sqlx::query!(
            "INSERT INTO patch.host_cells (env, os_key, status, severity, exploited)
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[]) ON CONFLICT DO NOTHING",
            &columns.0,
            &columns.1,
            &columns.2,
            &columns.3 as &[Option<String>],
            &columns.4,
        )
        .execute(&mut *conn)
        .await?;
        numbers.extend(find_cells(conn, &missing).await?);
    }
    Ok(numbers)
}

type Columns = (Vec<String>, Vec<String>, Vec<String>, Vec<Option<String>>, Vec<bool>);

fn columns(keys: &[&CellKey]) -> Columns {
    (
        keys.iter().map(|key| key.env.clone()).collect(),
        keys.iter().map(|key| key.os_key.clone()).collect(),
        keys.iter().map(|key| key.status.name().to_owned()).collect(),
        keys.iter().map(|key| key.severity.map(|severity| severity.name().to_owned())).collect(),
        keys.iter().map(|key| key.exploited).collect(),
    )
}

async fn find_cells(conn: &mut PgConnection, keys: &[&CellKey]) -> ApiResult<HashMap<CellKey, i32>> {
    let columns = columns(keys);
    let rows = sqlx::query!(
        r#"SELECT k.place AS "place!", c.no
           FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[]) WITH ORDINALITY
               AS k (env, os_key, status, severity, exploited, place)
           JOIN patch.host_cells c ON c.env = k.env AND c.os_key = k.os_key AND c.status = k.status
               AND coalesce(c.severity, '') = coalesce(k.severity, '') AND c.exploited = k.exploited"#,
        &columns.0,
        &columns.1,
        &columns.2,
        &columns.3 as &[Option<String>],
        &columns.4,
    )
    .fetch_all(conn)
    .await?;
    let key_at = |place: i64| usize::try_from(place - 1).ok().and_then(|place| keys.get(place));
    Ok(rows.into_iter().filter_map(|row| Some(((*key_at(row.place)?).clone(), row.no))).collect())
}

/// Writes the entries that differ from the stored ones. Each comes with the number of its combination.
pub async fn upsert_entries(conn: &mut PgConnection, entries: &[(i32, ListEntry)]) -> ApiResult<()> {
    let hosts: Vec<i32> = entries.iter().map(|(_, entry)| entry.host_id).collect();
    let stored = sqlx::query!(
        "SELECT host_id, cell_no, exploited, pending_rank, due FROM patch.host_list WHERE host_id = ANY($1)",
        &hosts
    )
    .fetch_all(&mut *conn)
    .await?;
    let stored: HashMap<i32, (i32, i32, i64, i64)> = stored
        .into_iter()
        .map(|row| (row.host_id, (row.cell_no, row.exploited, row.pending_rank, row.due)))
        .collect();
    let changed: Vec<&(i32, ListEntry)> = entries
        .iter()
        .filter(|(cell_no, entry)| {
            stored.get(&entry.host_id)
                != Some(&(*cell_no, entry.exploited, entry.pending_rank(), entry.due()))
        })
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO patch.host_list (host_id, cell_no, ci_id, exploited, pending_rank, due)
         SELECT * FROM unnest($1::integer[], $2::integer[], $3::text[], $4::integer[], $5::bigint[], $6::bigint[])
         ON CONFLICT (host_id) DO UPDATE SET cell_no = excluded.cell_no, exploited = excluded.exploited,
             pending_rank = excluded.pending_rank, due = excluded.due",
        &changed.iter().map(|(_, entry)| entry.host_id).collect::<Vec<_>>(),
        &changed.iter().map(|(cell_no, _)| *cell_no).collect::<Vec<_>>(),
        &changed.iter().map(|(_, entry)| entry.ci_id.clone()).collect::<Vec<_>>(),
        &changed.iter().map(|(_, entry)| entry.exploited).collect::<Vec<_>>(),
        &changed.iter().map(|(_, entry)| entry.pending_rank()).collect::<Vec<_>>(),
        &changed.iter().map(|(_, entry)| entry.due()).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn delete_entries(conn: &mut PgConnection, hosts: &[i32]) -> ApiResult<()> {
    if hosts.is_empty() {
        return Ok(());
    }
    sqlx::query!("DELETE FROM patch.host_list WHERE host_id = ANY($1)", hosts).execute(conn).await?;
    Ok(())
}

/// Queues the active hosts that are not in the list, or with another status. Reads every host.
pub async fn mark_missing(conn: &mut PgConnection) -> ApiResult<u64> {
    let marked = sqlx::query!(
        "INSERT INTO patch.due_hosts
         SELECT h.id FROM patch.hosts h JOIN patch.host_scans s ON s.host_id = h.id
         LEFT JOIN (SELECT l.host_id, c.status FROM patch.host_list l JOIN patch.host_cells c ON c.no = l.cell_no) l ON l.host_id = h.id
         WHERE h.active AND l.status IS DISTINCT FROM s.status ON CONFLICT DO NOTHING"
    )
    .execute(conn)
    .await?;
    Ok(marked.rows_affected())
}

/// What a list is filtered by. An empty list means all.
#[derive(Debug, Clone, Default)]
pub struct HostFilter {
    pub statuses: Vec<ComplianceStatus>,
    pub env: Option<String>,
    /// Canonical spelling.
    pub os: Option<String>,
    pub severities: Vec<Severity>,
    pub exploited: Option<bool>,
}

/// A combination with its number.
#[derive(Debug, Clone)]
pub struct Cell {
    pub no: i32,
    pub severity: Option<Severity>,
    pub exploited: bool,
}

pub async fn list_cells(conn: &mut PgConnection, filter: &HostFilter) -> ApiResult<Vec<Cell>> {
    let statuses: Vec<String> = filter.statuses.iter().map(|status| status.name().to_owned()).collect();
    let severities: Vec<String> =
        filter.severities.iter().map(|severity| severity.name().to_owned()).collect();
    let rows = sqlx::query!(
        r#"SELECT no, severity AS "severity: TextColumn<Severity>", exploited FROM patch.host_cells
           WHERE (cardinality($1::text[]) = 0 OR status = ANY($1)) AND ($2::text IS NULL OR env = $2) AND ($3::text IS NULL OR os_key = $3)
             AND (cardinality($4::text[]) = 0 OR severity = ANY($4)) AND ($5::boolean IS NULL OR exploited = $5)"#,
        &statuses,
        filter.env,
        filter.os,
        &severities,
        filter.exploited
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Cell {
            no: row.no,
            severity: row.severity.map(|column| column.0),
            exploited: row.exploited,
        })
        .collect())
}

/// A place in the order of a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Due date or negative number of pending fixes; 0 in a list by name.
    pub number: i64,
    /// Empty except in a list by name.
    pub name: String,
    pub host_id: i32,
}

impl Place {
    pub const START: Self = Self { number: i64::MIN, name: String::new(), host_id: 0 };
}

/// The columns that a list is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Name,
    Due,
    Pending,
}

/// Up to `quota` hosts of each combination after a place, each with its combination.
pub async fn list_hosts(
    conn: &mut PgConnection,
    order: Order,
    cells: &[i32],
    after: &Place,
    quota: i32,
) -> ApiResult<Vec<(i32, Place)>> {
    let order = match order {
        Order::Name => "name",
        Order::Due => "due",
        Order::Pending => "pending",
    };
    let rows = sqlx::query!(
        r#"SELECT of_cell AS "of_cell!", number AS "number!", name AS "name!", host AS "host!"
           FROM patch.list_hosts($1, $2, $3, $4, $5, $6)"#,
        order,
        cells,
        after.number,
        after.name,
        after.host_id,
        quota
    )
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.of_cell, Place { number: row.number, name: row.name, host_id: row.host }))
        .collect())
}

/// The next active hosts by name.
pub async fn list_all_hosts(conn: &mut PgConnection, after: &str, limit: i64) -> ApiResult<Vec<Place>> {
    let rows = sqlx::query!(
        "SELECT id, ci_id FROM patch.hosts WHERE active AND ci_id > $1 ORDER BY ci_id LIMIT $2",
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| Place { number: 0, name: row.ci_id, host_id: row.id }).collect())
}

/// A listed host with one of its results; a host without results has one record.
#[derive(Debug, Clone)]
pub struct HostRow {
    pub host_id: i32,
    pub ci_id: String,
    pub os: String,
    pub os_key: String,
    pub env: String,
    pub last_scanned: Option<DateTime<Utc>>,
    pub last_patched: Option<DateTime<Utc>>,
    pub reboot_pending: bool,
    pub stale_services: Json<StaleServices>,
    pub listed_exploited: i32,
    pub listed_pending_rank: i64,
    pub listed_due: i64,
    pub severity: Option<TextColumn<Severity>>,
    pub policy_no: Option<i32>,
    pub policy_id: Option<String>,
    pub status: Option<TextColumn<ComplianceStatus>>,
    pub target_level: Option<String>,
    pub current_level: Option<String>,
    pub pending: Option<i32>,
    pub excepted: Option<i32>,
    pub left_out: Option<i32>,
    pub cause: Option<TextColumn<UnknownCause>>,
    pub cause_release: Option<String>,
    pub unread: Option<i32>,
    pub max_scan_age_hours: Option<i32>,
    pub max_feed_age_hours: Option<i32>,
}

/// In no particular order.
pub async fn list_rows(conn: &mut PgConnection, hosts: &[i32]) -> ApiResult<Vec<HostRow>> {
    let rows = sqlx::query_as!(
        HostRow,
        r#"SELECT h.id AS host_id, h.ci_id, h.os, h.os_key, h.env, s.last_scanned, s.last_patched, s.reboot_pending,
               s.stale_services AS "stale_services: Json<StaleServices>",
               coalesce(l.exploited, 0) AS "listed_exploited!", coalesce(l.pending_rank, 0) AS "listed_pending_rank!",
               coalesce(l.due, 9223372036854775807) AS "listed_due!", lc.severity AS "severity?: TextColumn<Severity>",
               c.policy_no AS "policy_no?", p.id AS "policy_id?", c.status AS "status?: TextColumn<ComplianceStatus>", c.target_level,
               c.current_level, c.pending AS "pending?", c.excepted AS "excepted?", c.left_out AS "left_out?", c.cause AS "cause: TextColumn<UnknownCause>", c.cause_release,
               c.unread AS "unread?", p.max_scan_age_hours AS "max_scan_age_hours?",
               p.max_feed_age_hours AS "max_feed_age_hours?"
           FROM patch.hosts h JOIN patch.host_scans s ON s.host_id = h.id
           LEFT JOIN patch.host_list l ON l.host_id = h.id LEFT JOIN patch.host_cells lc ON lc.no = l.cell_no
           LEFT JOIN patch.compliance c ON c.host_id = h.id LEFT JOIN patch.policies p ON p.no = c.policy_no
           WHERE h.id = ANY($1) AND h.active"#,
        hosts
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}
