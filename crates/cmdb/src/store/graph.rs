//! The parts of the graph of a selection, without decommissioned CIs.

use std::collections::BTreeMap;

use api_types::cmdb::{CiType, GraphEdge};
use domain::{ids::CiId, selector::Tags};
use serde_json::Value;
use service_kit::text_enum::from_text;
use sqlx::{PgConnection, types::Json};

use super::{cis::TagFilter, to_json};

/// The part of a CI that the graph and the inventory use.
#[derive(Debug)]
pub struct Node {
    pub id: CiId,
    pub ci_type: CiType,
    pub name: String,
    pub tags: Tags,
    pub attributes: BTreeMap<String, Value>,
}

struct Row {
    id: String,
    ci_type: String,
    name: String,
    tags: Json<Tags>,
    attributes: Json<BTreeMap<String, Value>>,
}

impl TryFrom<Row> for Node {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        Ok(Self {
            id: from_text(row.id)?,
            ci_type: from_text(row.ci_type)?,
            name: row.name,
            tags: row.tags.0,
            attributes: row.attributes.0,
        })
    }
}

/// Active hosts and VMs with `tags` and, if given, `ids`.
pub async fn list_hosts(
    conn: &mut PgConnection,
    having: &TagFilter,
    ids: Option<&[String]>,
    limit: i64,
) -> sqlx::Result<Vec<Node>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT id, ci_type, name, tags AS "tags: Json<Tags>", attributes AS "attributes: Json<BTreeMap<String, Value>>"
           FROM cmdb.cis
           WHERE status = 'active' AND ci_type IN ('host', 'vm') AND tags @> $1
             AND ($2::text[] IS NULL OR id = ANY($2)) AND ($4::text[] IS NULL OR tags ->> 'os' = ANY($4))
           ORDER BY id LIMIT $3"#,
        to_json(&having.tags)?,
        ids,
        limit,
        having.os.as_deref()
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Node::try_from).collect()
}

/// Active services, applications and databases that `hosts` run or are members of, and those they depend on, however far.
pub async fn list_services(conn: &mut PgConnection, hosts: &[String], limit: i64) -> sqlx::Result<Vec<Node>> {
    let rows = sqlx::query_as!(
        Row,
        r#"WITH RECURSIVE needed (id) AS (
             SELECT r.target FROM cmdb.relationships r JOIN cmdb.cis ci ON ci.id = r.target
             WHERE r.source = ANY($1) AND r.relationship_type IN ('runs', 'member_of')
               AND ci.status = 'active' AND ci.ci_type IN ('service', 'application', 'database')
             UNION
             SELECT r.target FROM needed JOIN cmdb.relationships r ON r.source = needed.id JOIN cmdb.cis ci ON ci.id = r.target
             WHERE r.relationship_type = 'depends_on'
               AND ci.status = 'active' AND ci.ci_type IN ('service', 'application', 'database'))
           SELECT ci.id, ci.ci_type, ci.name, ci.tags AS "tags: Json<Tags>",
                  ci.attributes AS "attributes: Json<BTreeMap<String, Value>>"
           FROM needed JOIN cmdb.cis ci ON ci.id = needed.id ORDER BY ci.id LIMIT $2"#,
        hosts,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Node::try_from).collect()
}

/// Pairs of service and active host or VM that runs it or is a member of it.
pub async fn list_service_hosts(
    conn: &mut PgConnection,
    services: &[String],
) -> sqlx::Result<Vec<(CiId, CiId)>> {
    let rows = sqlx::query!(
        "SELECT DISTINCT r.target AS service, r.source AS host
         FROM cmdb.relationships r JOIN cmdb.cis ci ON ci.id = r.source
         WHERE r.target = ANY($1) AND r.relationship_type IN ('runs', 'member_of')
           AND ci.status = 'active' AND ci.ci_type IN ('host', 'vm')
         ORDER BY 1, 2",
        services
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok((from_text(row.service)?, from_text(row.host)?))).collect()
}

/// Every `depends_on` between CIs of `ids`.
pub async fn list_dependencies(conn: &mut PgConnection, ids: &[String]) -> sqlx::Result<Vec<GraphEdge>> {
    let rows = sqlx::query!(
        r#"SELECT source, target, compatibility AS "compatibility!" FROM cmdb.relationships
           WHERE relationship_type = 'depends_on' AND source = ANY($1) AND target = ANY($1)"#,
        ids
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(GraphEdge {
                source: from_text(row.source)?,
                target: from_text(row.target)?,
                compatibility: from_text(row.compatibility)?,
            })
        })
        .collect()
}
