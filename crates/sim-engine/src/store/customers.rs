use chrono::{DateTime, Utc};
use domain::ids::CiId;
use service_kit::{ApiError, ApiResult};
use sqlx::PgConnection;

use crate::customer::Customer;

fn unknown(id: &CiId) -> ApiError {
    ApiError::not_found(format!("customer `{id}`"))
}

pub async fn upsert_customer(
    conn: &mut PgConnection,
    id: &CiId,
    customer: &Customer,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO sim.customers (id, body, updated_at) VALUES ($1, $2, $3)
         ON CONFLICT (id) DO UPDATE SET body = excluded.body, updated_at = excluded.updated_at",
        id.as_str(),
        serde_json::to_value(customer)?,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn get_customer(conn: &mut PgConnection, id: &CiId) -> ApiResult<Customer> {
    let body = sqlx::query_scalar!("SELECT body FROM sim.customers WHERE id = $1", id.as_str())
        .fetch_optional(conn)
        .await?;
    Ok(serde_json::from_value(body.ok_or_else(|| unknown(id))?)?)
}

/// The customer, locked until the transaction ends.
pub async fn lock_customer(conn: &mut PgConnection, id: &CiId) -> ApiResult<Customer> {
    let body = sqlx::query_scalar!("SELECT body FROM sim.customers WHERE id = $1 FOR UPDATE", id.as_str())
        .fetch_optional(conn)
        .await?;
    Ok(serde_json::from_value(body.ok_or_else(|| unknown(id))?)?)
}

/// Ordered by id.
pub async fn list_customers(
    conn: &mut PgConnection,
    after: Option<&str>,
    limit: i64,
) -> ApiResult<Vec<(CiId, Customer)>> {
    let rows = sqlx::query!(
        "SELECT id, body FROM sim.customers WHERE $1::text IS NULL OR id > $1 ORDER BY id LIMIT $2",
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter()
        .map(|row| Ok((CiId::new(&row.id).map_err(ApiError::internal)?, serde_json::from_value(row.body)?)))
        .collect()
}

pub async fn delete_customer(conn: &mut PgConnection, id: &CiId) -> ApiResult<()> {
    let deleted = sqlx::query!("DELETE FROM sim.customers WHERE id = $1", id.as_str()).execute(conn).await?;
    if deleted.rows_affected() == 1 { Ok(()) } else { Err(unknown(id)) }
}
