//! Rows of `cmdb.history`: written and read, never changed.

use api_types::cmdb::HistoryEntry;
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use serde_json::Value;
use sqlx::PgConnection;

const BATCH: usize = 1000;

/// What happened to one CI.
#[derive(Debug, Clone)]
pub struct Happening {
    pub ci_id: String,
    pub action: &'static str,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

pub async fn insert_history(
    connection: &mut PgConnection,
    happenings: &[Happening],
    who: &str,
    why: Option<&str>,
    at: DateTime<Utc>,
) -> sqlx::Result<()> {
    for batch in happenings.chunks(BATCH) {
        let ids: Vec<String> = batch.iter().map(|happening| happening.ci_id.clone()).collect();
        let actions: Vec<String> = batch.iter().map(|happening| happening.action.to_owned()).collect();
        let before: Vec<Option<Value>> = batch.iter().map(|happening| happening.before.clone()).collect();
        let after: Vec<Option<Value>> = batch.iter().map(|happening| happening.after.clone()).collect();
        sqlx::query!(
            "INSERT INTO cmdb.history (ci_id, action, before, after, who, why, at)
             SELECT new.ci_id, new.action, new.before, new.after, $5, $6, $7
             FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::jsonb[]) WITH ORDINALITY
               AS new (ci_id, action, before, after, place)
             ORDER BY new.place",
            &ids,
            &actions,
            &before as _,
            &after as _,
            who,
            why,
            at,
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Newest first.
pub async fn list_history(
    connection: &mut PgConnection,
    ci: &CiId,
    before: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<HistoryEntry>> {
    sqlx::query_as!(
        HistoryEntry,
        "SELECT sequence, at, who, action, before, after, why FROM cmdb.history
         WHERE ci_id = $1 AND ($2::bigint IS NULL OR sequence < $2) ORDER BY sequence DESC LIMIT $3",
        ci.as_str(),
        before,
        limit
    )
    .fetch_all(connection)
    .await
}

/// Up to where changes have been told: every transaction below is, and of this one the entries up to the sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeCursor {
    pub transaction: String,
    pub sequence: i64,
}

/// The first transaction that may still be open, and whether `transaction` can have been one of this server's.
pub async fn get_horizon(
    connection: &mut PgConnection,
    transaction: Option<&str>,
) -> sqlx::Result<(String, bool)> {
    let row = sqlx::query!(
        r#"SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS "horizon!",
               coalesce($1::text::xid8 <= pg_snapshot_xmax(pg_current_snapshot()), true) AS "is_known!""#,
        transaction
    )
    .fetch_one(connection)
    .await?;
    Ok((row.horizon, row.is_known))
}

/// An entry of the history: which CI, and where it stands.
#[derive(Debug)]
pub struct ChangedCi {
    pub ci_id: String,
    pub transaction: String,
    pub sequence: i64,
    /// No entry can come before it any more.
    pub is_final: bool,
}

/// Entries after a cursor, in the order of transactions.
pub async fn list_changes(
    connection: &mut PgConnection,
    after: &ChangeCursor,
    horizon: &str,
    limit: i64,
) -> sqlx::Result<Vec<ChangedCi>> {
    sqlx::query_as!(
        ChangedCi,
        r#"SELECT ci_id, transaction::text AS "transaction!", sequence, transaction < $3::text::xid8 AS "is_final!"
           FROM cmdb.history WHERE (transaction, sequence) > ($1::text::xid8, $2)
           ORDER BY transaction, sequence LIMIT $4"#,
        after.transaction,
        after.sequence,
        horizon,
        limit
    )
    .fetch_all(connection)
    .await
}
