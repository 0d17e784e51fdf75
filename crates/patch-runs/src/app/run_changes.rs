//! Notifies the tasks of this process that a run has changed, whichever process changed it.

use domain::ids::RunId;
use leases::{Wakeup, Wakeups};
use tokio::sync::broadcast;

use crate::{App, state::Change};

/// The channel on which a transaction that changes a run notifies; the payload is the run's id.
pub(crate) const CHANNEL: &str = "patch_runs";

/// Sends database notifications to the tasks of this process, and a poll every second in case one gets lost.
pub(crate) async fn broadcast_changes(app: App, changes: broadcast::Sender<Change>) {
    let mut wakeups = Wakeups::listen(&app.pool, CHANNEL);
    loop {
        let wakeup = tokio::select! {
            () = app.shutdown.cancelled() => return,
            wakeup = wakeups.next() => wakeup,
        };
        let change = match wakeup {
            Wakeup::Notified { payload } => payload.parse().ok(),
            Wakeup::Poll => None,
        };
        // It is not an error that no task listens.
        changes.send(change).ok();
    }
}

/// Waits until `run` may have changed.
pub(crate) async fn wait_for_change(receiver: &mut broadcast::Receiver<Change>, run: RunId) {
    loop {
        match receiver.recv().await {
            Ok(Some(other)) if other != run => {}
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            // The sender lives as long as the process; without it, only deadlines wake the task.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
