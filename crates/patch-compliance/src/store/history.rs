//! The roll-ups by day.

use chrono::NaiveDate;
use service_kit::ApiResult;
use sqlx::PgConnection;

/// A day of one value of a dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    pub day: NaiveDate,
    pub dimension: String,
    pub value: String,
    pub compliant: i64,
    pub non_compliant: i64,
    pub unknown: i64,
}

/// Until the end of the transaction; `false` if another process has the lock.
pub async fn try_lock(conn: &mut PgConnection) -> ApiResult<bool> {
    const KEY: i64 = 0x7061_7463_6804;
    let locked = sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock($1) AS "locked!""#, KEY)
        .fetch_one(conn)
        .await?;
    Ok(locked)
}

/// Makes these the rows of a day. Rows that are the same are not written.
pub async fn replace_day(conn: &mut PgConnection, day: NaiveDate, rows: &[HistoryRow]) -> ApiResult<()> {
    let dimensions: Vec<String> = rows.iter().map(|row| row.dimension.clone()).collect();
    let values: Vec<String> = rows.iter().map(|row| row.value.clone()).collect();
    sqlx::query!(
        "DELETE FROM patch.compliance_history h WHERE h.day = $1 AND NOT EXISTS (
             SELECT FROM unnest($2::text[], $3::text[]) AS n (dimension, value) WHERE n.dimension = h.dimension AND n.value = h.value)",
        day,
        &dimensions,
        &values
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "INSERT INTO patch.compliance_history AS h (day, dimension, value, compliant, non_compliant, unknown)
         SELECT $1, n.* FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
             AS n (dimension, value, compliant, non_compliant, unknown)
         ON CONFLICT (day, dimension, value) DO UPDATE SET compliant = excluded.compliant, non_compliant = excluded.non_compliant,
             unknown = excluded.unknown
         WHERE (h.compliant, h.non_compliant, h.unknown) <> (excluded.compliant, excluded.non_compliant, excluded.unknown)",
        day,
        &dimensions,
        &values,
        &rows.iter().map(|row| row.compliant).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.non_compliant).collect::<Vec<_>>(),
        &rows.iter().map(|row| row.unknown).collect::<Vec<_>>(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn delete_before(conn: &mut PgConnection, day: NaiveDate) -> ApiResult<()> {
    sqlx::query!("DELETE FROM patch.compliance_history WHERE day < $1", day).execute(conn).await?;
    Ok(())
}

/// The days of a dimension since `since`, newest first, after the given day and value.
pub async fn list_days(
    conn: &mut PgConnection,
    dimension: &str,
    value: Option<&str>,
    since: NaiveDate,
    after: Option<(NaiveDate, String)>,
    limit: i64,
) -> ApiResult<Vec<HistoryRow>> {
    let (after_day, after_value) = after.unzip();
    let rows = sqlx::query_as!(
        HistoryRow,
        "SELECT day, dimension, value, compliant, non_compliant, unknown FROM patch.compliance_history
         WHERE dimension = $1 AND ($2::text IS NULL OR value = $2) AND day >= $3
             AND ($4::date IS NULL OR day < $4 OR (day = $4 AND value > $5))
         ORDER BY day DESC, value LIMIT $6",
        dimension,
        value,
        since,
        after_day,
        after_value,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}
