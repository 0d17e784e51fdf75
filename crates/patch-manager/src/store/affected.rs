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

/// The next `limit` hosts after `after` that lack a fix of one of these advisories, in the order of their numbers.
pub async fn list_affected_hosts(
    conn: &mut PgConnection,
    advisories: &[i32],
    after: i32,
    limit: i64,
) -> ApiResult<Vec<i32>> {
    // Each advisory's index is walked from `after` on, for a page and no further.
    let hosts = sqlx::query_scalar!(
        r#"SELECT DISTINCT next.host_id AS "host_id!" FROM unnest($1::integer[]) AS n (advisory_no)
           CROSS JOIN LATERAL (SELECT a.host_id FROM patch.affected a
               WHERE a.advisory_no = n.advisory_no AND a.host_id > $2 ORDER BY a.host_id LIMIT $3) next
           ORDER BY 1 LIMIT $3"#,
        advisories,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(hosts)
}

/// What each of these active hosts lacks, in the order of their numbers: number, CI, findings.
pub async fn list_host_findings(
    conn: &mut PgConnection,
    hosts: &[i32],
) -> ApiResult<Vec<(i32, String, Vec<i32>)>> {
    let rows = sqlx::query!(
        "SELECT h.id, h.ci_id, f.findings FROM patch.hosts h JOIN patch.host_scans s ON s.host_id = h.id
         JOIN patch.set_findings f ON f.set_no = s.set_no
         WHERE h.active AND h.id = ANY($1) ORDER BY h.id",
        hosts
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.ci_id, row.findings)).collect())
}

/// Of the sets of active hosts, those hosts that have one: set and host.
pub async fn list_hosts_of_sets(conn: &mut PgConnection, sets: &[i32]) -> ApiResult<Vec<(i32, i32)>> {
    let rows = sqlx::query!(
        r#"SELECT s.set_no AS "set_no!", s.host_id FROM patch.host_scans s JOIN patch.hosts h ON h.id = s.host_id AND h.active
           WHERE s.set_no = ANY($1)"#,
        sets
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.set_no, row.host_id)).collect())
}
