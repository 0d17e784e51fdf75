//! Which hosts lack a fix of which advisory, and how many they are.

use std::collections::BTreeMap;

use service_kit::ApiResult;
use sqlx::PgConnection;

/// An advisory, and a host that lacks one of its fixes.
pub type Pair = (i32, i32);

/// Writes new pairs and takes old ones away, and counts with them. Each host must be locked by the caller.
pub async fn change_pairs(conn: &mut PgConnection, mut new: Vec<Pair>, mut old: Vec<Pair>) -> ApiResult<()> {
    // In the order of the index: neighbours are written together.
    new.sort_unstable();
    old.sort_unstable();
    if !old.is_empty() {
        let (advisories, hosts): (Vec<i32>, Vec<i32>) = old.iter().copied().unzip();
        sqlx::query!(
            "DELETE FROM patch.affected a USING unnest($1::integer[], $2::integer[]) AS o (advisory_no, host_id)
             WHERE a.advisory_no = o.advisory_no AND a.host_id = o.host_id",
            &advisories,
            &hosts
        )
        .execute(&mut *conn)
        .await?;
    }
    if !new.is_empty() {
        let (advisories, hosts): (Vec<i32>, Vec<i32>) = new.iter().copied().unzip();
        sqlx::query!(
            "INSERT INTO patch.affected (advisory_no, host_id) SELECT * FROM unnest($1::integer[], $2::integer[])",
            &advisories,
            &hosts
        )
        .execute(&mut *conn)
        .await?;
    }
    let mut changes: BTreeMap<i32, i64> = BTreeMap::new();
    for (pairs, sign) in [(&new, 1), (&old, -1)] {
        for (advisory, _) in pairs {
            *changes.entry(*advisory).or_default() += sign;
        }
    }
    changes.retain(|_, change| *change != 0);
    count(conn, &changes).await
}

async fn count(conn: &mut PgConnection, changes: &BTreeMap<i32, i64>) -> ApiResult<()> {
    if changes.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "INSERT INTO patch.advisory_counts AS c (advisory_no, shard, hosts)
         SELECT n.advisory_no, o.shard, n.hosts
         FROM (SELECT patch.own_shard() AS shard) o, unnest($1::integer[], $2::bigint[]) AS n (advisory_no, hosts)
         ON CONFLICT (advisory_no, shard) DO UPDATE SET hosts = c.hosts + excluded.hosts",
        &changes.keys().copied().collect::<Vec<_>>(),
        &changes.values().copied().collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// CIs that lack a fix of any of these advisories. One advisory's are counted already; those of several overlap.
pub async fn count_affected(conn: &mut PgConnection, advisories: &[i32]) -> ApiResult<i64> {
    let count = match advisories {
        [one] => {
            sqlx::query_scalar!(
                r#"SELECT coalesce(sum(hosts), 0)::bigint AS "hosts!" FROM patch.advisory_counts WHERE advisory_no = $1"#,
                one
            )
            .fetch_one(conn)
            .await?
        }
        many => {
            sqlx::query_scalar!(
                r#"SELECT count(DISTINCT host_id) AS "hosts!" FROM patch.affected WHERE advisory_no = ANY($1)"#,
                many
            )
            .fetch_one(conn)
            .await?
        }
    };
    Ok(count)
}

/// A host that lacks something.
#[derive(Debug)]
pub struct AffectedHost {
    /// Of what hosts are measured against, at the time of this read.
    pub edition: i64,
    pub id: i32,
    pub ci_id: String,
    pub active: bool,
    /// Everything that it lacks.
    pub findings: Vec<i32>,
}

/// The next `limit` hosts after `after` that lack a fix of one of these advisories, in the order of their numbers.
pub async fn list_affected_hosts(
    conn: &mut PgConnection,
    advisories: &[i32],
    after: i32,
    limit: i64,
) -> ApiResult<Vec<AffectedHost>> {
    let hosts = sqlx::query_as!(
        AffectedHost,
        r#"SELECT edition AS "edition!", id AS "id!", ci_id AS "ci_id!", active AS "active!", findings AS "findings!"
           FROM patch.list_affected($1, $2, $3)"#,
        advisories,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(hosts)
}
