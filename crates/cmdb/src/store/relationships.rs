//! Rows of `cmdb.relationships`.

use api_types::cmdb::{Relationship, RelationshipType};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use service_kit::text_enum::{from_text, to_text};
use sqlx::PgConnection;
use uuid::Uuid;

struct Row {
    id: Uuid,
    source: String,
    target: String,
    relationship_type: String,
    compatibility: Option<String>,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Relationship {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.id,
            source: from_text(row.source)?,
            target: from_text(row.target)?,
            relationship_type: from_text(row.relationship_type)?,
            compatibility: row.compatibility.map(from_text).transpose()?,
            created_at: row.created_at,
        })
    }
}

/// Tells whether it was new: the same type between the same two is there once.
pub async fn insert_relationship(
    connection: &mut PgConnection,
    relationship: &Relationship,
) -> sqlx::Result<bool> {
    let inserted = sqlx::query!(
        "INSERT INTO cmdb.relationships (id, source, target, relationship_type, compatibility, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (source, relationship_type, target) DO NOTHING",
        relationship.id,
        relationship.source.as_str(),
        relationship.target.as_str(),
        to_text(&relationship.relationship_type)?,
        relationship.compatibility.as_ref().map(to_text).transpose()?,
        relationship.created_at,
    )
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

pub async fn list_relationships(
    connection: &mut PgConnection,
    ci: &CiId,
    after: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Relationship>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, source, target, relationship_type, compatibility, created_at FROM cmdb.relationships
         WHERE (source = $1 OR target = $1) AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3",
        ci.as_str(),
        after,
        limit
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Relationship::try_from).collect()
}

/// The id of the relationship of a type from one CI to another.
pub async fn find_relationship(
    connection: &mut PgConnection,
    source: &CiId,
    relationship_type: RelationshipType,
    target: &CiId,
) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar!(
        "SELECT id FROM cmdb.relationships WHERE source = $1 AND relationship_type = $2 AND target = $3",
        source.as_str(),
        to_text(&relationship_type)?,
        target.as_str()
    )
    .fetch_optional(connection)
    .await
}

/// Deletes one and returns what it was.
pub async fn delete_relationship(
    connection: &mut PgConnection,
    id: Uuid,
) -> sqlx::Result<Option<Relationship>> {
    let row = sqlx::query_as!(
        Row,
        "DELETE FROM cmdb.relationships WHERE id = $1
         RETURNING id, source, target, relationship_type, compatibility, created_at",
        id
    )
    .fetch_optional(connection)
    .await?;
    row.map(Relationship::try_from).transpose()
}

/// Lets one transaction at a time change what contains what: two that are each right alone may close a circle together.
pub async fn lock_containment(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('cmdb.containment')) IS NULL AS locked")
        .fetch_one(connection)
        .await?;
    Ok(())
}

/// What contains a CI, if anything does.
pub async fn find_container(connection: &mut PgConnection, ci: &CiId) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!(
        "SELECT source FROM cmdb.relationships WHERE target = $1 AND relationship_type = 'contains'",
        ci.as_str()
    )
    .fetch_optional(connection)
    .await
}

/// Whether `inner` lies within `outer`, at any depth.
pub async fn is_within(connection: &mut PgConnection, inner: &CiId, outer: &CiId) -> sqlx::Result<bool> {
    let found = sqlx::query_scalar!(
        r#"WITH RECURSIVE containers (id) AS (
             SELECT $1::text COLLATE "C"
             UNION
             SELECT r.source FROM containers JOIN cmdb.relationships r ON r.target = containers.id
             WHERE r.relationship_type = 'contains')
           SELECT EXISTS (SELECT 1 FROM containers WHERE id = $2) AS "found!""#,
        inner.as_str(),
        outer.as_str()
    )
    .fetch_one(connection)
    .await?;
    Ok(found)
}
