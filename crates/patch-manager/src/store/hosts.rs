//! Hosts as the CMDB named them last, and when they were looked at.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use domain::ids::CiId;
use serde_json::Value;
use service_kit::{ApiError, ApiResult};
use sqlx::PgConnection;

/// A host or VM of the CMDB.
#[derive(Debug, Clone)]
pub struct HostRecord {
    pub ci_id: String,
    pub os: String,
    pub os_key: String,
    pub driver: String,
    pub tags: BTreeMap<String, String>,
}

/// A host with what its last scan left.
#[derive(Debug, Clone)]
pub struct Host {
    pub id: i32,
    pub ci_id: String,
    pub os: String,
    pub set_no: Option<i32>,
    pub scan_id: Option<String>,
    pub last_scanned: Option<DateTime<Utc>>,
    pub last_patched: Option<DateTime<Utc>>,
    pub reboot_pending: bool,
}

/// What a scan says about the host itself.
#[derive(Debug, Clone)]
pub struct HostScan {
    pub host_id: i32,
    pub scan_id: Option<String>,
    pub scanned_at: DateTime<Utc>,
    pub reboot_pending: bool,
    pub boot_id: Option<String>,
    /// Packages whose installed version the host's repositories still offer.
    pub returnable: Vec<String>,
}

/// Gives the hosts that are new or changed.
pub async fn upsert_hosts(conn: &mut PgConnection, hosts: &[HostRecord]) -> ApiResult<Vec<i32>> {
    let column = |field: fn(&HostRecord) -> &str| -> Vec<String> {
        hosts.iter().map(|host| field(host).to_owned()).collect()
    };
    let tag = |name: &str| -> Vec<String> {
        hosts.iter().map(|host| host.tags.get(name).cloned().unwrap_or_default()).collect()
    };
    let tags =
        hosts.iter().map(|host| serde_json::to_value(&host.tags)).collect::<Result<Vec<Value>, _>>()?;
    let ids = sqlx::query_scalar!(
        "INSERT INTO patch.hosts AS h (ci_id, os, os_key, driver, env, tier, owner, cluster, tags)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::jsonb[])
         ON CONFLICT (ci_id) DO UPDATE SET active = true, os = excluded.os, os_key = excluded.os_key, driver = excluded.driver,
             env = excluded.env, tier = excluded.tier, owner = excluded.owner, cluster = excluded.cluster, tags = excluded.tags
         WHERE NOT h.active OR h.tags <> excluded.tags OR h.driver <> excluded.driver
         RETURNING id",
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
    .fetch_all(conn)
    .await?;
    Ok(ids)
}

/// Takes the hosts that are not among `listed` out of all counts. What is known of them stays, should they come back.
pub async fn deactivate_others(conn: &mut PgConnection, listed: &[String]) -> ApiResult<u64> {
    let gone = sqlx::query_scalar!(
        "UPDATE patch.hosts h SET active = false
         WHERE h.active AND NOT EXISTS (SELECT FROM unnest($1::text[]) AS l (ci_id) WHERE l.ci_id = h.ci_id) RETURNING h.id",
        listed
    )
    .fetch_all(&mut *conn)
    .await?;
    sqlx::query!("DELETE FROM patch.compliance WHERE host_id = ANY($1)", &gone).execute(conn).await?;
    Ok(gone.len() as u64)
}

/// Active hosts among these.
pub async fn find_hosts(conn: &mut PgConnection, ci_ids: &[String]) -> ApiResult<Vec<Host>> {
    let hosts = sqlx::query_as!(
        Host,
        r#"SELECT h.id, h.ci_id, h.os, h.set_no, s.scan_id AS "scan_id?", s.last_scanned AS "last_scanned?",
               s.last_patched AS "last_patched?", coalesce(s.reboot_pending, false) AS "reboot_pending!"
           FROM patch.hosts h LEFT JOIN patch.host_scans s ON s.host_id = h.id
           WHERE h.active AND h.ci_id = ANY($1) ORDER BY h.ci_id"#,
        ci_ids
    )
    .fetch_all(conn)
    .await?;
    Ok(hosts)
}

/// The tags of those of these CIs that are known here.
pub async fn find_tags(
    conn: &mut PgConnection,
    ci_ids: &[String],
) -> ApiResult<BTreeMap<String, BTreeMap<String, String>>> {
    let rows = sqlx::query!("SELECT ci_id, tags FROM patch.hosts WHERE ci_id = ANY($1)", ci_ids)
        .fetch_all(conn)
        .await?;
    rows.into_iter().map(|row| Ok((row.ci_id, serde_json::from_value(row.tags)?))).collect()
}

/// Gives the hosts these sets to have.
pub async fn set_package_sets(conn: &mut PgConnection, hosts: &[i32], sets: &[i32]) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.hosts h SET set_no = n.set_no FROM unnest($1::integer[], $2::integer[]) AS n (id, set_no)
         WHERE h.id = n.id AND h.set_no IS DISTINCT FROM n.set_no",
        hosts,
        sets
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn record_scans(conn: &mut PgConnection, scans: &[HostScan]) -> ApiResult<()> {
    let hosts: Vec<i32> = scans.iter().map(|scan| scan.host_id).collect();
    let scan_ids: Vec<Option<String>> = scans.iter().map(|scan| scan.scan_id.clone()).collect();
    let times: Vec<DateTime<Utc>> = scans.iter().map(|scan| scan.scanned_at).collect();
    let reboots: Vec<bool> = scans.iter().map(|scan| scan.reboot_pending).collect();
    let boots: Vec<Option<String>> = scans.iter().map(|scan| scan.boot_id.clone()).collect();
    let returnable = scans.iter().map(|scan| serde_json::to_value(&scan.returnable));
    let returnable = returnable.collect::<Result<Vec<Value>, _>>()?;
    sqlx::query!(
        "INSERT INTO patch.host_scans (host_id, scan_id, last_scanned, reboot_pending, boot_id, returnable)
         SELECT * FROM unnest($1::integer[], $2::text[], $3::timestamptz[], $4::boolean[], $5::text[], $6::jsonb[])
         ON CONFLICT (host_id) DO UPDATE SET scan_id = excluded.scan_id, last_scanned = excluded.last_scanned,
             reboot_pending = excluded.reboot_pending, boot_id = excluded.boot_id, returnable = excluded.returnable",
        &hosts,
        &scan_ids as &[Option<String>],
        &times,
        &reboots,
        &boots as &[Option<String>],
        &returnable,
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

pub async fn record_patched(conn: &mut PgConnection, ci_ids: &[String], at: DateTime<Utc>) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.host_scans (host_id, last_patched) SELECT id, $2 FROM patch.hosts WHERE ci_id = ANY($1)
         ON CONFLICT (host_id) DO UPDATE SET last_patched = greatest(patch.host_scans.last_patched, excluded.last_patched)",
        ci_ids,
        at
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Active hosts that a policy selects.
pub async fn list_selected(conn: &mut PgConnection, policy_no: i32) -> ApiResult<Vec<i32>> {
    let ids = sqlx::query_scalar!(
        "SELECT h.id FROM patch.policies p JOIN patch.hosts h ON h.tags @> p.target_tags AND (p.os_key IS NULL OR p.os_key = h.os_key)
         WHERE p.no = $1 AND h.active",
        policy_no
    )
    .fetch_all(conn)
    .await?;
    Ok(ids)
}

/// Active hosts with one of these sets.
pub async fn list_with_sets(conn: &mut PgConnection, sets: &[i32]) -> ApiResult<Vec<i32>> {
    let ids = sqlx::query_scalar!("SELECT id FROM patch.hosts WHERE active AND set_no = ANY($1)", sets)
        .fetch_all(conn)
        .await?;
    Ok(ids)
}
