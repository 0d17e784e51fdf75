//! Rows of `cmdb.relationships`.

use api_types::cmdb::{Relationship, RelationshipType};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::words::{ci_id, text, word};

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

    fn try_from(row: Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.id,
            source: ci_id(row.source)?,
            target: ci_id(row.target)?,
            relationship_type: word(row.relationship_type)?,
            compatibility: row.compatibility.map(word).transpose()?,
            created_at: row.created_at,
        })
    }
}

/// Tells whether it was new: the same type between the same two is there once.
pub async fn insert_relationship(
    connection: &mut PgConnection,
    relationship: &Relationship,
) -> Result<bool, sqlx::Error> {
    let inserted = sqlx::query!(
        "INSERT INTO cmdb.relationships (id, source, target, relationship_type, compatibility, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (source, relationship_type, target) DO NOTHING",
        relationship.id,
        relationship.source.as_str(),
        relationship.target.as_str(),
        text(&relationship.relationship_type)?,
        relationship.compatibility.as_ref().map(text).transpose()?,
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
) -> Result<Vec<Relationship>, sqlx::Error> {
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
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT id FROM cmdb.relationships WHERE source = $1 AND relationship_type = $2 AND target = $3",
        source.as_str(),
        text(&relationship_type)?,
        target.as_str()
    )
    .fetch_optional(connection)
    .await
}

/// Deletes one and returns what it was.
pub async fn delete_relationship(
    connection: &mut PgConnection,
    id: Uuid,
) -> Result<Option<Relationship>, sqlx::Error> {
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
pub async fn lock_containment(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('cmdb.containment')) IS NULL AS locked")
        .fetch_one(connection)
        .await?;
    Ok(())
}

/// What contains a CI, if anything does.
pub async fn find_container(connection: &mut PgConnection, ci: &CiId) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT source FROM cmdb.relationships WHERE target = $1 AND relationship_type = 'contains'",
        ci.as_str()
    )
    .fetch_optional(connection)
    .await
}

/// Whether `inner` lies within `outer`, at any depth.
pub async fn is_within(
    connection: &mut PgConnection,
    inner: &CiId,
    outer: &CiId,
) -> Result<bool, sqlx::Error> {
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
