//! How many hosts miss each advisory, by day.

use api_types::patch::ExposureDay;
use chrono::NaiveDate;
use service_kit::ApiResult;
use sqlx::PgConnection;

/// Writes the numbers that differ from the last ones.
pub async fn record_day(conn: &mut PgConnection, day: NaiveDate) -> ApiResult<()> {
    sqlx::query!(
        "WITH counted AS (
             SELECT advisory_no, sum(hosts)::bigint AS hosts FROM patch.advisory_counts GROUP BY 1 HAVING sum(hosts) > 0),
         changed AS (
             INSERT INTO patch.advisory_exposure AS known (advisory_no, hosts)
             SELECT advisory_no, coalesce(counted.hosts, 0)
             FROM counted FULL JOIN patch.advisory_exposure last USING (advisory_no)
             WHERE coalesce(counted.hosts, 0) <> coalesce(last.hosts, 0)
             ON CONFLICT (advisory_no) DO UPDATE SET hosts = excluded.hosts
             RETURNING advisory_no, hosts)
         INSERT INTO patch.advisory_history (advisory_no, day, hosts)
         SELECT advisory_no, $1, hosts FROM changed
         ON CONFLICT (advisory_no, day) DO UPDATE SET hosts = excluded.hosts",
        day
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Of each advisory, the last row before that day stays: it holds until the next one.
pub async fn delete_before(conn: &mut PgConnection, day: NaiveDate) -> ApiResult<()> {
    sqlx::query!(
        "DELETE FROM patch.advisory_history old WHERE old.day < $1 AND EXISTS (
             SELECT FROM patch.advisory_history later
             WHERE later.advisory_no = old.advisory_no AND later.day > old.day AND later.day <= $1)",
        day
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The sum over these advisories for each day of a span, oldest first, from the first record on.
pub async fn list_days(
    conn: &mut PgConnection,
    advisories: &[i32],
    first: NaiveDate,
    last: NaiveDate,
) -> ApiResult<Vec<ExposureDay>> {
    let days = sqlx::query_as!(
        ExposureDay,
        r#"SELECT span.day AS "day!", sum(recorded.hosts)::bigint AS "hosts!"
           FROM (SELECT generate_series($2::date, $3::date, '1 day')::date AS day) span
           CROSS JOIN unnest($1::integer[]) AS asked (no)
           CROSS JOIN LATERAL (
               SELECT hosts FROM patch.advisory_history h WHERE h.advisory_no = asked.no AND h.day <= span.day
               ORDER BY h.day DESC LIMIT 1) recorded
           GROUP BY span.day ORDER BY span.day"#,
        advisories,
        first,
        last
    )
    .fetch_all(conn)
    .await?;
    Ok(days)
}
