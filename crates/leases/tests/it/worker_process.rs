//! Workers in separate processes: this test binary, started again with a task in its environment.

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
pub enum Behavior {
    /// Lease of 8 s as shipped.
    Defaults,
    /// Lease of 2 s.
    Quick,
    /// As `Quick`, but pauses in the first transaction of a job at epoch 1, holding the lock of its row.
    QuickPausingInTransaction,
}

pub struct WorkerProcess {
    child: Child,
    output: Arc<Mutex<Vec<String>>>,
}

impl WorkerProcess {
    /// Returns once the worker has registered.
    pub async fn start(url: &str, name: &str, behavior: Behavior, limit: u32) -> WorkerProcess {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "worker_process::worker_process", "--nocapture"])
            .env(TASK, format!("{url} {name} {behavior:?} {limit}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = Arc::new(Mutex::new(Vec::new()));
        let (stdout, lines) = (child.stdout.take().unwrap(), Arc::clone(&output));
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        let process = WorkerProcess { child, output };
        process.wait_for("registered", 1).await;
        process
    }

    /// Waits for this many lines that start with `beginning`.
    pub async fn wait_for(&self, beginning: &str, times: usize) {
        let has_lines =
            || self.output.lock().unwrap().iter().filter(|line| line.starts_with(beginning)).count() >= times;
        wait_until(beginning, Duration::from_secs(20), has_lines).await;
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
    let [url, name, behavior, limit] = task.split(' ').collect::<Vec<_>>()[..] else {
        panic!("task `{task}`")
    };
    let behavior = match behavior {
        "Defaults" => Behavior::Defaults,
        "Quick" => Behavior::Quick,
        _ => Behavior::QuickPausingInTransaction,
    };
    tokio::runtime::Runtime::new().unwrap().block_on(work(url, name, behavior, limit.parse().unwrap()));
}

async fn work(url: &str, name: &str, behavior: Behavior, limit: u32) {
    let pool = PgPool::connect(url).await.unwrap();
    let config = if behavior == Behavior::Defaults { LeaseConfig::named(name) } else { quick_config(name) };
    let worker = Worker::start(pool.clone(), config).await.unwrap();
    let mut wakeups = Wakeups::listen(&pool, JOBS_CHANNEL);
    let mut registration = None;
    loop {
        let now = worker.is_alive().then(|| worker.id());
        if now != registration {
            // The next registration may start before this loop sees the lapse of the previous one.
            if registration.is_some() {
                println!("lapsed");
            }
            if let Some(id) = now {
                println!("registered {id}");
            }
            registration = now;
        }
        wakeups.next().await;
        for lease in worker.claim(&JOBS, limit).await.unwrap_or_default() {
            println!("claimed {} {}", lease.key(), lease.epoch());
            tokio::spawn(do_job(lease, name.to_owned(), behavior));
        }
    }
}

/// Ignores [`Lease::lapsed`] on purpose: only the database prevents harm.
async fn do_job(mut lease: Lease, worker: String, behavior: Behavior) {
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        lease = match do_step(lease, &worker, behavior).await {
            Ok(Some(lease)) => lease,
            Ok(None) => return,
            Err((error, key)) if error.is_lost() => return println!("lost {key}"),
            Err(_) => return,
        };
    }
}

/// One step in one transaction, repeated until the database answers. Returns the lease unless this was the last step.
async fn do_step(
    lease: Lease,
    worker: &str,
    behavior: Behavior,
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
        if behavior == Behavior::QuickPausingInTransaction && lease.epoch().0 == 1 {
            println!("pausing {key}");
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        let step = sqlx::query_scalar::<_, bool>(
            "WITH step AS (
                 UPDATE product.jobs SET steps_done = steps_done + 1, is_open = steps_done + 1 < steps
                 WHERE id = $1 AND is_open RETURNING id, steps_done, is_open),
             noted AS (
                 INSERT INTO product.steps (job, step, worker, epoch) SELECT id, steps_done, $2, $3 FROM step)
             SELECT is_open FROM step",
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
