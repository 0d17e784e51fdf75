//! Runs by a few characters.

use chrono::{DateTime, Utc};
use service_kit::ApiResult;
use sqlx::PgConnection;
use uuid::Uuid;

/// Policies whose runs are listed.
const MOST_POLICIES: i64 = 50;

#[derive(Debug)]
pub struct RunHit {
    pub id: Uuid,
    pub policy_id: Option<String>,
    pub advisory: Option<String>,
    pub state: String,
    pub created_at: DateTime<Utc>,
}

/// Runs with an id in this range, and the newest of each policy whose id begins with a text. Newest first.
pub async fn list_runs(
    conn: &mut PgConnection,
    ids: Option<(Uuid, Uuid)>,
    policy: &str,
    limit: i64,
) -> ApiResult<Vec<RunHit>> {
    let (first, last) = ids.unzip();
    let runs = sqlx::query_as!(
        RunHit,
        "SELECT id, policy_id, advisory, state, created_at FROM patch.runs WHERE id = ANY(ARRAY(
             (SELECT id FROM patch.runs WHERE id BETWEEN $1 AND $2 ORDER BY id DESC LIMIT $6)
             UNION
             SELECT newest.id
             FROM (SELECT id FROM patch.policies WHERE id >= $3 AND id < $4 ORDER BY id LIMIT $5) policy
             CROSS JOIN LATERAL (
                 SELECT id FROM patch.runs WHERE policy_id = policy.id ORDER BY id DESC LIMIT $6) newest))
         ORDER BY id DESC LIMIT $6",
        first,
        last,
        policy,
        format!("{policy}{}", char::MAX),
        MOST_POLICIES,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(runs)
}
