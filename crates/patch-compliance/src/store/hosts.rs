//! Hosts as the CMDB described them last, and their last scans.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use domain::{compliance::ComplianceStatus, ids::CiId, restart::StaleServices, selector::Tags};
use serde_json::Value;
use service_kit::{ApiError, ApiResult};
use sqlx::{PgConnection, types::Json};

use super::text_column::TextColumn;

/// Up to this many different scans are written one after the other.
const MAX_SINGLE_SCANS: usize = 8;

/// A host or VM of the CMDB.
#[derive(Debug, Clone)]
pub struct HostRecord {
    pub ci_id: String,
    pub os: String,
    pub os_key: String,
    pub driver: String,
    pub tags: BTreeMap<String, String>,
}

/// A host and its last scan.
#[derive(Debug, Clone)]
pub struct Host {
    pub id: i32,
    pub ci_id: String,
    /// Digest of its package set.
    pub digest: Option<Vec<u8>>,
    pub status: ComplianceStatus,
    pub scan_id: Option<String>,
    pub last_scanned: Option<DateTime<Utc>>,
    pub reboot_pending: bool,
    pub stale_services: Json<StaleServices>,
    pub boot_id: Option<String>,
    /// Packages whose installed version the host's repositories still offer.
    pub returnable: Json<Vec<String>>,
    pub text_digest: Option<Vec<u8>>,
}

/// What shows whether a host pushes the same inventory again.
#[derive(Debug, Clone)]
pub struct HostText {
    pub id: i32,
    pub ci_id: String,
    /// Digest of the text of its last inventory, if it was pushed.
    pub text_digest: Option<Vec<u8>>,
    pub status: ComplianceStatus,
    pub scan_id: Option<String>,
    pub last_scanned: Option<DateTime<Utc>>,
}

/// A host that was scanned and had not changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Touch {
    pub at: DateTime<Utc>,
    pub scan_id: Option<String>,
    pub host_id: i32,
}

/// The scan of a host.
#[derive(Debug, Clone)]
pub struct HostScan {
    pub host_id: i32,
    pub set_no: i32,
    pub scan_id: Option<String>,
    pub scanned_at: DateTime<Utc>,
    pub reboot_pending: bool,
    pub stale_services: StaleServices,
    pub boot_id: Option<String>,
    /// Packages whose installed version the host's repositories still offer.
    pub returnable: Vec<String>,
    /// Digest of the inventory's text, if there was one.
    pub text_digest: Option<Vec<u8>>,
}

/// A stored host, active or not.
#[derive(Debug, Clone)]
pub struct KnownHost {
    pub id: i32,
    pub ci_id: String,
    pub active: bool,
    pub driver: String,
    pub os_key: String,
    pub tags: Json<Tags>,
    pub status: ComplianceStatus,
    pub findings: Vec<i32>,
}

/// Locks these hosts until the transaction ends. A transaction that changes a host, its results or its counters has
/// locked it; all lock in the order of numbers.
pub async fn lock_hosts(conn: &mut PgConnection, hosts: &[i32]) -> ApiResult<()> {
    sqlx::query!(
        "SELECT host_id FROM patch.host_scans WHERE host_id = ANY($1) ORDER BY host_id FOR UPDATE",
        hosts
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

/// Numbers of the known CIs among these, active or not.
pub async fn list_host_nos(conn: &mut PgConnection, ci_ids: &[String]) -> ApiResult<Vec<i32>> {
    let ids = sqlx::query_scalar!("SELECT id FROM patch.hosts WHERE ci_id = ANY($1) ORDER BY id", ci_ids)
        .fetch_all(conn)
        .await?;
    Ok(ids)
}

/// The CI ids of these hosts. A number is never reused.
pub async fn list_ci_ids(conn: &mut PgConnection, hosts: &[i32]) -> ApiResult<Vec<(i32, CiId)>> {
    let rows =
        sqlx::query!("SELECT id, ci_id FROM patch.hosts WHERE id = ANY($1)", hosts).fetch_all(conn).await?;
    rows.into_iter().map(|row| Ok((row.id, CiId::new(row.ci_id).map_err(ApiError::internal)?))).collect()
}

/// Numbers of the active hosts among these CIs.
pub async fn list_active(conn: &mut PgConnection, ci_ids: &[String]) -> ApiResult<Vec<i32>> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM patch.hosts WHERE active AND ci_id = ANY($1) ORDER BY id",
        ci_ids
    )
    .fetch_all(conn)
    .await?;
    Ok(ids)
}

pub async fn list_known(conn: &mut PgConnection, hosts: &[i32]) -> ApiResult<Vec<KnownHost>> {
    let hosts = sqlx::query_as!(
        KnownHost,
        r#"SELECT h.id, h.ci_id, h.active, h.driver, h.os_key, h.tags AS "tags: Json<Tags>", s.status AS "status: TextColumn<ComplianceStatus>", coalesce(f.findings, '{}') AS "findings!"
           FROM patch.hosts h JOIN patch.host_scans s ON s.host_id = h.id LEFT JOIN patch.set_findings f ON f.set_no = s.set_no
           WHERE h.id = ANY($1) ORDER BY h.id"#,
        hosts
    )
    .fetch_all(conn)
    .await?;
    Ok(hosts)
}

/// Writes hosts as the CMDB describes them, in the given order. Returns the numbers of new ones.
pub async fn upsert_hosts(conn: &mut PgConnection, hosts: &[HostRecord]) -> ApiResult<Vec<i32>> {
    let column = |field: fn(&HostRecord) -> &str| -> Vec<String> {
        hosts.iter().map(|host| field(host).to_owned()).collect()
    };
    let tag = |name: &str| -> Vec<String> {
        hosts.iter().map(|host| host.tags.get(name).cloned().unwrap_or_default()).collect()
    };
    let tags =
        hosts.iter().map(|host| serde_json::to_value(&host.tags)).collect::<Result<Vec<Value>, _>>()?;
    let rows = sqlx::query!(
        r#"INSERT INTO patch.hosts AS h (ci_id, os, os_key, driver, env, tier, owner, cluster, tags)
           SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::jsonb[])
           ON CONFLICT (ci_id) DO UPDATE SET active = true, os = excluded.os, os_key = excluded.os_key, driver = excluded.driver,
               env = excluded.env, tier = excluded.tier, owner = excluded.owner, cluster = excluded.cluster, tags = excluded.tags
           RETURNING id, xmax = 0 AS "is_new!""#,
        &column(|host| &host.ci_id),
        &column(|host| &host.os),
        &column(|host| &host.os_key),
        &column(|host| &host.driver),
        &tag("env"),
        &tag("tier"),
        &tag("owner"),
        &tag("cluster"),
        &tags,
    )
    .fetch_all(&mut *conn)
    .await?;
    let new: Vec<i32> = rows.iter().filter(|row| row.is_new).map(|row| row.id).collect();
    sqlx::query!(
        "INSERT INTO patch.host_scans (host_id) SELECT unnest($1::integer[]) ON CONFLICT DO NOTHING",
        &new
    )
    .execute(conn)
    .await?;
    Ok(new)
}

/// Hides hosts from all answers. Their last scans stay, in case they return.
pub async fn deactivate_hosts(conn: &mut PgConnection, hosts: &[i32]) -> ApiResult<()> {
    sqlx::query!("UPDATE patch.hosts SET active = false WHERE id = ANY($1) AND active", hosts)
        .execute(conn)
        .await?;
    Ok(())
}

/// Active hosts between two ids that are not among `listed`. `None`: from the first, to the last.
pub async fn list_absent(
    conn: &mut PgConnection,
    after: Option<&str>,
    until: Option<&str>,
    listed: &[String],
) -> ApiResult<Vec<i32>> {
    let absent = sqlx::query_scalar!(
        "SELECT h.id FROM patch.hosts h
         WHERE h.active AND ($1::text IS NULL OR h.ci_id > $1) AND ($2::text IS NULL OR h.ci_id <= $2) AND h.ci_id <> ALL($3)
         ORDER BY h.id",
        after,
        until,
        listed
    )
    .fetch_all(conn)
    .await?;
    Ok(absent)
}

/// Active hosts among these.
pub async fn find_hosts(conn: &mut PgConnection, ci_ids: &[String]) -> ApiResult<Vec<Host>> {
    let hosts = sqlx::query_as!(
        Host,
        r#"SELECT h.id, h.ci_id, p.digest AS "digest?", s.status AS "status: TextColumn<ComplianceStatus>", s.scan_id, s.last_scanned, s.reboot_pending, s.boot_id,
               s.stale_services AS "stale_services: Json<StaleServices>",
               s.returnable AS "returnable: Json<Vec<String>>", s.text_digest
           FROM patch.hosts h JOIN patch.host_scans s ON s.host_id = h.id LEFT JOIN patch.package_sets p ON p.no = s.set_no
           WHERE h.active AND h.ci_id = ANY($1)"#,
        ci_ids
    )
    .fetch_all(conn)
    .await?;
    Ok(hosts)
}

/// Active hosts among these.
pub async fn find_texts(conn: &mut PgConnection, ci_ids: &[&str]) -> ApiResult<Vec<HostText>> {
    let hosts = sqlx::query_as!(
        HostText,
        r#"SELECT h.id, h.ci_id, s.text_digest, s.status AS "status: TextColumn<ComplianceStatus>", s.scan_id, s.last_scanned
           FROM patch.hosts h JOIN patch.host_scans s ON s.host_id = h.id WHERE h.active AND h.ci_id = ANY($1)"#,
        ci_ids as &[&str]
    )
    .fetch_all(conn)
    .await?;
    Ok(hosts)
}

/// Set and time of the last scan of each host. Call it after locking them.
pub async fn list_scans(
    conn: &mut PgConnection,
    hosts: &[i32],
) -> ApiResult<Vec<(i32, Option<i32>, Option<DateTime<Utc>>)>> {
    let rows = sqlx::query!(
        "SELECT host_id, set_no, last_scanned FROM patch.host_scans WHERE host_id = ANY($1)",
        hosts
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.host_id, row.set_no, row.last_scanned)).collect())
}

/// The tags of the known CIs among these.
pub async fn find_tags(
    conn: &mut PgConnection,
    ci_ids: &[String],
) -> ApiResult<BTreeMap<String, BTreeMap<String, String>>> {
    let rows = sqlx::query!("SELECT ci_id, tags FROM patch.hosts WHERE ci_id = ANY($1)", ci_ids)
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(|row| Ok((row.ci_id, serde_json::from_value(row.tags)?))).collect()
}

/// Records scans of unchanged hosts, one statement per time and scan id.
pub async fn touch(conn: &mut PgConnection, mut touches: Vec<Touch>) -> ApiResult<()> {
    touches.sort_unstable();
    let scans = || touches.chunk_by(|a, b| (a.at, &a.scan_id) == (b.at, &b.scan_id));
    if scans().count() > MAX_SINGLE_SCANS {
        return touch_each(conn, touches).await;
    }
    for scan in scans() {
        let hosts: Vec<i32> = scan.iter().map(|touch| touch.host_id).collect();
        touch_scan(conn, &hosts, scan[0].scan_id.as_deref(), scan[0].at).await?;
    }
    Ok(())
}

async fn touch_scan(
    conn: &mut PgConnection,
    hosts: &[i32],
    scan_id: Option<&str>,
    scanned_at: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.host_scans SET last_scanned = $2, scan_id = $3
         WHERE host_id = ANY($1) AND (last_scanned IS NULL OR last_scanned <= $2)",
        hosts,
        scanned_at,
        scan_id
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Each host with its own time and scan id.
async fn touch_each(conn: &mut PgConnection, mut touches: Vec<Touch>) -> ApiResult<()> {
    touches.sort_unstable_by_key(|touch| touch.host_id);
    let mut columns: (Vec<i32>, Vec<DateTime<Utc>>, Vec<Option<String>>) = Default::default();
    for touch in touches {
        columns.0.push(touch.host_id);
        columns.1.push(touch.at);
        columns.2.push(touch.scan_id);
    }
    sqlx::query!(
        "UPDATE patch.host_scans s SET last_scanned = n.last_scanned, scan_id = n.scan_id
         FROM unnest($1::integer[], $2::timestamptz[], $3::text[]) AS n (host_id, last_scanned, scan_id)
         WHERE s.host_id = n.host_id AND (s.last_scanned IS NULL OR s.last_scanned <= n.last_scanned)",
        &columns.0,
        &columns.1,
        &columns.2 as &[Option<String>],
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores the digests of the texts that describe the hosts.
pub async fn update_text_digests(conn: &mut PgConnection, texts: Vec<(i32, Vec<u8>)>) -> ApiResult<()> {
    if texts.is_empty() {
        return Ok(());
    }
    let (hosts, digests): (Vec<i32>, Vec<Vec<u8>>) = texts.into_iter().unzip();
    sqlx::query!(
        "UPDATE patch.host_scans s SET text_digest = n.text_digest
         FROM unnest($1::integer[], $2::bytea[]) AS n (host_id, text_digest) WHERE s.host_id = n.host_id",
        &hosts,
        &digests
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes scans. The hosts are locked.
pub async fn record_scans(conn: &mut PgConnection, scans: &[HostScan]) -> ApiResult<()> {
    let hosts: Vec<i32> = scans.iter().map(|scan| scan.host_id).collect();
    let sets: Vec<i32> = scans.iter().map(|scan| scan.set_no).collect();
    let scan_ids: Vec<Option<String>> = scans.iter().map(|scan| scan.scan_id.clone()).collect();
    let times: Vec<DateTime<Utc>> = scans.iter().map(|scan| scan.scanned_at).collect();
    let reboots: Vec<bool> = scans.iter().map(|scan| scan.reboot_pending).collect();
    let boots: Vec<Option<String>> = scans.iter().map(|scan| scan.boot_id.clone()).collect();
    let returnable = scans.iter().map(|scan| serde_json::to_value(&scan.returnable));
    let returnable = returnable.collect::<Result<Vec<Value>, _>>()?;
    let stale = scans.iter().map(|scan| serde_json::to_value(&scan.stale_services));
    let stale = stale.collect::<Result<Vec<Value>, _>>()?;
    let texts: Vec<Option<Vec<u8>>> = scans.iter().map(|scan| scan.text_digest.clone()).collect();
    sqlx::query!(
        "UPDATE patch.host_scans s SET set_no = n.set_no, scan_id = n.scan_id, last_scanned = n.last_scanned,
             reboot_pending = n.reboot_pending, boot_id = n.boot_id, returnable = n.returnable, text_digest = n.text_digest,
             stale_services = n.stale_services
         FROM unnest($1::integer[], $2::integer[], $3::text[], $4::timestamptz[], $5::boolean[], $6::text[], $7::jsonb[], $8::bytea[], $9::jsonb[])
             AS n (host_id, set_no, scan_id, last_scanned, reboot_pending, boot_id, returnable, text_digest, stale_services)
         WHERE s.host_id = n.host_id",
        &hosts,
        &sets,
        &scan_ids as &[Option<String>],
        &times,
        &reboots,
        &boots as &[Option<String>],
        &returnable,
        &texts as &[Option<Vec<u8>>],
        &stale,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The packages of these hosts whose installed version their repositories still offered when they were last scanned.
pub async fn list_returnable(
    conn: &mut PgConnection,
    hosts: &[CiId],
) -> ApiResult<BTreeMap<CiId, BTreeSet<String>>> {
    let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let rows = sqlx::query!(
        "SELECT h.ci_id, s.returnable FROM patch.hosts h JOIN patch.host_scans s ON s.host_id = h.id
         WHERE h.ci_id = ANY($1)",
        &names
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok((CiId::new(row.ci_id).map_err(ApiError::internal)?, serde_json::from_value(row.returnable)?))
        })
        .collect()
}

/// The hosts among these that waited for a reboot at their last scan.
pub async fn list_reboot_pending(conn: &mut PgConnection, hosts: &[CiId]) -> ApiResult<BTreeSet<CiId>> {
    let names: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let ids = sqlx::query_scalar!(
        "SELECT h.ci_id FROM patch.hosts h JOIN patch.host_scans s ON s.host_id = h.id
         WHERE h.ci_id = ANY($1) AND s.reboot_pending",
        &names
    )
    .fetch_all(conn)
    .await?;
    ids.into_iter().map(|id| CiId::new(id).map_err(ApiError::internal)).collect()
}

pub async fn record_patched(conn: &mut PgConnection, ci_ids: &[String], at: DateTime<Utc>) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.host_scans s SET last_patched = greatest(s.last_patched, $2) FROM patch.hosts h
         WHERE h.ci_id = ANY($1) AND s.host_id = h.id",
        ci_ids,
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Queues the active hosts that a policy selects. The tag `os` is compared by its canonical spelling.
pub async fn mark_selected(conn: &mut PgConnection, policy_no: i32) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.due_hosts
         SELECT h.id FROM patch.policies p JOIN patch.hosts h ON h.tags @> (p.target_tags - 'os') AND (p.os_key IS NULL OR p.os_key = h.os_key)
         WHERE p.no = $1 AND h.active ON CONFLICT DO NOTHING",
        policy_no
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Queues the hosts with results of a policy.
pub async fn mark_hosts_with_results(conn: &mut PgConnection, policy_no: i32) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.due_hosts SELECT host_id FROM patch.compliance WHERE policy_no = $1 ON CONFLICT DO NOTHING",
        policy_no
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn any_due(conn: &mut PgConnection) -> ApiResult<bool> {
    let any = sqlx::query_scalar!(r#"SELECT EXISTS (SELECT FROM patch.due_hosts) AS "any!""#)
        .fetch_one(conn)
        .await?;
    Ok(any)
}

/// Removes hosts from the queue.
pub async fn take_due(conn: &mut PgConnection, limit: i64) -> ApiResult<Vec<i32>> {
    let mut hosts = sqlx::query_scalar!(
        "DELETE FROM patch.due_hosts WHERE host_id IN (SELECT host_id FROM patch.due_hosts ORDER BY host_id LIMIT $1) RETURNING host_id",
        limit
    )
    .fetch_all(conn)
    .await?;
    hosts.sort_unstable();
    Ok(hosts)
}

/// The position in the changes of the CMDB, and the time of the last full comparison.
pub async fn find_cursor(conn: &mut PgConnection) -> ApiResult<Option<(String, DateTime<Utc>)>> {
    let row = sqlx::query!("SELECT token, listed_at FROM patch.cmdb_cursor").fetch_optional(conn).await?;
    Ok(row.map(|row| (row.token, row.listed_at)))
}

/// `listed_at` is given after a full comparison.
pub async fn upsert_cursor(
    conn: &mut PgConnection,
    token: &str,
    listed_at: Option<DateTime<Utc>>,
) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.cmdb_cursor AS c (token, listed_at) VALUES ($1, coalesce($2::timestamptz, '-infinity'))
         ON CONFLICT (singleton) DO UPDATE SET token = excluded.token, listed_at = coalesce($2, c.listed_at)",
        token,
        listed_at
    )
    .execute(conn)
    .await?;
    Ok(())
}
