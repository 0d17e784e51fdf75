//! Which hosts are missing a fix of which advisory, and how many.

use std::collections::BTreeMap;

use service_kit::ApiResult;
use sqlx::PgConnection;

/// An advisory, and a host that is missing fixes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    pub advisory_no: i32,
    pub host_id: i32,
    /// Its only finding on the host; `None` if there are several.
    pub finding_no: Option<i32>,
}

/// Changes of pairs.
#[derive(Debug, Default)]
pub struct PairChanges {
    pub new: Vec<Pair>,
    /// Pairs with another finding.
    pub changed: Vec<Pair>,
    /// Pairs without a finding.
    pub old: Vec<Pair>,
}

/// Pairs as columns, in the order of the index, so that neighbours are written together.
fn columns(mut pairs: Vec<Pair>) -> (Vec<i32>, Vec<i32>, Vec<Option<i32>>) {
    pairs.sort_unstable();
    pairs.iter().map(|pair| (pair.advisory_no, pair.host_id, pair.finding_no)).collect()
}

/// Writes pairs and their counts. The caller has locked each host.
pub async fn change_pairs(conn: &mut PgConnection, changes: PairChanges) -> ApiResult<()> {
    let mut counts: BTreeMap<i32, i64> = BTreeMap::new();
    for (pairs, sign) in [(&changes.new, 1), (&changes.old, -1)] {
        for pair in pairs {
            *counts.entry(pair.advisory_no).or_default() += sign;
        }
    }
    counts.retain(|_, change| *change != 0);
    let PairChanges { new, changed, old } = changes;
    if !old.is_empty() {
        let (advisories, hosts, _) = columns(old);
        sqlx::query!(
            "DELETE FROM patch.affected a USING unnest($1::integer[], $2::integer[]) AS o (advisory_no, host_id)
             WHERE a.advisory_no = o.advisory_no AND a.host_id = o.host_id",
            &advisories,
            &hosts
        )
        .execute(&mut *conn)
        .await?;
    }
    if !changed.is_empty() {
        let (advisories, hosts, findings) = columns(changed);
        sqlx::query!(
            "UPDATE patch.affected a SET finding_no = c.finding_no
             FROM unnest($1::integer[], $2::integer[], $3::integer[]) AS c (advisory_no, host_id, finding_no)
             WHERE a.advisory_no = c.advisory_no AND a.host_id = c.host_id",
            &advisories,
            &hosts,
            &findings as &[Option<i32>]
        )
        .execute(&mut *conn)
        .await?;
    }
    if !new.is_empty() {
        let (advisories, hosts, findings) = columns(new);
        sqlx::query!(
            "INSERT INTO patch.affected (advisory_no, host_id, finding_no)
             SELECT * FROM unnest($1::integer[], $2::integer[], $3::integer[])",
            &advisories,
            &hosts,
            &findings as &[Option<i32>]
        )
        .execute(&mut *conn)
        .await?;
    }
    count(conn, &counts).await
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

/// Counts CIs that are missing a fix of any of these advisories. The count of one advisory is stored; those of several
/// overlap.
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

/// Counts CIs with one of these findings among those that are missing a fix of these advisories.
pub async fn count_with_findings(
    conn: &mut PgConnection,
    advisories: &[i32],
    findings: &[i32],
) -> ApiResult<i64> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(DISTINCT a.host_id) AS "hosts!"
           FROM patch.affected a JOIN patch.host_scans s ON s.host_id = a.host_id JOIN patch.set_findings f ON f.set_no = s.set_no
           WHERE a.advisory_no = ANY($1) AND (a.finding_no = ANY($2) OR a.finding_no IS NULL AND f.findings && $2)"#,
        advisories,
        findings
    )
    .fetch_one(conn)
    .await?;
    Ok(count)
}

/// The next of them after `after`.
pub async fn list_with_findings(
    conn: &mut PgConnection,
    advisories: &[i32],
    findings: &[i32],
    after: i32,
    limit: i64,
) -> ApiResult<Vec<AffectedHost>> {
    let hosts = sqlx::query_scalar!(
        r#"SELECT DISTINCT a.host_id
           FROM patch.affected a JOIN patch.host_scans s ON s.host_id = a.host_id JOIN patch.set_findings f ON f.set_no = s.set_no
           WHERE a.advisory_no = ANY($1) AND a.host_id > $3 AND (a.finding_no = ANY($2) OR a.finding_no IS NULL AND f.findings && $2)
           ORDER BY a.host_id LIMIT $4"#,
        advisories,
        findings,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(hosts.into_iter().map(|id| AffectedHost { id, finding_no: None }).collect())
}

/// A host that is missing fixes of some advisories.
#[derive(Debug, Clone, Copy)]
pub struct AffectedHost {
    pub id: i32,
    /// `None` if there are several, or if it was not recorded.
    pub finding_no: Option<i32>,
}

/// A page of the hosts that are missing some advisories.
#[derive(Debug)]
pub struct AffectedPage {
    /// The revision of the criteria at the time of this read.
    pub revision: i64,
    /// Hosts per advisory, in the order of the request.
    pub counts: Vec<i64>,
    /// In the order of their numbers.
    pub hosts: Vec<AffectedHost>,
}

/// The next `limit` hosts after `after` that are missing a fix of one of these advisories.
pub async fn get_page(
    conn: &mut PgConnection,
    advisories: &[i32],
    after: i32,
    limit: i64,
) -> ApiResult<AffectedPage> {
    let rows = sqlx::query!(
        r#"SELECT edition AS "revision!", hosts, host_ids, finding_nos AS "finding_nos: Vec<Option<i32>>"
           FROM patch.list_affected($1, $2, $3)"#,
        advisories,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    let revision = rows.first().map_or(0, |row| row.revision);
    let counts = rows.iter().map(|row| row.hosts.unwrap_or_default()).collect();
    let mut hosts = BTreeMap::new();
    for row in rows {
        for (id, finding_no) in
            row.host_ids.unwrap_or_default().into_iter().zip(row.finding_nos.unwrap_or_default())
        {
            hosts.entry(id).and_modify(|only| *only = None).or_insert(finding_no);
        }
    }
    let hosts = hosts.into_iter().map(|(id, finding_no)| AffectedHost { id, finding_no });
    Ok(AffectedPage { revision, counts, hosts: hosts.take(usize::try_from(limit).unwrap_or(0)).collect() })
}

/// All findings of these hosts.
pub async fn list_findings_of(conn: &mut PgConnection, hosts: &[i32]) -> ApiResult<Vec<(i32, Vec<i32>)>> {
    let rows = sqlx::query!(
        "SELECT s.host_id, f.findings FROM patch.host_scans s JOIN patch.set_findings f ON f.set_no = s.set_no
         WHERE s.host_id = ANY($1)",
        hosts
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| (row.host_id, row.findings)).collect())
}
