//! Rows of `cmdb.cis`.

use std::collections::BTreeMap;

use api_types::cmdb::{Ci, CiStatus, CiType, Maintenance, PatchState};
use chrono::{DateTime, Utc};
use domain::{ids::CiId, selector::Tags};
use serde_json::Value;
use service_kit::text_enum::{from_text, to_text};
use sqlx::{PgConnection, types::Json};

use super::to_json;

/// Rows per statement.
const BATCH: usize = 1000;

/// Tags that a CI must have.
#[derive(Debug, Clone, Default)]
pub struct TagFilter {
    /// All but `os`.
    pub tags: Tags,
    /// One of these values of the tag `os`. `None`: any, or none.
    pub os: Option<Vec<String>>,
}

/// Which CIs to list; every condition given must hold.
#[derive(Debug, Clone, Default)]
pub struct CiFilter {
    pub ci_type: Option<CiType>,
    /// `None`: any status.
    pub status: Option<CiStatus>,
    pub tags: Tags,
    /// Part of the id, the name or a tag's value, in any case.
    pub text: Option<String>,
    /// Only CIs whose maintenance lasts beyond this time.
    pub in_maintenance_at: Option<DateTime<Utc>>,
}

struct CiRow {
    id: String,
    ci_type: String,
    name: String,
    status: String,
    tags: Json<Tags>,
    attributes: Json<BTreeMap<String, Value>>,
    maintenance: Option<Json<Maintenance>>,
    patch_state: Option<Json<PatchState>>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<CiRow> for Ci {
    type Error = sqlx::Error;

    fn try_from(row: CiRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: from_text(row.id)?,
            ci_type: from_text(row.ci_type)?,
            name: row.name,
            status: from_text(row.status)?,
            tags: row.tags.0,
            attributes: row.attributes.0,
            maintenance: row.maintenance.map(|value| value.0),
            patch_state: row.patch_state.map(|value| value.0),
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// A checked query over whole CIs; what follows `FROM cmdb.cis` is the argument.
macro_rules! select_cis {
    ($tail:tt $(+ $more:tt)* $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            CiRow,
            r#"SELECT id, ci_type, name, status, tags AS "tags: Json<Tags>",
                      attributes AS "attributes: Json<BTreeMap<String, Value>>",
                      maintenance AS "maintenance: Json<Maintenance>", patch_state AS "patch_state: Json<PatchState>",
                      version, created_at, updated_at
               FROM cmdb.cis "# + $tail $(+ $more)*
            $(, $argument)*
        )
    };
}

pub async fn find_ci(conn: &mut PgConnection, id: &CiId) -> sqlx::Result<Option<Ci>> {
    let row = select_cis!("WHERE id = $1", id.as_str()).fetch_optional(conn).await?;
    row.map(Ci::try_from).transpose()
}

/// In the order of their ids.
pub async fn find_cis(conn: &mut PgConnection, ids: &[String]) -> sqlx::Result<Vec<Ci>> {
    let rows = select_cis!("WHERE id = ANY($1) ORDER BY id", ids).fetch_all(conn).await?;
    rows.into_iter().map(Ci::try_from).collect()
}

/// Reads a CI and keeps others from changing it until the transaction ends.
pub async fn lock_ci(conn: &mut PgConnection, id: &CiId) -> sqlx::Result<Option<Ci>> {
    let row = select_cis!("WHERE id = $1 FOR UPDATE", id.as_str()).fetch_optional(conn).await?;
    row.map(Ci::try_from).transpose()
}

/// Locks those of `ids` that exist, in the order of their ids, so that two bulk writers never wait for each other.
pub async fn lock_cis(conn: &mut PgConnection, ids: &[String]) -> sqlx::Result<Vec<Ci>> {
    let rows = select_cis!("WHERE id = ANY($1) ORDER BY id FOR UPDATE", ids).fetch_all(conn).await?;
    rows.into_iter().map(Ci::try_from).collect()
}

/// Locks CIs whose maintenance has expired and that no other transaction has locked.
pub async fn lock_expired_maintenance(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> sqlx::Result<Vec<Ci>> {
    let rows = select_cis!(
        "WHERE maintenance IS NOT NULL AND maintenance_expires_at <= $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Ci::try_from).collect()
}

/// The values of the tag `os`, each once.
pub async fn list_os_tags(conn: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"WITH RECURSIVE found (os) AS (
               (SELECT tags ->> 'os' FROM cmdb.cis WHERE tags ->> 'os' IS NOT NULL ORDER BY tags ->> 'os' LIMIT 1)
               UNION ALL
               SELECT (SELECT ci.tags ->> 'os' FROM cmdb.cis ci
                       WHERE ci.tags ->> 'os' > found.os AND ci.tags ->> 'os' IS NOT NULL ORDER BY ci.tags ->> 'os' LIMIT 1)
               FROM found WHERE found.os IS NOT NULL)
           SELECT os AS "os!" FROM found WHERE os IS NOT NULL LIMIT 10000"#
    )
    .fetch_all(conn)
    .await
}

pub async fn list_cis(
    conn: &mut PgConnection,
    filter: &CiFilter,
    having: &TagFilter,
    after: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<Ci>> {
    let ci_type = filter.ci_type.as_ref().map(to_text).transpose()?;
    let status = filter.status.as_ref().map(to_text).transpose()?;
    let tags = to_json(&having.tags)?;
    // Several queries: without tags, the index on tags must not be scanned.
    macro_rules! list {
        ($tags:tt) => {
            select_cis!(
                "WHERE ($1::text IS NULL OR ci_type = $1) AND ($2::text IS NULL OR status = $2) AND " + $tags +
                " AND ($4::text IS NULL OR position(lower($4) IN lower(id || ' ' || name)) > 0
                       OR EXISTS (SELECT 1 FROM jsonb_each_text(tags) AS tag WHERE position(lower($4) IN lower(tag.value)) > 0))
                  AND ($5::text IS NULL OR id > $5)
                  AND ($7::timestamptz IS NULL OR maintenance IS NOT NULL AND maintenance_expires_at > $7)
                ORDER BY id LIMIT $6",
                ci_type,
                status,
                tags,
                filter.text,
                after,
                limit,
                filter.in_maintenance_at,
                having.os.as_deref()
            )
            .fetch_all(conn)
            .await?
        };
    }
    let rows = match (having.tags.is_empty(), having.os.is_some()) {
        (true, false) => list!("$3::jsonb IS NOT NULL AND $8::text[] IS NULL"),
        (false, false) => list!("tags @> $3 AND $8::text[] IS NULL"),
        (true, true) => list!("$3::jsonb IS NOT NULL AND tags ->> 'os' = ANY($8)"),
        (false, true) => list!("tags @> $3 AND tags ->> 'os' = ANY($8)"),
    };
    rows.into_iter().map(Ci::try_from).collect()
}

/// Inserts CIs and returns how many were new. An existing CI stays as it is.
pub async fn insert_cis(conn: &mut PgConnection, cis: &[Ci]) -> sqlx::Result<u64> {
    let mut inserted = 0;
    for batch in cis.chunks(BATCH) {
        let columns = Columns::of(batch)?;
        inserted += sqlx::query!(
            "INSERT INTO cmdb.cis (id, ci_type, name, status, tags, attributes, version, created_at, updated_at)
             SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::jsonb[],
                                  $7::bigint[], $8::timestamptz[], $9::timestamptz[])
             ON CONFLICT (id) DO NOTHING",
            &columns.ids,
            &columns.ci_types,
            &columns.names,
            &columns.statuses,
            &columns.tags,
            &columns.attributes,
            &columns.versions,
            &columns.created,
            &columns.updated,
        )
        .execute(&mut *conn)
        .await?
        .rows_affected();
    }
    Ok(inserted)
}

/// Writes locked CIs back whole.
pub async fn update_cis(conn: &mut PgConnection, cis: &[Ci]) -> sqlx::Result<()> {
    for batch in cis.chunks(BATCH) {
        let columns = Columns::of(batch)?;
        let updated = sqlx::query!(
            "UPDATE cmdb.cis AS ci
             SET ci_type = new.ci_type, name = new.name, status = new.status, tags = new.tags, attributes = new.attributes,
                 maintenance = new.maintenance, maintenance_expires_at = new.maintenance_expires_at,
                 patch_state = new.patch_state, version = new.version, updated_at = new.updated_at
             FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::jsonb[], $7::jsonb[],
                         $8::timestamptz[], $9::jsonb[], $10::bigint[], $11::timestamptz[])
               AS new (id, ci_type, name, status, tags, attributes, maintenance, maintenance_expires_at, patch_state,
                       version, updated_at)
             WHERE ci.id = new.id",
            &columns.ids,
            &columns.ci_types,
            &columns.names,
            &columns.statuses,
            &columns.tags,
            &columns.attributes,
            &columns.maintenance as _,
            &columns.maintenance_expiries as _,
            &columns.patch_states as _,
            &columns.versions,
            &columns.updated,
        )
        .execute(&mut *conn)
        .await?
        .rows_affected();
        if updated != batch.len() as u64 {
            return Err(sqlx::Error::RowNotFound);
        }
    }
    Ok(())
}

/// The fields of many CIs, turned for `unnest`.
#[derive(Default)]
struct Columns {
    ids: Vec<String>,
    ci_types: Vec<String>,
    names: Vec<String>,
    statuses: Vec<String>,
    tags: Vec<Value>,
    attributes: Vec<Value>,
    maintenance: Vec<Option<Value>>,
    maintenance_expiries: Vec<Option<DateTime<Utc>>>,
    patch_states: Vec<Option<Value>>,
    versions: Vec<i64>,
    created: Vec<DateTime<Utc>>,
    updated: Vec<DateTime<Utc>>,
}

impl Columns {
    fn of(cis: &[Ci]) -> sqlx::Result<Self> {
        let mut columns = Self::default();
        for ci in cis {
            columns.ids.push(ci.id.to_string());
            columns.ci_types.push(to_text(&ci.ci_type)?);
            columns.names.push(ci.name.clone());
            columns.statuses.push(to_text(&ci.status)?);
            columns.tags.push(to_json(&ci.tags)?);
            columns.attributes.push(to_json(&ci.attributes)?);
            columns.maintenance.push(ci.maintenance.as_ref().map(to_json).transpose()?);
            columns.maintenance_expiries.push(ci.maintenance.as_ref().map(|held| held.expires_at));
            columns.patch_states.push(ci.patch_state.as_ref().map(to_json).transpose()?);
            columns.versions.push(ci.version);
            columns.created.push(ci.created_at);
            columns.updated.push(ci.updated_at);
        }
        Ok(columns)
    }
}
