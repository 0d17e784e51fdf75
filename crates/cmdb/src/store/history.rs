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
) -> Result<(), sqlx::Error> {
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
) -> Result<Vec<HistoryEntry>, sqlx::Error> {
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
