//! Service levels, overdue fixes and remediation statistics.

use advisories::sla::SlaPolicy;
use chrono::{DateTime, NaiveDate, Utc};
use service_kit::ApiResult;
use sqlx::PgConnection;

pub async fn get_service_levels(conn: &mut PgConnection) -> ApiResult<SlaPolicy> {
    let row =
        sqlx::query!("SELECT exploited_days, critical_days, high_days, other_days FROM patch.service_levels")
            .fetch_one(conn)
            .await?;
    let days = |days: i32| u32::try_from(days).unwrap_or_default();
    Ok(SlaPolicy {
        exploited_days: days(row.exploited_days),
        critical_days: days(row.critical_days),
        high_days: days(row.high_days),
        other_days: days(row.other_days),
    })
}

/// Sets the levels and the due date of every advisory. Hosts with a changed due date become due.
pub async fn set_service_levels(conn: &mut PgConnection, levels: &SlaPolicy) -> ApiResult<()> {
    let days = |days: u32| i32::try_from(days).unwrap_or(i32::MAX);
    let SlaPolicy { exploited_days, critical_days, high_days, other_days } = *levels;
    sqlx::query!(
        "UPDATE patch.service_levels SET exploited_days = $1, critical_days = $2, high_days = $3, other_days = $4",
        days(exploited_days),
        days(critical_days),
        days(high_days),
        days(other_days),
    )
    .execute(&mut *conn)
    .await?;
    // The same rule as `SlaPolicy::days`: exploitation can only shorten the time.
    sqlx::query!(
        "UPDATE patch.advisories a SET due = n.due FROM (
             SELECT no, published + make_interval(days => CASE WHEN exploited THEN least(by_severity, $1::integer) ELSE by_severity END) AS due
             FROM (SELECT no, published, exploited,
                       CASE severity WHEN 'critical' THEN $2::integer WHEN 'high' THEN $3::integer ELSE $4::integer END AS by_severity
                   FROM patch.advisories) s) n
         WHERE a.no = n.no AND a.due <> n.due",
        days(exploited_days),
        days(critical_days),
        days(high_days),
        days(other_days),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Open fixes by dimension and value.
#[derive(Debug)]
pub struct Open {
    pub dimension: String,
    pub value: String,
    pub hosts: i64,
    pub hosts_in_breach: i64,
    pub cve_seconds: i64,
}

/// Reads every result. A host counts once, by its strictest policy.
pub async fn list_open(conn: &mut PgConnection, now: DateTime<Utc>) -> ApiResult<Vec<Open>> {
    let rows = sqlx::query_as!(
        Open,
        r#"WITH worst AS (
               SELECT host_id, bool_or(coalesce(next_due < $1, false)) AS in_breach, max((open_cves - undated_cves) * $2::bigint - published_sum) AS seconds
               FROM patch.compliance GROUP BY host_id)
           SELECT d.dimension AS "dimension!", d.value AS "value!", count(*) AS "hosts!",
               count(*) FILTER (WHERE w.in_breach) AS "hosts_in_breach!", sum(w.seconds)::bigint AS "cve_seconds!"
           FROM worst w JOIN patch.hosts h ON h.id = w.host_id AND h.active
           CROSS JOIN LATERAL (VALUES ('total', ''), ('env', h.env), ('os', h.os), ('tier', h.tier), ('owner', h.owner),
               ('cluster', h.cluster)) AS d (dimension, value)
           GROUP BY 1, 2
           UNION ALL
           SELECT 'policy', p.id, count(*), count(*) FILTER (WHERE c.next_due < $1), sum((c.open_cves - c.undated_cves) * $2::bigint - c.published_sum)::bigint
           FROM patch.compliance c JOIN patch.policies p ON p.no = c.policy_no GROUP BY p.id"#,
        now,
        now.timestamp()
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}

/// Installed fixes since a month, by dimension and value.
#[derive(Debug)]
pub struct Remediated {
    pub dimension: String,
    pub value: String,
    pub fixes: i64,
    pub late: i64,
    pub seconds: i64,
    pub cve_seconds: i64,
}

pub async fn list_remediations(conn: &mut PgConnection, since: NaiveDate) -> ApiResult<Vec<Remediated>> {
    let rows = sqlx::query_as!(
        Remediated,
        r#"SELECT r.dimension, CASE r.dimension WHEN 'policy' THEN p.id ELSE r.value END AS "value!", sum(r.fixes)::bigint AS "fixes!",
               sum(r.late)::bigint AS "late!", sum(r.seconds)::bigint AS "seconds!", sum(r.cve_seconds)::bigint AS "cve_seconds!"
           FROM patch.repairs r LEFT JOIN patch.policies p ON r.dimension = 'policy' AND p.no::text = r.value
           WHERE r.month >= $1 AND (r.dimension <> 'policy' OR p.id IS NOT NULL) GROUP BY 1, 2"#,
        since
    )
    .fetch_all(conn)
    .await?;
    Ok(rows)
}
