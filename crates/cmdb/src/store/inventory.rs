//! Rows of `cmdb.inventory_memberships`: the hosts of a run's inventory when it was first requested.

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

/// Stores the membership of a run unless it has one.
pub async fn insert_membership(
    conn: &mut PgConnection,
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
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn find_membership(conn: &mut PgConnection, run_id: Uuid) -> sqlx::Result<Option<Membership>> {
    let row = sqlx::query!(
        r#"SELECT hosts, groups AS "groups: Json<Groups>" FROM cmdb.inventory_memberships WHERE run_id = $1"#,
        run_id
    )
    .fetch_optional(conn)
    .await?;
    Ok(row.map(|row| Membership { hosts: row.hosts, groups: row.groups.0 }))
}

/// Deletes memberships created before `cutoff`, a batch at a time.
pub async fn delete_memberships(conn: &mut PgConnection, cutoff: DateTime<Utc>) -> sqlx::Result<u64> {
    let deleted = sqlx::query!(
        "DELETE FROM cmdb.inventory_memberships WHERE run_id IN
           (SELECT run_id FROM cmdb.inventory_memberships WHERE created_at < $1 LIMIT 1000)",
        cutoff
    )
    .execute(conn)
    .await?;
    Ok(deleted.rows_affected())
}
