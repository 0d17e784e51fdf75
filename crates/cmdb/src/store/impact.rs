//! Who needs whom, however far.

use std::collections::BTreeMap;

use api_types::cmdb::{CiType, RelationshipType};
use domain::ids::CiId;
use service_kit::text_enum::{from_text, to_text};
use sqlx::PgConnection;

/// One CI reached on the way from another.
#[derive(Debug)]
pub struct Reached {
    pub id: String,
    pub depth: i32,
    pub via: RelationshipType,
}

/// The steps of a walk: along relationships of some types from source to target, of others from target to source.
pub struct Steps<'a> {
    pub forwards: &'a [RelationshipType],
    pub backwards: &'a [RelationshipType],
}

/// Walks from `start` up to `depth` edges. Breadth first: rows beyond `limit` are never computed, and the first row of a CI
/// is the nearest. A CI that can be reached at several distances comes once for each.
pub async fn list_reached(
    connection: &mut PgConnection,
    start: &CiId,
    steps: Steps<'_>,
    depth: i32,
    limit: i64,
) -> sqlx::Result<Vec<Reached>> {
    let forwards = steps.forwards.iter().map(to_text).collect::<Result<Vec<_>, _>>()?;
    let backwards = steps.backwards.iter().map(to_text).collect::<Result<Vec<_>, _>>()?;
    let rows = sqlx::query!(
        r#"WITH RECURSIVE walk (id, depth, via) AS (
             SELECT $1::text COLLATE "C", 0, ''
             UNION
             SELECT next.id, walk.depth + 1, next.via
             FROM walk CROSS JOIN LATERAL (
               SELECT target, relationship_type FROM cmdb.relationships
               WHERE source = walk.id AND relationship_type = ANY($2)
               UNION ALL
               SELECT source, relationship_type FROM cmdb.relationships
               WHERE target = walk.id AND relationship_type = ANY($3)
             ) AS next (id, via)
             WHERE walk.depth < $4 AND next.id <> $1)
           SELECT id AS "id!", depth AS "depth!", via AS "via!" FROM walk WHERE depth > 0 LIMIT $5"#,
        start.as_str(),
        &forwards,
        &backwards,
        depth,
        limit
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| Ok(Reached { id: row.id, depth: row.depth, via: from_text(row.via)? }))
        .collect()
}

/// The types of those of `ids` that are active.
pub async fn list_active_types(
    connection: &mut PgConnection,
    ids: &[String],
) -> sqlx::Result<BTreeMap<String, CiType>> {
    let rows = sqlx::query!("SELECT id, ci_type FROM cmdb.cis WHERE id = ANY($1) AND status = 'active'", ids)
        .fetch_all(connection)
        .await?;
    rows.into_iter().map(|row| Ok((row.id, from_text(row.ci_type)?))).collect()
}
