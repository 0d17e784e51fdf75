use std::time::Duration;

use leases::{Wakeup, Wakeups, Worker, notify};
use sqlx::PgPool;

use crate::cluster::Cluster;
use crate::product::quick_config;

const NEVER: Duration = Duration::from_secs(3600);
const LIMIT: Duration = Duration::from_secs(20);

async fn next(wakeups: &mut Wakeups) -> Wakeup {
    tokio::time::timeout(LIMIT, wakeups.next()).await.expect("a wake-up")
}

/// Without a poll, after the first tick and the wake-up for the start of listening.
async fn listen(pool: &PgPool) -> Wakeups {
    let mut wakeups = Wakeups::listen(pool, "product_jobs").poll_every(NEVER);
    assert_eq!(next(&mut wakeups).await, Wakeup::Poll);
    assert_eq!(next(&mut wakeups).await, Wakeup::Poll);
    wakeups
}

fn notified(payload: &str) -> Wakeup {
    Wakeup::Notified { payload: payload.to_owned() }
}

#[tokio::test]
async fn notification_arrives_when_its_transaction_commits() {
    let (_cluster, pool) = Cluster::start().await;
    let mut wakeups = listen(&pool).await;
    let mut rolled_back = pool.begin().await.unwrap();
    notify(&mut rolled_back, "product_jobs", "never happened").await.unwrap();
    rolled_back.rollback().await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    notify(&mut tx, "product_jobs", "run 7").await.unwrap();
    notify(&mut tx, "another_channel", "run 8").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(next(&mut wakeups).await, notified("run 7"));
}

#[tokio::test]
async fn poll_comes_without_notifications_and_without_a_database() {
    let pool = PgPool::connect_lazy("postgres://nobody@localhost/nothing?host=/nonexistent").unwrap();
    let mut wakeups = Wakeups::listen(&pool, "product_jobs").poll_every(Duration::from_millis(20));
    for _ in 0..5 {
        assert_eq!(next(&mut wakeups).await, Wakeup::Poll);
    }
}

#[tokio::test]
async fn worker_that_shuts_down_wakes_the_others() {
    let (_cluster, pool) = Cluster::start().await;
    let mut wakeups = listen(&pool).await;
    Worker::start(pool.clone(), quick_config("leaving")).await.unwrap().shutdown().await.unwrap();
    assert_eq!(next(&mut wakeups).await, Wakeup::Poll);
}

#[tokio::test]
async fn listening_survives_a_restart_of_postgresql() {
    let (cluster, pool) = Cluster::start_own().await;
    let mut wakeups = listen(&pool).await;
    cluster.restart_after(Duration::ZERO).await;
    // Sent when it listens again, for missed notifications.
    assert_eq!(next(&mut wakeups).await, Wakeup::Poll);
    let mut connection = pool.acquire().await.unwrap();
    notify(&mut connection, "product_jobs", "after the restart").await.unwrap();
    assert_eq!(next(&mut wakeups).await, notified("after the restart"));
}
