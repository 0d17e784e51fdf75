//! Incidents.

use api_types::itsm::{CreateIncident, Incident, IncidentState, Severity};
use chrono::{DateTime, Utc};
use domain::ids::{ChangeId, CiId};
use service_kit::text_enum::{from_text, to_text};
use sqlx::PgConnection;

use super::{ci_ids, ci_names};

struct IncidentRow {
    number: i64,
    id: String,
    state: String,
    short_description: String,
    description: String,
    severity: String,
    ci_ids: Vec<String>,
    change_id: Option<String>,
    correlation_id: Option<String>,
    problem_id: Option<String>,
    opened_by: String,
    assigned_to: Option<String>,
    resolution: Option<String>,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    resolved_at: Option<DateTime<Utc>>,
}

/// An incident and its place in lists.
#[derive(Debug)]
pub struct Numbered {
    pub number: i64,
    pub incident: Incident,
}

impl TryFrom<IncidentRow> for Numbered {
    type Error = sqlx::Error;

    fn try_from(row: IncidentRow) -> sqlx::Result<Self> {
        let incident = Incident {
            id: row.id,
            state: from_text(row.state)?,
            short_description: row.short_description,
            description: row.description,
            severity: from_text(row.severity)?,
            ci_ids: ci_ids(row.ci_ids)?,
            change_id: row.change_id.map(from_text).transpose()?,
            correlation_id: row.correlation_id,
            problem_id: row.problem_id,
            opened_by: row.opened_by,
            assigned_to: row.assigned_to,
            resolution: row.resolution,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
            resolved_at: row.resolved_at,
        };
        Ok(Self { number: row.number, incident })
    }
}

fn incident_of(row: Option<IncidentRow>) -> sqlx::Result<Option<Incident>> {
    Ok(row.map(Numbered::try_from).transpose()?.map(|one| one.incident))
}

/// Inserts an open incident; `None` when one with the same correlation id is there.
pub async fn insert_incident(
    connection: &mut PgConnection,
    request: &CreateIncident,
    opened_by: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Option<Incident>> {
    let row = sqlx::query_as!(
        IncidentRow,
        "INSERT INTO itsm.incidents (state, short_description, description, severity, ci_ids, change_id, correlation_id,
             opened_by, created_at, updated_at)
         VALUES ('open', $1, $2, $3, $4, $5, $6, $7, $8, $8)
         ON CONFLICT (correlation_id) DO NOTHING RETURNING *",
        request.short_description,
        request.description,
        to_text(&request.severity)?,
        &ci_names(&request.ci_ids),
        request.change_id.as_ref().map(ChangeId::as_str),
        request.correlation_id,
        opened_by,
        now,
    )
    .fetch_optional(connection)
    .await?;
    incident_of(row)
}

pub async fn find_incident(connection: &mut PgConnection, id: &str) -> sqlx::Result<Option<Incident>> {
    let row = sqlx::query_as!(IncidentRow, "SELECT * FROM itsm.incidents WHERE id = $1", id)
        .fetch_optional(connection)
        .await?;
    incident_of(row)
}

pub async fn find_incident_by_correlation_id(
    connection: &mut PgConnection,
    correlation_id: &str,
) -> sqlx::Result<Option<Incident>> {
    let row = sqlx::query_as!(
        IncidentRow,
        "SELECT * FROM itsm.incidents WHERE correlation_id = $1",
        correlation_id
    )
    .fetch_optional(connection)
    .await?;
    incident_of(row)
}

/// Like [`find_incident`]; others who want to change it wait until the end of the caller's transaction.
pub async fn lock_incident(connection: &mut PgConnection, id: &str) -> sqlx::Result<Option<Incident>> {
    let row =
        sqlx::query_as!(IncidentRow, "SELECT * FROM itsm.incidents WHERE id = $1 FOR NO KEY UPDATE", id)
            .fetch_optional(connection)
            .await?;
    incident_of(row)
}

/// Which incidents to list; what is `None` does not matter.
#[derive(Debug, Default)]
pub struct IncidentFilter {
    pub state: Option<IncidentState>,
    pub severity: Option<Severity>,
    pub ci: Option<CiId>,
    pub change_id: Option<ChangeId>,
    pub problem_id: Option<String>,
    pub correlation_id: Option<String>,
}

/// Newest first, from below the number `before`.
pub async fn list_incidents(
    connection: &mut PgConnection,
    filter: &IncidentFilter,
    limit: i64,
    before: Option<i64>,
) -> sqlx::Result<Vec<Numbered>> {
    let rows = sqlx::query_as!(
        IncidentRow,
        "SELECT * FROM itsm.incidents
         WHERE ($1::bigint IS NULL OR number < $1) AND ($2::text IS NULL OR state = $2)
           AND ($3::text IS NULL OR severity = $3) AND ($4::text IS NULL OR ci_ids @> ARRAY[$4])
           AND ($5::text IS NULL OR change_id = $5) AND ($6::text IS NULL OR problem_id = $6)
           AND ($7::text IS NULL OR correlation_id = $7)
         ORDER BY number DESC LIMIT $8",
        before,
        filter.state.as_ref().map(to_text).transpose()?,
        filter.severity.as_ref().map(to_text).transpose()?,
        filter.ci.as_ref().map(CiId::as_str),
        filter.change_id.as_ref().map(ChangeId::as_str),
        filter.problem_id,
        filter.correlation_id,
        limit,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(Numbered::try_from).collect()
}

/// Writes what may change of a locked incident.
pub async fn update_incident(connection: &mut PgConnection, incident: &Incident) -> sqlx::Result<()> {
    let updated = sqlx::query!(
        "UPDATE itsm.incidents SET state = $2, short_description = $3, description = $4, severity = $5, problem_id = $6,
             assigned_to = $7, resolution = $8, version = $9, updated_at = $10, resolved_at = $11
         WHERE id = $1 AND version = $9::bigint - 1",
        incident.id,
        to_text(&incident.state)?,
        incident.short_description,
        incident.description,
        to_text(&incident.severity)?,
        incident.problem_id,
        incident.assigned_to,
        incident.resolution,
        incident.version,
        incident.updated_at,
        incident.resolved_at,
    )
    .execute(connection)
    .await?;
    match updated.rows_affected() {
        1 => Ok(()),
        _ => Err(sqlx::Error::RowNotFound),
    }
}
