//! Freeze calendars.

use api_types::patch::Calendar;
use chrono::{DateTime, Utc};
use domain::time::Freeze;
use serde_json::Value;
use service_kit::{ApiError, ApiResult};
use sqlx::PgConnection;
use uuid::Uuid;

struct Row {
    id: Uuid,
    name: String,
    reason: String,
    scope: Value,
    freezes: Value,
    created_by: String,
    created_at: DateTime<Utc>,
}

impl Row {
    fn into_calendar(self) -> ApiResult<Calendar> {
        Ok(Calendar {
            id: self.id,
            name: self.name,
            reason: self.reason,
            scope: serde_json::from_value(self.scope)?,
            freezes: self.freezes,
            created_by: self.created_by,
            created_at: self.created_at,
            prices: Vec::new(),
        })
    }
}

pub async fn insert_calendar(conn: &mut PgConnection, calendar: &Calendar) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.calendars (id, name, reason, scope, freezes, created_by, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        calendar.id,
        calendar.name,
        calendar.reason,
        serde_json::to_value(&calendar.scope)?,
        calendar.freezes,
        calendar.created_by,
        calendar.created_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn get_calendar(conn: &mut PgConnection, id: Uuid) -> ApiResult<Calendar> {
    let row = sqlx::query_as!(
        Row,
        "SELECT id, name, reason, scope, freezes, created_by, created_at FROM patch.calendars WHERE id = $1",
        id
    )
    .fetch_optional(conn)
    .await?;
    row.ok_or_else(|| ApiError::not_found(format!("calendar `{id}`")))?.into_calendar()
}

/// Oldest first.
pub async fn list_calendars(
    conn: &mut PgConnection,
    after: Option<Uuid>,
    limit: i64,
) -> ApiResult<Vec<Calendar>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT id, name, reason, scope, freezes, created_by, created_at FROM patch.calendars
         WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT $2",
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::into_calendar).collect()
}

pub async fn delete_calendar(conn: &mut PgConnection, id: Uuid) -> ApiResult<()> {
    sqlx::query!("DELETE FROM patch.calendars WHERE id = $1", id).execute(conn).await?;
    Ok(())
}

/// Serialises changes, because the limit of entries applies to all calendars together.
pub async fn lock_calendars(conn: &mut PgConnection) -> ApiResult<()> {
    sqlx::query!("LOCK TABLE patch.calendars IN SHARE ROW EXCLUSIVE MODE").execute(conn).await?;
    Ok(())
}

/// Every freeze of every calendar, with a unique uid.
pub async fn list_freezes(conn: &mut PgConnection) -> ApiResult<Vec<Freeze>> {
    let rows = sqlx::query!("SELECT id, freezes FROM patch.calendars ORDER BY id").fetch_all(conn).await?;
    let mut freezes = Vec::new();
    for row in rows {
        let entries: Vec<Freeze> = serde_json::from_value(row.freezes)?;
        for entry in entries {
            let mut fields = domain::time::FreezeFields::from(entry);
            // Files from different sources may use the same uid.
            fields.uid = format!("{}/{}", row.id.simple(), fields.uid).chars().take(200).collect();
            freezes.push(Freeze::try_from(fields).map_err(ApiError::internal)?);
        }
    }
    Ok(freezes)
}
