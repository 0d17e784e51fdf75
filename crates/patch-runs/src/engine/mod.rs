//! Performs what runs decide.
//!
//! Each open run is owned by one process through a lease on its row. The owner reads the pending action of the run, records
//! its start, performs it, and applies the answer as an event; see [`crate::app::transition`]. A process that takes over a run
//! after a crash performs the pending action again: every action detects and keeps what is already done.

mod perform;
pub mod playbook;
mod run_loop;
mod scheduler;
mod subject;
mod task;

use std::{sync::Arc, time::Duration};

use leases::LeasedTable;
use tokio::sync::broadcast;

pub use subject::{ChangeText, SubjectWork, Work};
pub use task::{StopSignal, Task};

use crate::{
    App,
    app::{
        feed_alerts,
        installation::{self, Standing},
        notices, owner_notices, run_changes,
    },
};

/// An open run always has an owner, also while it waits for its approval, unless the installation is held.
const RUNS: LeasedTable =
    LeasedTable { table: "patch.runs", key: "id", claimable: CLAIMABLE, order_by: "created_at" };
/// No replica claims a run while the installation is held, whichever of them has recognised the restore.
const CLAIMABLE: &str =
    "ended_at IS NULL AND NOT EXISTS (SELECT FROM patch.installation WHERE held_since IS NOT NULL)";
/// Limit of runs that one process owns. Further runs wait for other processes or until a run ends.
const MAX_CONCURRENT_RUNS: u32 = 256;
/// Wait after the database failed to answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Starts the work on runs in the background.
pub(crate) fn start_worker(app: &App, customers: Arc<dyn SubjectWork>) {
    app.tasks.spawn(run_changes::broadcast_changes(app.clone(), app.changes.clone()));
    app.tasks.spawn(installation::watch(app.clone()));
    app.tasks.spawn(scheduler::run(app.clone()));
    app.tasks.spawn(notices::forward_notices(app.clone()));
    app.tasks.spawn(owner_notices::notify_owners(app.clone()));
    app.tasks.spawn(feed_alerts::watch_feeds(app.clone()));
    app.tasks.spawn(claim_runs(app.clone(), customers));
}

/// Claims open runs that no process owns, and starts a task with the loop of each.
async fn claim_runs(app: App, customers: Arc<dyn SubjectWork>) {
    let mut changes = app.changes.subscribe();
    let owned = app.run_tasks.clone();
    loop {
        let room = MAX_CONCURRENT_RUNS.saturating_sub(u32::try_from(owned.len()).unwrap_or(u32::MAX));
        if room > 0 && app.worker.is_alive() && may_work(&app).await {
            match app.worker.claim(&RUNS, room).await {
                Ok(leases) => {
                    for lease in leases {
                        owned.spawn(run_loop::run_to_end(app.clone(), customers.clone(), lease));
                    }
                }
                Err(error) => {
                    tracing::warn!("cannot claim runs now: {}", service_kit::error::chain(&error));
                    tokio::time::sleep(RETRY_AFTER).await;
                }
            }
        }
        tokio::select! {
            () = app.shutdown.cancelled() => break,
            change = changes.recv() => if matches!(change, Err(broadcast::error::RecvError::Closed)) { break },
        }
    }
    owned.close();
    owned.wait().await;
}

/// Whether the database is the one that was worked with. While that is not certain, nothing is claimed.
async fn may_work(app: &App) -> bool {
    match installation::standing(app).await {
        Ok(standing) => standing == Standing::Confirmed,
        Err(error) => {
            tracing::warn!("cannot claim runs now: {}", service_kit::error::chain(&error));
            tokio::time::sleep(RETRY_AFTER).await;
            false
        }
    }
}
