//! Customers and the table of release policies.

use api_types::patch::{StoredCustomer, StoredReleasePolicies};
use chrono::{DateTime, Utc};
use domain::{
    ids::CiId,
    release::{Customer, ReleasePolicies, Version},
};
use serde_json::Value;
use service_kit::{ApiError, ApiResult, problem_types};
use sqlx::PgConnection;

struct Row {
    body: Value,
    current_version: String,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    updated_by: String,
}

impl Row {
    fn into_customer(self) -> ApiResult<StoredCustomer> {
        let mut customer: Customer = serde_json::from_value(self.body)?;
        customer.current_version = version_of(&self.current_version)?;
        Ok(StoredCustomer {
            customer,
            watch: None,
            revision: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            updated_by: self.updated_by,
        })
    }
}

/// A version as it is stored.
pub fn version_of(text: &str) -> ApiResult<Version> {
    text.parse().map_err(ApiError::internal)
}

/// A slug as it is stored.
pub fn slug_of(text: String) -> ApiResult<CiId> {
    CiId::new(text).map_err(ApiError::internal)
}

pub async fn find_customer(conn: &mut PgConnection, slug: &CiId) -> ApiResult<Option<StoredCustomer>> {
    let row = sqlx::query_as!(
        Row,
        "SELECT body, current_version, version, created_at, updated_at, updated_by FROM patch.customers WHERE slug = $1",
        slug.as_str()
    )
    .fetch_optional(conn)
    .await?;
    row.map(Row::into_customer).transpose()
}

pub async fn get_customer(conn: &mut PgConnection, slug: &CiId) -> ApiResult<StoredCustomer> {
    find_customer(conn, slug).await?.ok_or_else(|| ApiError::not_found(format!("customer `{slug}`")))
}

/// Reads a customer and locks it until the transaction ends.
pub async fn lock_customer(conn: &mut PgConnection, slug: &CiId) -> ApiResult<Option<StoredCustomer>> {
    sqlx::query!("SELECT slug FROM patch.customers WHERE slug = $1 FOR UPDATE", slug.as_str())
        .fetch_optional(&mut *conn)
        .await?;
    find_customer(conn, slug).await
}

/// In the order of their slugs; of one tier if it is given.
pub async fn list_customers(
    conn: &mut PgConnection,
    tier: Option<&str>,
    after: Option<&str>,
    limit: i64,
) -> ApiResult<Vec<StoredCustomer>> {
    let rows = sqlx::query_as!(
        Row,
        "SELECT body, current_version, version, created_at, updated_at, updated_by FROM patch.customers
         WHERE ($1::text IS NULL OR tier = $1) AND ($2::text IS NULL OR slug > $2) ORDER BY slug LIMIT $3",
        tier,
        after,
        limit
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(Row::into_customer).collect()
}

#[derive(Debug)]
pub struct CustomerHit {
    pub slug: String,
    pub name: String,
    pub tier: String,
    pub current_version: String,
}

/// With a slug that begins with a text, or a name that contains it, in the order of their slugs. `text` is in lower case.
pub async fn search_customers(
    conn: &mut PgConnection,
    text: &str,
    limit: i64,
) -> ApiResult<Vec<CustomerHit>> {
    let found = sqlx::query_as!(
        CustomerHit,
        "SELECT slug, name, tier, current_version FROM patch.customers
         WHERE starts_with(slug, $1) OR position($1 IN lower(name)) > 0 ORDER BY slug LIMIT $2",
        text,
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(found)
}

/// `false` if the slug already exists.
pub async fn insert_customer(
    conn: &mut PgConnection,
    customer: &Customer,
    by: &str,
    now: DateTime<Utc>,
) -> ApiResult<bool> {
    let inserted = sqlx::query!(
        "INSERT INTO patch.customers (slug, name, tier, body, current_version, created_at, updated_at, updated_by)
         VALUES ($1, $2, $3, $4, $5, $6, $6, $7) ON CONFLICT (slug) DO NOTHING",
        customer.slug.as_str(),
        customer.name,
        customer.tier.name(),
        serde_json::to_value(customer)?,
        customer.current_version.to_string(),
        now,
        by,
    )
    .execute(conn)
    .await
    .map_err(name_taken)?;
    Ok(inserted.rows_affected() == 1)
}

/// Everything except the version it runs, which only rollouts change.
pub async fn update_customer(
    conn: &mut PgConnection,
    customer: &Customer,
    by: &str,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.customers SET name = $2, tier = $3, body = $4, version = version + 1, updated_at = $5,
             updated_by = $6 WHERE slug = $1",
        customer.slug.as_str(),
        customer.name,
        customer.tier.name(),
        serde_json::to_value(customer)?,
        now,
        by,
    )
    .execute(conn)
    .await
    .map_err(name_taken)?;
    Ok(())
}

fn name_taken(error: sqlx::Error) -> ApiError {
    match error.as_database_error().and_then(|error| error.constraint()) {
        Some("customers_name") => ApiError::new(problem_types::NAME_TAKEN, "another customer has this name"),
        _ => error.into(),
    }
}

pub async fn update_current_version(
    conn: &mut PgConnection,
    slug: &CiId,
    version: Version,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE patch.customers SET current_version = $2, version = version + 1, updated_at = $3 WHERE slug = $1",
        slug.as_str(),
        version.to_string(),
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub async fn delete_customer(conn: &mut PgConnection, slug: &CiId) -> ApiResult<()> {
    sqlx::query!("DELETE FROM patch.customers WHERE slug = $1", slug.as_str()).execute(conn).await?;
    Ok(())
}

/// The run that locks a customer.
pub async fn find_lock(conn: &mut PgConnection, slug: &CiId) -> ApiResult<Option<uuid::Uuid>> {
    Ok(sqlx::query_scalar!(
        "SELECT run_id FROM patch.subject_locks WHERE subject = 'customer' AND id = $1",
        slug.as_str()
    )
    .fetch_optional(conn)
    .await?)
}

/// The versions that customers run.
pub async fn list_current_versions(conn: &mut PgConnection) -> ApiResult<Vec<Version>> {
    let rows =
        sqlx::query_scalar!("SELECT DISTINCT current_version FROM patch.customers").fetch_all(conn).await?;
    rows.iter().map(|text| version_of(text)).collect()
}

pub async fn get_release_policies(conn: &mut PgConnection) -> ApiResult<StoredReleasePolicies> {
    let row = sqlx::query!("SELECT body, version, updated_at, updated_by FROM patch.release_policies")
        .fetch_optional(conn)
        .await?;
    Ok(match row {
        Some(row) => StoredReleasePolicies {
            policies: serde_json::from_value(row.body)?,
            revision: row.version,
            updated_at: Some(row.updated_at),
            updated_by: Some(row.updated_by),
        },
        None => StoredReleasePolicies {
            policies: ReleasePolicies::default(),
            revision: 0,
            updated_at: None,
            updated_by: None,
        },
    })
}

pub async fn upsert_release_policies(
    conn: &mut PgConnection,
    policies: &ReleasePolicies,
    by: &str,
    now: DateTime<Utc>,
) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO patch.release_policies AS old (body, updated_at, updated_by) VALUES ($1, $2, $3)
         ON CONFLICT (one) DO UPDATE SET body = excluded.body, version = old.version + 1,
             updated_at = excluded.updated_at, updated_by = excluded.updated_by",
        serde_json::to_value(policies)?,
        now,
        by
    )
    .execute(conn)
    .await?;
    Ok(())
}
