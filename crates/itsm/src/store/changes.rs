//! Change requests and their conflicts.

use api_types::itsm::{Change, Conflict, CreateChange};
use chrono::{DateTime, Utc};
use domain::{
    change::{ChangeKind, ChangeState},
    ids::{ChangeId, CiId},
};
use serde::Deserialize;
use serde_json::Value;
use service_kit::text_enum::{from_text, to_text};
use sqlx::PgConnection;
use utoipa::IntoParams;

use super::{Numbered, approvals, ci_ids, ci_names};

struct ChangeRow {
    number: i64,
    id: String,
    kind: String,
    state: String,
    short_description: String,
    description: String,
    risk: String,
    requested_by: String,
    opened_by: String,
    edited_by: Vec<String>,
    assignment_group: Option<String>,
    ci_ids: Vec<String>,
    plan_hash: Option<String>,
    start_at: DateTime<Utc>,
    end_at: DateTime<Utc>,
    implementation_plan: String,
    backout_plan: String,
    test_plan: String,
    template: Option<String>,
    preapproved_by: Option<String>,
    approver_emails: Vec<String>,
    evidence: Value,
    close_evidence: Option<Value>,
    review_due_at: Option<DateTime<Utc>>,
    reviewed_by: Option<String>,
    reviewed_at: Option<DateTime<Utc>>,
    review_notes: Option<String>,
    close_code: Option<String>,
    close_notes: Option<String>,
    work_start: Option<DateTime<Utc>>,
    work_end: Option<DateTime<Utc>>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<ChangeRow> for Numbered<Change> {
    type Error = sqlx::Error;

    /// Without its approvals, which are read separately.
    fn try_from(row: ChangeRow) -> sqlx::Result<Self> {
        let change = Change {
            id: from_text(row.id)?,
            kind: from_text(row.kind)?,
            state: from_text(row.state)?,
            short_description: row.short_description,
            description: row.description,
            risk: from_text(row.risk)?,
            requested_by: row.requested_by,
            opened_by: row.opened_by,
            edited_by: row.edited_by,
            assignment_group: row.assignment_group,
            ci_ids: ci_ids(row.ci_ids)?,
            plan_hash: row.plan_hash,
            start_at: row.start_at,
            end_at: row.end_at,
            implementation_plan: row.implementation_plan,
            backout_plan: row.backout_plan,
            test_plan: row.test_plan,
            template: row.template,
            preapproved_by: row.preapproved_by,
            approver_emails: row.approver_emails,
            evidence: row.evidence,
            close_evidence: row.close_evidence,
            approvals: Vec::new(),
            review_due_at: row.review_due_at,
            reviewed_by: row.reviewed_by,
            reviewed_at: row.reviewed_at,
            review_notes: row.review_notes,
            close_code: row.close_code.map(from_text).transpose()?,
            close_notes: row.close_notes,
            work_start: row.work_start,
            work_end: row.work_end,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        Ok(Self { number: row.number, item: change })
    }
}

/// Who opens a change, for whom, and when.
pub struct Opening<'a> {
    pub requested_by: &'a str,
    pub opened_by: &'a str,
    pub now: DateTime<Utc>,
}

/// Inserts a draft.
pub async fn insert_change(
    conn: &mut PgConnection,
    request: &CreateChange,
    opening: Opening<'_>,
) -> sqlx::Result<Change> {
    let row = sqlx::query_as!(
        ChangeRow,
        "INSERT INTO itsm.changes (kind, state, short_description, description, risk, requested_by, opened_by,
             edited_by, assignment_group, ci_ids, plan_hash, start_at, end_at, implementation_plan, backout_plan, test_plan,
             template, approver_emails, evidence, created_at, updated_at, preapproved_by)
         VALUES ($1, 'draft', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $19, $20)
         RETURNING *",
        to_text(&request.kind)?,
        request.short_description,
        request.description,
        to_text(&request.risk)?,
        opening.requested_by,
        opening.opened_by,
        &request.editors,
        request.assignment_group,
        &ci_names(&request.ci_ids),
        request.plan_hash,
        request.start_at,
        request.end_at,
        request.implementation_plan,
        request.backout_plan,
        request.test_plan,
        request.template,
        &request.approver_emails,
        request.evidence,
        opening.now,
        request.preapproved_by,
    )
    .fetch_one(conn)
    .await?;
    Ok(Numbered::try_from(row)?.item)
}

pub async fn find_change(conn: &mut PgConnection, id: &ChangeId) -> sqlx::Result<Option<Change>> {
    let row = sqlx::query_as!(ChangeRow, "SELECT * FROM itsm.changes WHERE id = $1", id.as_str())
        .fetch_optional(&mut *conn)
        .await?;
    with_approvals(conn, row).await
}

/// Like [`find_change`]; other writers wait until the end of the caller's transaction.
pub async fn lock_change(conn: &mut PgConnection, id: &ChangeId) -> sqlx::Result<Option<Change>> {
    let row =
        sqlx::query_as!(ChangeRow, "SELECT * FROM itsm.changes WHERE id = $1 FOR NO KEY UPDATE", id.as_str())
            .fetch_optional(&mut *conn)
            .await?;
    with_approvals(conn, row).await
}

async fn with_approvals(conn: &mut PgConnection, row: Option<ChangeRow>) -> sqlx::Result<Option<Change>> {
    let Some(row) = row else { return Ok(None) };
    let Numbered { number, item: mut change } = row.try_into()?;
    change.approvals = approvals::list_approvals(conn, &[number]).await?.remove(&number).unwrap_or_default();
    Ok(Some(change))
}

/// Which changes to list; every condition given must hold.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ChangeFilter {
    /// Only changes in this state.
    pub state: Option<ChangeState>,
    /// Only changes of this kind.
    pub kind: Option<ChangeKind>,
    /// Only changes of this CI.
    #[param(value_type = Option<String>)]
    pub ci: Option<CiId>,
    /// Only changes that this subject requested.
    pub requested_by: Option<String>,
    /// Only changes for this plan.
    pub plan_hash: Option<String>,
    /// Part of the id or of the short description, in any case. Only the 20,000 newest changes are searched.
    pub text: Option<String>,
}

/// Changes that are searched for a text.
const NEWEST: i64 = 20_000;

/// Newest first, from below the number `before`.
pub async fn list_changes(
    conn: &mut PgConnection,
    filter: &ChangeFilter,
    limit: i64,
    before: Option<i64>,
) -> sqlx::Result<Vec<Numbered<Change>>> {
    let rows = sqlx::query_as!(
        ChangeRow,
        "SELECT * FROM itsm.changes
         WHERE ($1::bigint IS NULL OR number < $1) AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR kind = $3)
           AND ($4::text IS NULL OR ci_ids @> ARRAY[$4]) AND ($5::text IS NULL OR requested_by = $5)
           AND ($6::text IS NULL OR plan_hash = $6)
           AND ($8::text IS NULL OR number > (SELECT coalesce(max(number), 0) - $9 FROM itsm.changes)
               AND (position(upper($8) IN id) > 0 OR position(lower($8) IN lower(short_description)) > 0))
         ORDER BY number DESC LIMIT $7",
        before,
        filter.state.as_ref().map(to_text).transpose()?,
        filter.kind.as_ref().map(to_text).transpose()?,
        filter.ci.as_ref().map(CiId::as_str),
        filter.requested_by,
        filter.plan_hash,
        limit,
        filter.text,
        NEWEST,
    )
    .fetch_all(&mut *conn)
    .await?;
    let mut changes = rows.into_iter().map(Numbered::try_from).collect::<sqlx::Result<Vec<_>>>()?;
    let numbers: Vec<i64> = changes.iter().map(|one| one.number).collect();
    let mut approvals = approvals::list_approvals(conn, &numbers).await?;
    for one in &mut changes {
        one.item.approvals = approvals.remove(&one.number).unwrap_or_default();
    }
    Ok(changes)
}

/// Writes what may change of a locked change. Its approvals are written separately.
pub async fn update_change(conn: &mut PgConnection, change: &Change) -> sqlx::Result<()> {
    let updated = sqlx::query!(
        "UPDATE itsm.changes SET state = $2, short_description = $3, description = $4, risk = $5, edited_by = $6,
             assignment_group = $7, ci_ids = $8, plan_hash = $9, start_at = $10, end_at = $11,
             implementation_plan = $12, backout_plan = $13, test_plan = $14, close_evidence = $15, review_due_at = $16,
             close_code = $17, close_notes = $18, work_start = $19, work_end = $20, version = $21::bigint, updated_at = $22,
             reviewed_by = $23, reviewed_at = $24, review_notes = $25
         WHERE id = $1 AND version = $21::bigint - 1",
        change.id.as_str(),
        to_text(&change.state)?,
        change.short_description,
        change.description,
        to_text(&change.risk)?,
        &change.edited_by,
        change.assignment_group,
        &ci_names(&change.ci_ids),
        change.plan_hash,
        change.start_at,
        change.end_at,
        change.implementation_plan,
        change.backout_plan,
        change.test_plan,
        change.close_evidence,
        change.review_due_at,
        change.close_code.as_ref().map(to_text).transpose()?,
        change.close_notes,
        change.work_start,
        change.work_end,
        change.version,
        change.updated_at,
        change.reviewed_by,
        change.reviewed_at,
        change.review_notes,
    )
    .execute(conn)
    .await?;
    match updated.rows_affected() {
        1 => Ok(()),
        _ => Err(sqlx::Error::RowNotFound),
    }
}

/// Other changes that are not over, share a CI with this one and overlap its span: every one of them. Spans that only
/// touch do not overlap.
pub async fn list_conflicts(conn: &mut PgConnection, change: &Change) -> sqlx::Result<Vec<Conflict>> {
    let rows = sqlx::query!(
        r#"SELECT id, state, start_at, end_at,
               ARRAY(SELECT unnest(ci_ids) INTERSECT SELECT unnest($2::text[]) ORDER BY 1) AS "shared!: Vec<String>"
           FROM itsm.changes
           WHERE ci_ids && $2 AND id <> $1 AND start_at < $4 AND end_at > $3
             AND state IN ('draft', 'pending_approval', 'approved', 'in_progress')
           ORDER BY start_at, number"#,
        change.id.as_str(),
        &ci_names(&change.ci_ids),
        change.start_at,
        change.end_at,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Conflict {
                kind: "change".to_owned(),
                with: row.id,
                state: Some(from_text(row.state)?),
                ci_ids: ci_ids(row.shared)?,
                start_at: row.start_at,
                end_at: row.end_at,
            })
        })
        .collect()
}
