//! A product with two leased tables: jobs of several steps with uuid keys, and documents with text keys.

use std::time::Duration;

use leases::{LeaseConfig, LeasedTable};
use sqlx::PgPool;
use uuid::Uuid;

pub const JOBS: LeasedTable = LeasedTable {
    table: "product.jobs",
    key: "id",
    claimable: "is_open and wake_at <= now()",
    order_by: "wake_at, id",
};

pub const DOCUMENTS: LeasedTable =
    LeasedTable { table: "product.documents", key: "name", claimable: "is_open", order_by: "name" };

pub const JOBS_CHANNEL: &str = "product_jobs";

pub async fn create_tables(pool: &PgPool) {
    sqlx::raw_sql(
        "create schema product;
         create table product.jobs (
             id uuid primary key, is_open boolean not null default true, wake_at timestamptz not null default now(),
             steps int not null, steps_done int not null default 0,
             lease_owner uuid, lease_epoch bigint not null default 0);
         create table product.documents (
             name text primary key, is_open boolean not null default true, body text not null default '',
             lease_owner uuid, lease_epoch bigint not null default 0);
         -- Without a unique key on purpose: a step that was done twice shall show.
         create table product.steps (
             number bigserial, job uuid not null references product.jobs, step int not null,
             worker text not null, epoch bigint not null);",
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

/// All of them become visible, and are notified, at once.
pub async fn insert_jobs(pool: &PgPool, count: usize, steps: i32) -> Vec<Uuid> {
    let jobs: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
    let mut tx = pool.begin().await.unwrap();
    sqlx::query("insert into product.jobs (id, steps) select id, $2 from unnest($1::uuid[]) as id")
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
    sqlx::query("insert into product.documents (name) values ($1)").bind(name).execute(pool).await.unwrap();
}

/// How many rows the query finds; none while the database is away.
pub async fn count(pool: &PgPool, query: &'static str) -> i64 {
    let counted = sqlx::query_scalar(query).fetch_one(pool);
    tokio::time::timeout(Duration::from_secs(2), counted).await.ok().and_then(Result::ok).unwrap_or(0)
}

/// Asks every 20 ms until the query finds at least this many rows.
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
        "select count(*) from (select from product.steps group by job, step having count(*) > 1) as twice";
    assert_eq!(count(pool, twice).await, 0, "a step was done twice");
    let wanted = count(pool, "select sum(steps) from product.jobs").await;
    assert_eq!(count(pool, "select count(*) from product.steps").await, wanted);
}
