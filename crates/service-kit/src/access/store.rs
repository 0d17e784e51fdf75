//! SQL of tokens, approvers and proposals.

use api_types::access::{ApproverBy, ApproverInfo, IssuedToken, Proposal, ProposalState, Proposed, Role};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::new_secret;
use crate::{
    auth,
    people::Written,
    text_enum::{from_text, to_text},
};

/// Makes writes about approvers wait for each other until the transaction ends: only one can be the first.
pub(super) async fn lock_approvers(conn: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('platform.approvers', 0))")
        .execute(conn)
        .await?;
    Ok(())
}

/// Which approvers there ever were, revoked and removed ones included.
pub(super) struct ApproverHistory {
    pub tokens: bool,
    pub own_record: bool,
    pub other_records: bool,
}

pub(super) async fn read_approver_history(
    conn: &mut PgConnection,
    subject: &str,
) -> sqlx::Result<ApproverHistory> {
    sqlx::query_as!(
        ApproverHistory,
        r#"SELECT EXISTS (SELECT FROM platform.tokens WHERE 'approver' = ANY(roles)) AS "tokens!",
               EXISTS (SELECT FROM platform.people WHERE was_approver AND subject = $1) AS "own_record!",
               EXISTS (SELECT FROM platform.people WHERE was_approver AND subject <> $1) AS "other_records!""#,
        subject
    )
    .fetch_one(conn)
    .await
}

pub(super) async fn insert_token(
    conn: &mut PgConnection,
    subject: &str,
    roles: &[Role],
    ci: Option<&str>,
    lifetime: TimeDelta,
    written: Written<'_>,
) -> sqlx::Result<IssuedToken> {
    let (secret, id) = (new_secret(), Uuid::now_v7());
    let expires_at = written.at + lifetime;
    let hash = auth::hash(&secret);
    sqlx::query!(
        "INSERT INTO platform.tokens (id, hash, subject, roles, ci_id, created_at, expires_at, created_by, confirmed_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        id,
        hash.as_slice(),
        subject,
        &auth::role_names(roles),
        ci,
        written.at,
        expires_at,
        written.by,
        written.confirmed_by,
    )
    .execute(conn)
    .await?;
    let (subject, ci) = (subject.to_owned(), ci.map(str::to_owned));
    Ok(IssuedToken { id, token: secret, subject, roles: roles.to_vec(), ci, expires_at })
}

struct ProposalRow {
    id: Uuid,
    proposed: Value,
    proposed_by: String,
    proposed_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    state: String,
    decided_by: Option<String>,
    decided_at: Option<DateTime<Utc>>,
}

impl TryFrom<ProposalRow> for Proposal {
    type Error = sqlx::Error;

    fn try_from(row: ProposalRow) -> sqlx::Result<Self> {
        let proposed: Proposed =
            serde_json::from_value(row.proposed).map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(Self {
            id: row.id,
            proposed,
            proposed_by: row.proposed_by,
            proposed_at: row.proposed_at,
            expires_at: row.expires_at,
            state: from_text(row.state)?,
            decided_by: row.decided_by,
            decided_at: row.decided_at,
        })
    }
}

pub(super) async fn insert_proposal(conn: &mut PgConnection, proposal: &Proposal) -> sqlx::Result<()> {
    let proposed =
        serde_json::to_value(&proposal.proposed).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query!(
        "INSERT INTO platform.proposals (id, proposed, proposed_by, proposed_at, expires_at) VALUES ($1, $2, $3, $4, $5)",
        proposal.id,
        proposed,
        proposal.proposed_by,
        proposal.proposed_at,
        proposal.expires_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Other decisions wait until the transaction ends.
pub(super) async fn lock_proposal(conn: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Proposal>> {
    let row = sqlx::query_as!(
        ProposalRow,
        "SELECT id, proposed, proposed_by, proposed_at, expires_at, state, decided_by, decided_at
         FROM platform.proposals WHERE id = $1 FOR UPDATE",
        id
    )
    .fetch_optional(conn)
    .await?;
    row.map(Proposal::try_from).transpose()
}

pub(super) async fn update_proposal(conn: &mut PgConnection, proposal: &Proposal) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE platform.proposals SET state = $2, decided_by = $3, decided_at = $4 WHERE id = $1",
        proposal.id,
        to_text(&proposal.state)?,
        proposal.decided_by,
        proposal.decided_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Newest first, from before the proposal `before`.
pub(super) async fn list_proposals(
    conn: &mut PgConnection,
    state: Option<ProposalState>,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Proposal>> {
    let rows = sqlx::query_as!(
        ProposalRow,
        "SELECT id, proposed, proposed_by, proposed_at, expires_at, state, decided_by, decided_at
         FROM platform.proposals
         WHERE ($1::text IS NULL OR state = $1) AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
        state.as_ref().map(to_text).transpose()?,
        before,
        limit,
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Proposal::try_from).collect()
}

/// Valid tokens with the role, and people who get links.
pub(super) async fn list_approvers(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<ApproverInfo>> {
    let rows = sqlx::query!(
        r#"SELECT subject AS "subject!", created_at AS "since!", 'token' AS "by!", created_by, confirmed_by
           FROM platform.tokens WHERE 'approver' = ANY(roles) AND revoked_at IS NULL AND expires_at > $1
               AND session_of IS NULL AND identity IS NULL
           UNION ALL
           SELECT subject, min(created_at), 'sign_in', NULL, NULL FROM platform.tokens
           WHERE 'approver' = ANY(roles) AND revoked_at IS NULL AND expires_at > $1 AND identity IS NOT NULL GROUP BY subject
           UNION ALL
           SELECT subject, updated_at, 'link', updated_by, confirmed_by FROM platform.people
           WHERE 'approver' = ANY(roles) AND removed_at IS NULL
               AND EXISTS (SELECT FROM platform.person_addresses one WHERE one.subject = people.subject)
           ORDER BY 1, 2 LIMIT 1000"#,
        now
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ApproverInfo {
                subject: row.subject,
                since: row.since,
                by: from_text::<ApproverBy>(row.by)?,
                created_by: row.created_by,
                confirmed_by: row.confirmed_by,
            })
        })
        .collect()
}

/// Lets a valid token expire at `at`, if that is earlier, and returns the time for which it was issued; `None` if it is not valid.
pub(super) async fn end_token(
    conn: &mut PgConnection,
    id: Uuid,
    now: DateTime<Utc>,
    at: DateTime<Utc>,
) -> sqlx::Result<Option<TimeDelta>> {
    let row = sqlx::query!(
        "SELECT created_at, expires_at, lifetime_seconds FROM platform.tokens
         WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2 FOR UPDATE",
        id,
        now
    )
    .fetch_optional(&mut *conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let lifetime = row.lifetime_seconds.map(TimeDelta::seconds).unwrap_or(row.expires_at - row.created_at);
    sqlx::query!(
        "UPDATE platform.tokens SET expires_at = least(expires_at, $2), lifetime_seconds = $3 WHERE id = $1",
        id,
        at,
        lifetime.num_seconds()
    )
    .execute(conn)
    .await?;
    Ok(Some(lifetime))
}
