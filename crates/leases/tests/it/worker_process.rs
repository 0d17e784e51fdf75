//! Workers in processes of their own: this test binary, started again with a task in its environment.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leases::{Lease, LeaseConfig, LeaseError, Wakeups, Worker};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::PgPool;

use crate::product::{JOBS, JOBS_CHANNEL, quick_config, wait_until};

const TASK: &str = "LEASES_TEST_TASK";

/// What a worker process does with its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Lease of 8 s as shipped.
    Defaults,
    /// Lease of 2 s.
    Quick,
    /// As `Quick`, but rests in the middle of the first transaction of a job at epoch 1, holding its row's lock.
    QuickRestingInTransaction,
}

pub struct WorkerProcess {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl WorkerProcess {
    /// Returns once the worker has registered.
    pub async fn start(url: &str, name: &str, manner: Manner, limit: u32) -> WorkerProcess {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "worker_process::worker_process", "--nocapture"])
            .env(TASK, format!("{url} {name} {manner:?} {limit}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (output, lines) = (child.stdout.take().unwrap(), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        let process = WorkerProcess { child, said };
        process.wait_for("registered", 1).await;
        process
    }

    /// Waits for that many lines that begin with `beginning`.
    pub async fn wait_for(&self, beginning: &str, times: usize) {
        let said =
            || self.said.lock().unwrap().iter().filter(|line| line.starts_with(beginning)).count() >= times;
        wait_until(beginning, Duration::from_secs(20), said).await;
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test: what the processes run.
#[test]
fn worker_process() {
    let Ok(task) = std::env::var(TASK) else { return };
    let [url, name, manner, limit] = task.split(' ').collect::<Vec<_>>()[..] else { panic!("task `{task}`") };
    let manner = match manner {
        "Defaults" => Manner::Defaults,
        "Quick" => Manner::Quick,
        _ => Manner::QuickRestingInTransaction,
    };
    tokio::runtime::Runtime::new().unwrap().block_on(work(url, name, manner, limit.parse().unwrap()));
}

async fn work(url: &str, name: &str, manner: Manner, limit: u32) {
    let pool = PgPool::connect(url).await.unwrap();
    let config = if manner == Manner::Defaults { LeaseConfig::named(name) } else { quick_config(name) };
    let worker = Worker::start(pool.clone(), config).await.unwrap();
    let mut wakeups = Wakeups::listen(&pool, JOBS_CHANNEL);
    let mut life = None;
    loop {
        let now = worker.is_alive().then(|| worker.id());
        if now != life {
            // The next life may begin before this loop has seen the end of the one before.
            if life.is_some() {
                println!("lapsed");
            }
            if let Some(id) = now {
                println!("registered {id}");
            }
            life = now;
        }
        wakeups.next().await;
        for lease in worker.claim(&JOBS, limit).await.unwrap_or_default() {
            println!("claimed {} {}", lease.key(), lease.epoch());
            tokio::spawn(do_job(lease, name.to_owned(), manner));
        }
    }
}

/// Deaf to [`Lease::lapsed`] on purpose: only the database keeps it from doing harm.
async fn do_job(mut lease: Lease, worker: String, manner: Manner) {
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        lease = match do_step(lease, &worker, manner).await {
            Ok(Some(lease)) => lease,
            Ok(None) => return,
            Err((error, key)) if error.is_lost() => return println!("lost {key}"),
            Err(_) => return,
        };
    }
}

/// One step in one transaction, done again until the database has answered. Returns the lease unless that was the
/// last step.
async fn do_step(
    lease: Lease,
    worker: &str,
    manner: Manner,
) -> Result<Option<Lease>, (LeaseError, uuid::Uuid)> {
    let key = *lease.key();
    loop {
        let mut tx = match lease.begin().await {
            Ok(tx) => tx,
            Err(error) if error.is_lost() => return Err((error, key)),
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if manner == Manner::QuickRestingInTransaction && lease.epoch().0 == 1 {
            println!("resting {key}");
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        let step = sqlx::query_scalar::<_, bool>(
            "with step as (
                 update product.jobs set steps_done = steps_done + 1, is_open = steps_done + 1 < steps
                 where id = $1 and is_open returning id, steps_done, is_open),
             noted as (
                 insert into product.steps (job, step, worker, epoch) select id, steps_done, $2, $3 from step)
             select is_open from step",
        )
        .bind(key)
        .bind(worker)
        .bind(lease.epoch());
        match step.fetch_one(&mut *tx).await {
            Ok(true) => match tx.commit().await {
                Ok(()) => return Ok(Some(lease)),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Ok(false) => return lease.finish(tx).await.map(|()| None).map_err(|error| (error, key)),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
