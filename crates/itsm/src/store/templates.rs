//! Templates of standard changes.

use api_types::itsm::{PutTemplate, Template};
use chrono::{DateTime, Utc};
use service_kit::text_enum::{from_text, to_text};
use sqlx::PgConnection;

struct Row {
    name: String,
    description: String,
    max_risk: String,
    max_span_hours: i32,
    owner: String,
    expires_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    updated_by: String,
    approved_by: Option<String>,
}

impl TryFrom<Row> for Template {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        Ok(Self {
            name: row.name,
            description: row.description,
            max_risk: from_text(row.max_risk)?,
            max_span_hours: u32::try_from(row.max_span_hours).unwrap_or_default(),
            owner: row.owner,
            expires_at: row.expires_at,
            updated_at: row.updated_at,
            updated_by: row.updated_by,
            approved_by: row.approved_by,
        })
    }
}

/// In the order of their names.
pub async fn list_templates(conn: &mut PgConnection) -> sqlx::Result<Vec<Template>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT name, description, max_risk, max_span_hours, owner, expires_at, updated_at, updated_by, approved_by
         FROM itsm.templates ORDER BY name"
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Template::try_from).collect()
}

/// Locks the template until the end of the caller's transaction.
pub async fn lock_template(conn: &mut PgConnection, name: &str) -> sqlx::Result<Option<Template>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT name, description, max_risk, max_span_hours, owner, expires_at, updated_at, updated_by, approved_by
         FROM itsm.templates WHERE name = $1 FOR UPDATE",
        name
    )
    .fetch_optional(conn)
    .await?;
    row.map(Template::try_from).transpose()
}

/// Writes a template, which nobody has approved then.
pub async fn put_template(
    conn: &mut PgConnection,
    name: &str,
    request: &PutTemplate,
    by: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO itsm.templates (name, description, max_risk, max_span_hours, owner, expires_at, updated_at, updated_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (name) DO UPDATE SET description = $2, max_risk = $3, max_span_hours = $4, owner = $5, expires_at = $6,
             updated_at = $7, updated_by = $8, approved_by = NULL, approved_at = NULL",
        name,
        request.description,
        to_text(&request.max_risk)?,
        i32::try_from(request.max_span_hours).unwrap_or(i32::MAX),
        request.owner,
        request.expires_at,
        now,
        by,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn approve_template(
    conn: &mut PgConnection,
    name: &str,
    by: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "UPDATE itsm.templates SET approved_by = $2, approved_at = $3 WHERE name = $1",
        name,
        by,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}
