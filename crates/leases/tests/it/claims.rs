use std::collections::HashSet;
use std::time::Duration;

use leases::{Lease, LeaseError, Worker, WorkerId};
use sqlx::PgPool;

use crate::cluster::Cluster;
use crate::product::{
    DOCUMENTS, JOBS, assert_every_step_was_done_once, count, insert_document, insert_jobs, quick_config,
    wait_for_count, wait_until,
};
use crate::worker_process::{Behavior, WorkerProcess};

async fn start(pool: &PgPool, name: &str) -> Worker {
    Worker::start(pool.clone(), quick_config(name)).await.unwrap()
}

async fn claim_documents(worker: &Worker) -> Vec<Lease<String>> {
    worker.claim(&DOCUMENTS, 10).await.unwrap()
}

async fn document(pool: &PgPool, name: &str) -> (Option<WorkerId>, i64, String) {
    sqlx::query_as("SELECT lease_owner, lease_epoch, body FROM product.documents WHERE name = $1")
        .bind(name)
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn claim_takes_unowned_rows_in_order_up_to_the_limit_and_none_of_a_live_owner() {
    let (_cluster, pool) = Cluster::start().await;
    let [one, other] = [start(&pool, "one").await, start(&pool, "other").await];
    let jobs = insert_jobs(&pool, 5, 1).await;
    let first: Vec<Lease> = one.claim(&JOBS, 2).await.unwrap();
    let second: Vec<Lease> = other.claim(&JOBS, 10).await.unwrap();
    let keys = |leases: &[Lease]| leases.iter().map(|lease| *lease.key()).collect::<Vec<_>>();
    assert_eq!(keys(&first), jobs[..2]);
    assert_eq!(keys(&second), jobs[2..]);
    assert_eq!(second[0].epoch().0, 1);
    assert_eq!(second[0].owner(), other.id());
    assert!(one.claim::<uuid::Uuid>(&JOBS, 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_claims_are_disjoint_and_complete() {
    let (_cluster, pool) = Cluster::start().await;
    let jobs = insert_jobs(&pool, 200, 1).await;
    let claimers = (0..4).map(|number| {
        let pool = pool.clone();
        tokio::spawn(async move {
            let worker = start(&pool, &format!("worker {number}")).await;
            let mut leases: Vec<Lease> = Vec::new();
            while leases.len() < 200 {
                match worker.claim(&JOBS, 7).await.unwrap() {
                    // Rows that another claim holds locked are skipped, so only an empty answer with none left counts.
                    none if none.is_empty() => {
                        if count(&pool, "SELECT count(*) FROM product.jobs WHERE lease_owner IS NULL").await
                            == 0
                        {
                            break;
                        }
                    }
                    some => leases.extend(some),
                }
            }
            (worker, leases)
        })
    });
    let mut claimed = Vec::new();
    let mut alive = Vec::new();
    for claimer in claimers.collect::<Vec<_>>() {
        let (worker, leases) = claimer.await.unwrap();
        assert!(leases.iter().all(|lease| lease.epoch().0 == 1));
        claimed.extend(leases.iter().map(|lease| *lease.key()));
        alive.push((worker, leases));
    }
    assert_eq!(claimed.len(), 200, "a row was claimed twice");
    assert_eq!(claimed.into_iter().collect::<HashSet<_>>(), jobs.into_iter().collect());
}

#[tokio::test]
async fn two_replicas_do_each_row_once() {
    let (cluster, pool) = Cluster::start().await;
    let _one = WorkerProcess::start(&cluster.url(), "one", Behavior::Quick, 5).await;
    let _other = WorkerProcess::start(&cluster.url(), "other", Behavior::Quick, 5).await;
    insert_jobs(&pool, 60, 3).await;
    let limit = Duration::from_secs(30);
    wait_for_count(&pool, "SELECT count(*) FROM product.jobs WHERE NOT is_open", 60, limit).await;
    assert_every_step_was_done_once(&pool).await;
    assert_eq!(count(&pool, "SELECT count(*) FROM product.jobs WHERE lease_epoch <> 1").await, 0);
    assert_eq!(count(&pool, "SELECT count(DISTINCT worker) FROM product.steps").await, 2);
    wait_for_count(&pool, "SELECT count(*) FROM product.jobs WHERE lease_owner IS NULL", 60, limit).await;
}

#[tokio::test]
async fn stale_lease_changes_nothing_and_its_worker_registers_again_under_a_new_id() {
    let (_cluster, pool) = Cluster::start().await;
    insert_document(&pool, "plan").await;
    let [old, new] = [start(&pool, "old").await, start(&pool, "new").await];
    let (old_id, lapsed) = (old.id(), old.lapsed());
    let stale = claim_documents(&old).await.pop().unwrap();
    sqlx::query("DELETE FROM leases.workers WHERE id = $1").bind(old_id).execute(&pool).await.unwrap();
    let current = claim_documents(&new).await.pop().unwrap();
    assert_eq!(current.epoch().0, 2);

    let error = stale.begin().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "row `\"plan\"` of `product.documents` is no longer owned at epoch 1: stop working on it, its new owner continues"
    );
    let mut tx = pool.begin().await.unwrap();
    assert!(stale.guard(&mut tx).await.unwrap_err().is_lost());
    sqlx::query("UPDATE product.documents SET body = 'stale'").execute(&mut *tx).await.unwrap();
    assert!(stale.finish(tx).await.unwrap_err().is_lost());
    assert_eq!(document(&pool, "plan").await, (Some(new.id()), 2, String::new()));

    let mut tx = current.begin().await.unwrap();
    sqlx::query("UPDATE product.documents SET body = 'current'").execute(&mut *tx).await.unwrap();
    current.finish(tx).await.unwrap();
    assert_eq!(document(&pool, "plan").await, (None, 2, "current".to_owned()));

    tokio::time::timeout(Duration::from_secs(10), lapsed.cancelled()).await.unwrap();
    wait_until("registered again", Duration::from_secs(10), || old.is_alive() && old.id() != old_id).await;
    assert_eq!(claim_documents(&old).await.pop().unwrap().epoch().0, 3);
}

#[tokio::test]
async fn shutdown_releases_rows_at_once() {
    let (_cluster, pool) = Cluster::start().await;
    insert_document(&pool, "plan").await;
    let [leaving, staying] = [start(&pool, "leaving").await, start(&pool, "staying").await];
    let lease = claim_documents(&leaving).await.pop().unwrap();
    assert!(claim_documents(&staying).await.is_empty());
    leaving.shutdown().await.unwrap();
    assert!(!lease.is_alive());
    assert_eq!(claim_documents(&staying).await.pop().unwrap().epoch().0, 2);
    assert!(lease.begin().await.unwrap_err().is_lost());
    assert_eq!(count(&pool, "SELECT count(*) FROM leases.workers").await, 1);
}

#[tokio::test]
async fn row_of_a_panicked_task_is_released_while_its_worker_lives() {
    let (_cluster, pool) = Cluster::start().await;
    insert_document(&pool, "plan").await;
    let worker = start(&pool, "worker").await;
    let lease = claim_documents(&worker).await.pop().unwrap();
    let task = tokio::spawn(async move {
        let _held = lease;
        panic!("a defect of the product");
    });
    assert!(task.await.unwrap_err().is_panic());
    // It is released, or free because the registration of its owner lapsed first on a slow machine.
    let again = async {
        loop {
            if let Ok([lease]) = worker.claim::<String>(&DOCUMENTS, 1).await.as_deref() {
                return lease.epoch().0;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert_eq!(tokio::time::timeout(Duration::from_secs(10), again).await, Ok(2));
}

#[tokio::test]
async fn release_makes_the_row_claimable_by_others() {
    let (_cluster, pool) = Cluster::start().await;
    insert_document(&pool, "plan").await;
    let [one, other] = [start(&pool, "one").await, start(&pool, "other").await];
    claim_documents(&one).await.pop().unwrap().release().await.unwrap();
    assert_eq!(claim_documents(&other).await.len(), 1);
}

#[tokio::test]
async fn guarded_row_can_still_be_referred_to_by_other_transactions() {
    let (_cluster, pool) = Cluster::start().await;
    let job = insert_jobs(&pool, 1, 1).await[0];
    let worker = start(&pool, "worker").await;
    let lease: Lease = worker.claim(&JOBS, 1).await.unwrap().pop().unwrap();
    let _tx = lease.begin().await.unwrap();
    let refer =
        sqlx::query("INSERT INTO product.steps (job, step, worker, epoch) VALUES ($1, 1, 'other', 1)")
            .bind(job)
            .execute(&pool);
    tokio::time::timeout(Duration::from_secs(5), refer).await.expect("must not wait for the guard").unwrap();
}

#[tokio::test]
async fn repeated_and_concurrent_migrations_change_nothing() {
    let (_cluster, pool) = Cluster::start().await;
    let (one, other) = tokio::join!(leases::migrate(&pool), leases::migrate(&pool));
    one.unwrap();
    other.unwrap();
    let applied = leases::migrator().iter().count() as i64;
    assert_eq!(count(&pool, "SELECT count(*) FROM leases.migrations").await, applied);
}

#[tokio::test]
async fn worker_does_not_start_with_inconsistent_times() {
    let pool = PgPool::connect_lazy("postgres://nobody@localhost/nothing?host=/nonexistent").unwrap();
    let config = leases::LeaseConfig { lease: Duration::from_secs(1), ..quick_config("worker") };
    assert!(matches!(Worker::start(pool, config).await, Err(LeaseError::Config { field: "lease", .. })));
}
