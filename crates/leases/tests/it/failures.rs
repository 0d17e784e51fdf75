use std::time::Duration;

use leases::{Lease, LeaseError, Worker};
use nix::sys::signal::Signal;
use sqlx::postgres::PgPoolOptions;

use crate::cluster::Cluster;
use crate::product::{
    DOCUMENTS, assert_every_step_was_done_once, count, insert_document, insert_jobs, quick_config,
    wait_for_count, wait_until,
};
use crate::worker_process::{Behavior, WorkerProcess};

const LIMIT: Duration = Duration::from_secs(30);
const DONE: &str = "SELECT count(*) FROM product.jobs WHERE NOT is_open";

#[tokio::test]
async fn rows_of_a_killed_process_are_taken_over_within_ten_seconds() {
    let (cluster, pool) = Cluster::start().await;
    let victim = WorkerProcess::start(&cluster.url(), "victim", Behavior::Defaults, 10).await;
    let jobs = insert_jobs(&pool, 3, 200).await.len() as i64;
    wait_for_count(&pool, "SELECT count(*) FROM product.steps WHERE step >= 3", jobs, LIMIT).await;
    let _heir = WorkerProcess::start(&cluster.url(), "heir", Behavior::Defaults, 10).await;
    victim.signal(Signal::SIGKILL);
    let taken_over = "SELECT count(*) FROM product.jobs WHERE lease_epoch = 2";
    wait_for_count(&pool, taken_over, jobs, Duration::from_secs(10)).await;
    wait_for_count(&pool, DONE, jobs, LIMIT).await;
    assert_every_step_was_done_once(&pool).await;
}

#[tokio::test]
async fn process_that_was_stopped_and_continues_changes_nothing_and_notices() {
    let (cluster, pool) = Cluster::start().await;
    let stopped = WorkerProcess::start(&cluster.url(), "stopped", Behavior::Quick, 10).await;
    let jobs = insert_jobs(&pool, 3, 150).await.len() as i64;
    wait_for_count(&pool, "SELECT count(*) FROM product.steps WHERE step >= 3", jobs, LIMIT).await;
    let _heir = WorkerProcess::start(&cluster.url(), "heir", Behavior::Quick, 10).await;
    stopped.signal(Signal::SIGSTOP);
    wait_for_count(&pool, "SELECT count(*) FROM product.steps WHERE epoch = 2", 10, LIMIT).await;
    stopped.signal(Signal::SIGCONT);
    stopped.wait_for("lost", jobs as usize).await;
    stopped.wait_for("lapsed", 1).await;
    stopped.wait_for("registered", 2).await;
    wait_for_count(&pool, DONE, jobs, LIMIT).await;
    assert_every_step_was_done_once(&pool).await;
    let late = "SELECT count(*) FROM product.steps AS late WHERE epoch = 1 AND number > \
                (SELECT min(number) FROM product.steps AS first WHERE first.job = late.job AND epoch = 2)";
    assert_eq!(count(&pool, late).await, 0);
}

#[tokio::test]
async fn process_stopped_inside_a_transaction_does_not_keep_its_row_locked() {
    let (cluster, pool) = Cluster::start().await;
    let stopped =
        WorkerProcess::start(&cluster.url(), "stopped", Behavior::QuickPausingInTransaction, 10).await;
    insert_jobs(&pool, 1, 1).await;
    stopped.wait_for("pausing", 1).await;
    stopped.signal(Signal::SIGSTOP);
    let _heir = WorkerProcess::start(&cluster.url(), "heir", Behavior::Quick, 10).await;
    wait_for_count(&pool, DONE, 1, LIMIT).await;
    stopped.signal(Signal::SIGCONT);
    stopped.wait_for("lost", 1).await;
    assert_every_step_was_done_once(&pool).await;
    assert_eq!(count(&pool, "SELECT count(*) FROM product.steps WHERE worker = 'heir'").await, 1);
}

#[tokio::test]
async fn work_continues_after_an_outage_of_postgresql_longer_than_a_lease() {
    let (cluster, pool) = Cluster::start_own().await;
    let _one = WorkerProcess::start(&cluster.url(), "one", Behavior::Quick, 3).await;
    let _other = WorkerProcess::start(&cluster.url(), "other", Behavior::Quick, 3).await;
    let jobs = insert_jobs(&pool, 8, 60).await.len() as i64;
    wait_for_count(&pool, "SELECT count(*) FROM product.steps", 50, LIMIT).await;
    cluster.restart_after(Duration::from_secs(3)).await;
    wait_for_count(&pool, DONE, jobs, LIMIT).await;
    assert_every_step_was_done_once(&pool).await;
}

#[tokio::test]
async fn lease_that_lapsed_in_an_outage_of_postgresql_can_be_reclaimed_if_the_row_is_free() {
    let (cluster, pool) = Cluster::start_own().await;
    insert_document(&pool, "kept").await;
    insert_document(&pool, "taken").await;
    let worker = Worker::start(pool.clone(), quick_config("worker")).await.unwrap();
    let mut leases: Vec<Lease<String>> = worker.claim(&DOCUMENTS, 10).await.unwrap();
    let (mut taken, mut kept) = (leases.pop().unwrap(), leases.pop().unwrap());
    let first_id = worker.id();

    cluster.take_down();
    tokio::time::timeout(LIMIT, kept.lapsed().cancelled()).await.unwrap();
    assert!(!worker.is_alive());
    assert!(matches!(worker.claim::<String>(&DOCUMENTS, 1).await, Err(LeaseError::Lapsed)));
    assert!(matches!(worker.reclaim(&mut kept).await, Err(LeaseError::Lapsed)));
    cluster.bring_up();
    wait_until("registered again", LIMIT, || worker.is_alive() && worker.id() != first_id).await;

    sqlx::query("UPDATE product.documents SET lease_epoch = lease_epoch + 1 WHERE name = 'taken'")
        .execute(&pool)
        .await
        .unwrap();
    worker.reclaim(&mut kept).await.unwrap();
    assert_eq!((kept.owner(), kept.epoch().0, kept.is_alive()), (worker.id(), 2, true));
    kept.begin().await.unwrap().commit().await.unwrap();
    assert!(worker.reclaim(&mut taken).await.unwrap_err().is_lost());
}

#[tokio::test]
async fn exhausted_pool_does_not_cost_the_lease() {
    let (cluster, _pool) = Cluster::start().await;
    let pool = PgPoolOptions::new().max_connections(1).connect(&cluster.url()).await.unwrap();
    let worker = Worker::start(pool.clone(), quick_config("busy")).await.unwrap();
    let _only_connection = pool.acquire().await.unwrap();
    let lapsed = tokio::time::timeout(Duration::from_secs(3), worker.lapsed().cancelled_owned()).await;
    assert!(lapsed.is_err() && worker.is_alive());
}
