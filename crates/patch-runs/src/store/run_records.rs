//! Records of a run: actions, events, log, tests, facts of hosts.

use std::collections::BTreeMap;

use api_types::patch::{ChangedPackage, CloudEvent, LogLine, TestTotals};
use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, RunId},
    package::OmittedUpdate,
    restart::StaleServices,
    run::{Answer, Pending, RunState, TestPhase},
};
use service_kit::{ApiError, ApiResult, text_enum::from_text};
use sqlx::PgConnection;

/// Records a pending action, in the transaction that decides it.
pub async fn insert_action(conn: &mut PgConnection, id: RunId, pending: &Pending) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.run_steps (run_id, step, action, request) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        id.0,
        signed(pending.step),
        pending.action.name(),
        serde_json::to_value(&pending.action)?,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Records the start of an action. Returns how often it was started before, and the process of its playbook.
pub async fn begin_action(
    conn: &mut PgConnection,
    id: RunId,
    step: u64,
    epoch: i64,
    now: DateTime<Utc>,
) -> ApiResult<(i32, Option<serde_json::Value>)> {
    let row = sqlx::query!(
        "UPDATE patch.run_steps SET attempts = attempts + 1, epoch = $3, started_at = coalesce(started_at, $4)
         WHERE run_id = $1 AND step = $2 RETURNING attempts - 1 AS \"before!\", process",
        id.0,
        signed(step),
        epoch,
        now,
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| (row.before, row.process))
        .ok_or_else(|| ApiError::internal(format!("action {step} of run {id} was not recorded")))
}

/// Records the process of an action's playbook.
pub async fn update_action_process(
    conn: &mut PgConnection,
    id: RunId,
    step: u64,
    process: Option<&serde_json::Value>,
) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.run_steps SET process = $3 WHERE run_id = $1 AND step = $2",
        id.0,
        signed(step),
        process
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn end_action(
    conn: &mut PgConnection,
    id: RunId,
    step: u64,
    answer: &Answer,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.run_steps SET ended_at = $3, answer = $4, process = NULL WHERE run_id = $1 AND step = $2",
        id.0,
        signed(step),
        now,
        serde_json::to_value(answer)?,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What a run shows of itself has changed.
pub const RUN_STATE_CHANGED: &str = "patch.run.state_changed.v1";

/// An event of a run as clients and webhooks get it.
#[derive(Debug, Clone)]
pub struct RunEvent {
    /// `patch.run.state_changed.v1`.
    pub event_type: &'static str,
    /// The host or customer that it is about.
    pub subject: Option<String>,
    pub data: serde_json::Value,
}

/// Stores events in their order.
pub async fn insert_events(
    conn: &mut PgConnection,
    id: RunId,
    events: &[RunEvent],
    now: DateTime<Utc>,
) -> ApiResult<()> {
    if events.is_empty() {
        return Ok(());
    }
    let types: Vec<String> = events.iter().map(|event| event.event_type.to_owned()).collect();
    let subjects: Vec<Option<String>> = events.iter().map(|event| event.subject.clone()).collect();
    let data: Vec<serde_json::Value> = events.iter().map(|event| event.data.clone()).collect();
    sqlx::query!(
        "INSERT INTO patch.run_events (run_id, at, type, subject, data)
         SELECT $1, $2, type, subject, data FROM unnest($3::text[], $4::text[], $5::jsonb[])
             WITH ORDINALITY AS given (type, subject, data, position) ORDER BY position",
        id.0,
        now,
        &types,
        subjects.as_slice() as &[Option<String>],
        &data,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// What happened to a subject, published in the stream of the run's events as `{ci_id, reason}`.
#[derive(Debug, Clone)]
pub struct SubjectEvent {
    /// `patch.customer.unhealthy.v1`.
    pub event_type: &'static str,
    pub subject: CiId,
    pub reason: String,
}

pub async fn insert_subject_event(
    conn: &mut PgConnection,
    id: RunId,
    event: &SubjectEvent,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    let data = serde_json::json!({ "ci_id": event.subject, "reason": event.reason });
    let event = RunEvent { event_type: event.event_type, subject: Some(event.subject.to_string()), data };
    insert_events(conn, id, &[event], now).await
}

/// The events of a run that have one of these types, oldest first: time, type, subject, reason.
pub async fn list_subject_events(
    conn: &mut PgConnection,
    id: RunId,
    types: &[String],
    limit: i64,
) -> ApiResult<Vec<(DateTime<Utc>, String, CiId, String)>> {
    let rows = sqlx::query!(
        r#"SELECT at, type, subject AS "subject!", data->>'reason' AS "reason!" FROM patch.run_events
         WHERE run_id = $1 AND type = ANY($2) AND subject IS NOT NULL AND data ? 'reason' ORDER BY sequence LIMIT $3"#,
        id.0,
        types,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| Ok((row.at, row.r#type, CiId::new(row.subject).map_err(ApiError::internal)?, row.reason)))
        .collect()
}

/// A time at which a run could not continue yet.
#[derive(Debug, Clone)]
pub struct Wait {
    pub at: DateTime<Utc>,
    /// The wave that could not start; `None` before the first wave.
    pub wave: Option<i32>,
    pub reason: String,
}

/// The waits of a run, oldest first. A wait that is checked again for the same reason counts once.
pub async fn list_waits(conn: &mut PgConnection, id: RunId, limit: i64) -> ApiResult<Vec<Wait>> {
    Ok(sqlx::query_as!(
        Wait,
        r#"SELECT at AS "at!", wave, reason AS "reason!" FROM
             (SELECT step, ended_at AS at, (request->>'wave')::integer AS wave, answer->'NotYet'->>'reason' AS reason,
                  lag(answer->'NotYet'->>'reason') OVER (ORDER BY step) AS previous
              FROM patch.run_steps WHERE run_id = $1 AND answer ? 'NotYet') waits
         WHERE reason IS DISTINCT FROM previous ORDER BY step LIMIT $2"#,
        id.0,
        limit,
    )
    .fetch_all(conn)
    .await?)
}

/// The reason of the last wait.
pub async fn find_last_wait_reason(conn: &mut PgConnection, id: RunId) -> ApiResult<Option<String>> {
    Ok(sqlx::query_scalar!(
        r#"SELECT answer->'NotYet'->>'reason' AS "reason!" FROM patch.run_steps
         WHERE run_id = $1 AND answer ? 'NotYet' ORDER BY step DESC LIMIT 1"#,
        id.0,
    )
    .fetch_optional(conn)
    .await?)
}

/// The events of a run after `after`, oldest first.
pub async fn list_events(
    conn: &mut PgConnection,
    id: RunId,
    after: i64,
    limit: i64,
) -> ApiResult<Vec<(i64, CloudEvent)>> {
    let rows = sqlx::query!(
        "SELECT sequence, at, type, subject, data FROM patch.run_events WHERE run_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
        id.0,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    let event = |row: (i64, DateTime<Utc>, String, Option<String>, serde_json::Value)| {
        let (sequence, time, event_type, subject, data) = row;
        let event = CloudEvent {
            specversion: "1.0".to_owned(),
            id: sequence.to_string(),
            source: format!("/patch/runs/{id}"),
            event_type,
            subject,
            time,
            data,
        };
        (sequence, event)
    };
    Ok(rows.into_iter().map(|row| event((row.sequence, row.at, row.r#type, row.subject, row.data))).collect())
}

/// Appends lines to the log of a run and returns those that it appended: a line that repeats the one before it says nothing
/// new.
pub async fn insert_log(
    conn: &mut PgConnection,
    id: RunId,
    lines: &[(Option<CiId>, String)],
    now: DateTime<Utc>,
) -> ApiResult<Vec<(Option<CiId>, String)>> {
    let clean = |text: &str| text.chars().filter(|c| *c != '\0').take(4000).collect::<String>();
    let mut fresh: Vec<_> = lines.iter().map(|(host, text)| (host.clone(), clean(text))).collect();
    fresh.dedup();
    if fresh.is_empty() {
        return Ok(fresh);
    }
    let hosts: Vec<Option<String>> =
        fresh.iter().map(|(host, _)| host.as_ref().map(CiId::to_string)).collect();
    let texts: Vec<String> = fresh.iter().map(|(_, text)| text.clone()).collect();
    let inserted = sqlx::query!(
        "INSERT INTO patch.run_log (run_id, at, ci_id, text)
         SELECT $1, $2, given.ci_id, given.text
         FROM unnest($3::text[], $4::text[]) WITH ORDINALITY AS given (ci_id, text, position)
         WHERE position > 1 OR NOT EXISTS
             (SELECT FROM (SELECT ci_id, text FROM patch.run_log WHERE run_id = $1 ORDER BY sequence DESC LIMIT 1) last
              WHERE last.text = given.text AND last.ci_id IS NOT DISTINCT FROM given.ci_id)
         ORDER BY position",
        id.0,
        now,
        hosts.as_slice() as &[Option<String>],
        &texts,
    )
    .execute(conn)
    .await?;
    if usize::try_from(inserted.rows_affected()).is_ok_and(|rows| rows < fresh.len()) {
        fresh.remove(0);
    }
    Ok(fresh)
}

/// Log lines after `after`, oldest first.
pub async fn list_log(conn: &mut PgConnection, id: RunId, after: i64, limit: i64) -> ApiResult<Vec<LogLine>> {
    let rows = sqlx::query!(
        "SELECT sequence, at, ci_id, text FROM patch.run_log WHERE run_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
        id.0,
        after,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| log_line(row.sequence, row.at, row.ci_id, row.text)).collect()
}

/// The last lines of the log, oldest first.
pub async fn list_log_tail(conn: &mut PgConnection, id: RunId, limit: i64) -> ApiResult<Vec<LogLine>> {
    let rows = sqlx::query!(
        "SELECT sequence, at, ci_id, text FROM patch.run_log WHERE run_id = $1 ORDER BY sequence DESC LIMIT $2",
        id.0,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().rev().map(|row| log_line(row.sequence, row.at, row.ci_id, row.text)).collect()
}

fn log_line(sequence: i64, at: DateTime<Utc>, ci_id: Option<String>, text: String) -> ApiResult<LogLine> {
    Ok(LogLine { sequence, at, ci_id: ci_id.map(CiId::new).transpose().map_err(ApiError::internal)?, text })
}

/// One test on one host.
#[derive(Debug, Clone)]
pub struct TestRecord {
    pub host: CiId,
    pub test: String,
    pub passed: bool,
    pub detail: String,
}

/// Stores the tests of hosts in one phase.
pub async fn upsert_tests(
    conn: &mut PgConnection,
    id: RunId,
    phase: TestPhase,
    results: &[TestRecord],
) -> ApiResult<()> {
    let hosts: Vec<String> = results.iter().map(|result| result.host.to_string()).collect();
    let tests: Vec<String> = results.iter().map(|result| result.test.clone()).collect();
    let passed: Vec<bool> = results.iter().map(|result| result.passed).collect();
    let details: Vec<String> =
        results.iter().map(|result| result.detail.chars().take(500).collect()).collect();
    match phase {
        TestPhase::Before => sqlx::query!(
            "INSERT INTO patch.run_tests (run_id, ci_id, test, before, before_detail)
             SELECT $1, host, test, passed, detail FROM unnest($2::text[], $3::text[], $4::boolean[], $5::text[])
                 AS given (host, test, passed, detail)
             ON CONFLICT (run_id, ci_id, test) DO UPDATE SET before = excluded.before, before_detail = excluded.before_detail",
            id.0,
            &hosts,
            &tests,
            &passed,
            &details,
        ),
        TestPhase::After => sqlx::query!(
            "INSERT INTO patch.run_tests (run_id, ci_id, test, after, after_detail)
             SELECT $1, host, test, passed, detail FROM unnest($2::text[], $3::text[], $4::boolean[], $5::text[])
                 AS given (host, test, passed, detail)
             ON CONFLICT (run_id, ci_id, test) DO UPDATE SET after = excluded.after, after_detail = excluded.after_detail",
            id.0,
            &hosts,
            &tests,
            &passed,
            &details,
        ),
    }
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn get_test_totals(conn: &mut PgConnection, id: RunId) -> ApiResult<TestTotals> {
    let row = sqlx::query!(
        r#"SELECT count(before) AS "before!", count(*) FILTER (WHERE before) AS "before_passed!", count(after) AS "after!",
             count(*) FILTER (WHERE after) AS "after_passed!", count(*) FILTER (WHERE before AND NOT after) AS "regressions!"
         FROM patch.run_tests WHERE run_id = $1"#,
        id.0
    )
    .fetch_one(conn)
    .await?;
    Ok(TestTotals {
        before: row.before,
        before_passed: row.before_passed,
        after: row.after,
        after_passed: row.after_passed,
        regressions: row.regressions,
    })
}

/// What the workflow of a host changed.
#[derive(Debug, Clone, Default)]
pub struct HostFacts {
    pub changed: Vec<ChangedPackage>,
    pub rebooted: bool,
    /// Services that still ran deleted files at the end; `None` if nobody looked.
    pub stale_services: Option<StaleServices>,
    /// What was left out in addition to the plan.
    pub left_out: Vec<OmittedUpdate>,
}

pub async fn update_host_facts(
    conn: &mut PgConnection,
    id: RunId,
    facts: &[(CiId, HostFacts)],
) -> ApiResult<()> {
    let mut of_hosts: BTreeMap<&CiId, HostFacts> = BTreeMap::new();
    for (host, more) in facts {
        let known = of_hosts.entry(host).or_default();
        known.changed.extend(more.changed.iter().cloned());
        known.rebooted |= more.rebooted;
        known.left_out.extend(more.left_out.iter().cloned());
        known.stale_services = more.stale_services.clone().or(known.stale_services.take());
    }
    let hosts: Vec<String> = of_hosts.keys().map(|host| host.to_string()).collect();
    let changed =
        of_hosts.values().map(|facts| serde_json::to_value(&facts.changed)).collect::<Result<Vec<_>, _>>()?;
    let stale =
        of_hosts.values().map(|facts| facts.stale_services.as_ref().map(serde_json::to_value).transpose());
    let stale = stale.collect::<Result<Vec<Option<serde_json::Value>>, _>>()?;
    let left_out = of_hosts.values().map(|facts| serde_json::to_value(&facts.left_out));
    let left_out = left_out.collect::<Result<Vec<_>, _>>()?;
    let rebooted: Vec<bool> = of_hosts.values().map(|facts| facts.rebooted).collect();
    // The changes of an interrupted attempt count too: the next attempt finds them done and changes nothing.
    sqlx::query!(
        "UPDATE patch.run_hosts hosts SET changed = hosts.changed || given.changed, rebooted = hosts.rebooted OR given.rebooted,
             stale_services = coalesce(given.stale_services, hosts.stale_services), left_out = hosts.left_out || given.left_out
         FROM unnest($2::text[], $3::jsonb[], $4::boolean[], $5::jsonb[], $6::jsonb[])
             AS given (ci_id, changed, rebooted, stale_services, left_out)
         WHERE hosts.run_id = $1 AND hosts.ci_id = given.ci_id",
        id.0,
        &hosts,
        &changed,
        &rebooted,
        &stale as &[Option<serde_json::Value>],
        &left_out,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Clears what the workflow of these hosts changed, because a rollback has undone it.
pub async fn clear_host_facts(conn: &mut PgConnection, id: RunId, hosts: &[CiId]) -> ApiResult<()> {
    let hosts: Vec<String> = hosts.iter().map(CiId::to_string).collect();
    sqlx::query!(
        "UPDATE patch.run_hosts SET changed = '[]', boot_id = NULL WHERE run_id = $1 AND ci_id = ANY($2)",
        id.0,
        &hosts,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores the boot ids of hosts at the start of their workflow. A later attempt does not change them.
pub async fn keep_boot_ids(conn: &mut PgConnection, id: RunId, boot_ids: &[(CiId, String)]) -> ApiResult<()> {
    let hosts: Vec<String> = boot_ids.iter().map(|(host, _)| host.to_string()).collect();
    let boot_ids: Vec<String> = boot_ids.iter().map(|(_, boot_id)| boot_id.clone()).collect();
    sqlx::query!(
        "UPDATE patch.run_hosts hosts SET boot_id = given.boot_id
         FROM unnest($2::text[], $3::text[]) AS given (ci_id, boot_id)
         WHERE hosts.run_id = $1 AND hosts.ci_id = given.ci_id AND hosts.boot_id IS NULL",
        id.0,
        &hosts,
        &boot_ids,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn list_boot_ids(conn: &mut PgConnection, id: RunId) -> ApiResult<BTreeMap<CiId, String>> {
    let rows = sqlx::query!(
        r#"SELECT ci_id, boot_id AS "boot_id!" FROM patch.run_hosts WHERE run_id = $1 AND boot_id IS NOT NULL"#,
        id.0
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok((CiId::new(row.ci_id).map_err(ApiError::internal)?, row.boot_id))).collect()
}

/// When each state of a run began, in order.
pub async fn list_state_changes(
    conn: &mut PgConnection,
    id: RunId,
) -> ApiResult<Vec<(DateTime<Utc>, RunState)>> {
    let rows = sqlx::query!(
        r#"SELECT at, data->>'state' AS "state!" FROM patch.run_events
         WHERE run_id = $1 AND type = 'patch.run.state_changed.v1' AND data ? 'state' ORDER BY sequence"#,
        id.0
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| Ok((row.at, from_text(row.state)?))).collect()
}

fn signed(step: u64) -> i64 {
    i64::try_from(step).unwrap_or(i64::MAX)
}
