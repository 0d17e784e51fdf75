//! Rows of `cmdb.inventory_memberships`: who was in a run's inventory when it was first asked for.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::to_json;

/// Groups of an inventory, each with its hosts.
pub type Groups = BTreeMap<String, Vec<String>>;

#[derive(Debug)]
pub struct Membership {
    pub hosts: Vec<String>,
    pub groups: Groups,
}

/// Keeps a membership under a run id unless one is kept already.
pub async fn insert_membership(
    connection: &mut PgConnection,
    run_id: Uuid,
    membership: &Membership,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO cmdb.inventory_memberships (run_id, hosts, groups, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (run_id) DO NOTHING",
        run_id,
        &membership.hosts,
        to_json(&membership.groups)?,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub async fn find_membership(
    connection: &mut PgConnection,
    run_id: Uuid,
) -> sqlx::Result<Option<Membership>> {
    let row = sqlx::query!(
        r#"SELECT hosts, groups AS "groups: Json<Groups>" FROM cmdb.inventory_memberships WHERE run_id = $1"#,
        run_id
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Membership { hosts: row.hosts, groups: row.groups.0 }))
}

/// Forgets memberships made before `cutoff`, some at a time.
pub async fn delete_memberships(connection: &mut PgConnection, cutoff: DateTime<Utc>) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "DELETE FROM cmdb.inventory_memberships WHERE run_id IN
           (SELECT run_id FROM cmdb.inventory_memberships WHERE created_at < $1 LIMIT 1000)",
        cutoff
    )
    .execute(connection)
    .await?;
    Ok(deleted.rows_affected())
}
