//! Problems, each with the incidents that point to it.

use api_types::itsm::{CreateProblem, Problem, ProblemState};
use chrono::{DateTime, Utc};
use service_kit::text_enum::{from_text, to_text};
use sqlx::PgConnection;

struct ProblemRow {
    number: i64,
    id: String,
    state: String,
    short_description: String,
    description: String,
    root_cause: Option<String>,
    workaround: Option<String>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    incident_ids: Vec<String>,
}

/// A problem and its place in lists.
#[derive(Debug)]
pub struct Numbered {
    pub number: i64,
    pub problem: Problem,
}

impl TryFrom<ProblemRow> for Numbered {
    type Error = sqlx::Error;

    fn try_from(row: ProblemRow) -> sqlx::Result<Self> {
        let problem = Problem {
            id: row.id,
            state: from_text(row.state)?,
            short_description: row.short_description,
            description: row.description,
            root_cause: row.root_cause,
            workaround: row.workaround,
            incident_ids: row.incident_ids,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        };
        Ok(Self { number: row.number, problem })
    }
}

/// Inserts an open problem and returns its id.
pub async fn insert_problem(
    connection: &mut PgConnection,
    request: &CreateProblem,
    now: DateTime<Utc>,
) -> sqlx::Result<String> {
    sqlx::query_scalar!(
        "INSERT INTO itsm.problems (state, short_description, description, created_at, updated_at)
         VALUES ('open', $1, $2, $3, $3) RETURNING id",
        request.short_description,
        request.description,
        now,
    )
    .fetch_one(connection)
    .await
}

pub async fn find_problem(connection: &mut PgConnection, id: &str) -> sqlx::Result<Option<Problem>> {
    let row = sqlx::query_as!(
        ProblemRow,
        r#"SELECT problem.*, ARRAY(SELECT id FROM itsm.incidents WHERE problem_id = problem.id ORDER BY number)
               AS "incident_ids!: Vec<String>"
           FROM itsm.problems AS problem WHERE problem.id = $1"#,
        id
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Numbered::try_from).transpose()?.map(|one| one.problem))
}

/// Like [`find_problem`]; others who want to change it wait until the end of the caller's transaction.
pub async fn lock_problem(connection: &mut PgConnection, id: &str) -> sqlx::Result<Option<Problem>> {
    sqlx::query!("SELECT number FROM itsm.problems WHERE id = $1 FOR NO KEY UPDATE", id)
        .fetch_optional(&mut *connection)
        .await?;
    find_problem(connection, id).await
}

/// Newest first, from below the number `before`.
pub async fn list_problems(
    connection: &mut PgConnection,
    state: Option<ProblemState>,
    limit: i64,
    before: Option<i64>,
) -> sqlx::Result<Vec<Numbered>> {
    let rows = sqlx::query_as!(
        ProblemRow,
        r#"SELECT problem.*, ARRAY(SELECT id FROM itsm.incidents WHERE problem_id = problem.id ORDER BY number)
               AS "incident_ids!: Vec<String>"
           FROM itsm.problems AS problem
           WHERE ($1::bigint IS NULL OR problem.number < $1) AND ($2::text IS NULL OR problem.state = $2)
           ORDER BY problem.number DESC LIMIT $3"#,
        before,
        state.as_ref().map(to_text).transpose()?,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Numbered::try_from).collect()
}

/// Writes what may change of a locked problem.
pub async fn update_problem(connection: &mut PgConnection, problem: &Problem) -> sqlx::Result<()> {
    let updated = sqlx::query!(
        "UPDATE itsm.problems SET state = $2, short_description = $3, description = $4, root_cause = $5, workaround = $6,
             version = $7, updated_at = $8
         WHERE id = $1 AND version = $7::bigint - 1",
        problem.id,
        to_text(&problem.state)?,
        problem.short_description,
        problem.description,
        problem.root_cause,
        problem.workaround,
        problem.version,
        problem.updated_at,
    )
    .execute(connection)
    .await?;
    match updated.rows_affected() {
        1 => Ok(()),
        _ => Err(sqlx::Error::RowNotFound),
    }
}
