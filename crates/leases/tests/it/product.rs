//! A product with two leased tables: jobs of several steps with uuid keys, and documents with text keys.

use std::time::Duration;

use leases::{LeaseConfig, LeasedTable};
use sqlx::PgPool;
use uuid::Uuid;

pub const JOBS: LeasedTable = LeasedTable {
    table: "product.jobs",
    key: "id",
    claimable: "is_open AND wake_at <= now()",
    order_by: "wake_at, id",
};

pub const DOCUMENTS: LeasedTable =
    LeasedTable { table: "product.documents", key: "name", claimable: "is_open", order_by: "name" };

pub const JOBS_CHANNEL: &str = "product_jobs";

pub async fn create_tables(pool: &PgPool) {
    sqlx::raw_sql(
        "CREATE SCHEMA product;
         CREATE TABLE product.jobs (
             id uuid PRIMARY KEY, is_open boolean NOT NULL DEFAULT true, wake_at timestamptz NOT NULL DEFAULT now(),
             steps int NOT NULL, steps_done int NOT NULL DEFAULT 0,
             lease_owner uuid, lease_epoch bigint NOT NULL DEFAULT 0);
         CREATE TABLE product.documents (
             name text PRIMARY KEY, is_open boolean NOT NULL DEFAULT true, body text NOT NULL DEFAULT '',
             lease_owner uuid, lease_epoch bigint NOT NULL DEFAULT 0);
         -- Without a unique key on purpose, so that a step that was done twice is visible.
         CREATE TABLE product.steps (
             number bigserial, job uuid NOT NULL REFERENCES product.jobs, step int NOT NULL,
             worker text NOT NULL, epoch bigint NOT NULL);",
    )
    .execute(pool)
    .await
    .unwrap();
}

/// Times short enough for tests, in the proportions of the defaults.
pub fn quick_config(name: &str) -> LeaseConfig {
    LeaseConfig {
        heartbeat: Duration::from_millis(500),
        lease: Duration::from_secs(2),
        margin: Duration::from_millis(250),
        ..LeaseConfig::named(name)
    }
}

/// They become visible, and are notified, in one transaction.
pub async fn insert_jobs(pool: &PgPool, count: usize, steps: i32) -> Vec<Uuid> {
    let jobs: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
    let mut tx = pool.begin().await.unwrap();
    sqlx::query("INSERT INTO product.jobs (id, steps) SELECT id, $2 FROM unnest($1::uuid[]) AS id")
        .bind(&jobs)
        .bind(steps)
        .execute(&mut *tx)
        .await
        .unwrap();
    leases::notify(&mut tx, JOBS_CHANNEL, "inserted").await.unwrap();
    tx.commit().await.unwrap();
    jobs
}

pub async fn insert_document(pool: &PgPool, name: &str) {
    sqlx::query("INSERT INTO product.documents (name) VALUES ($1)").bind(name).execute(pool).await.unwrap();
}

/// The result of a count. 0 while the database is unavailable.
pub async fn count(pool: &PgPool, query: &'static str) -> i64 {
    let counted = sqlx::query_scalar(query).fetch_one(pool);
    tokio::time::timeout(Duration::from_secs(2), counted).await.ok().and_then(Result::ok).unwrap_or(0)
}

/// Repeats the count every 20 ms until it is at least `wanted`.
pub async fn wait_for_count(pool: &PgPool, query: &'static str, wanted: i64, limit: Duration) {
    let reached = async {
        while count(pool, query).await < wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(limit, reached).await.is_err() {
        panic!("not {wanted} within {limit:?} but {}: {query}", count(pool, query).await);
    }
}

pub async fn wait_until(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let reached = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(limit, reached).await.is_ok(), "not within {limit:?}: {what}");
}

pub async fn assert_every_step_was_done_once(pool: &PgPool) {
    let twice =
        "SELECT count(*) FROM (SELECT FROM product.steps GROUP BY job, step HAVING count(*) > 1) AS twice";
    assert_eq!(count(pool, twice).await, 0, "a step was done twice");
    let wanted = count(pool, "SELECT sum(steps) FROM product.jobs").await;
    assert_eq!(count(pool, "SELECT count(*) FROM product.steps").await, wanted);
}
