//! Sends the outbox, each notification at least once, by the replica that holds the row's lease.
//!
//! An attempt is counted before it starts and recorded after it, each in a leased transaction. If the process dies in
//! between, another takes over the row; the receiver may then get the notification twice, and recognises it by
//! its id.

mod delivery_worker;
mod mailer;
mod webhooks;

use std::time::Duration;

use leases::{Lease, Wakeups, Worker};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::notifications::{CHANNEL, DELIVERIES};

pub use delivery_worker::DeliveryWorker;

/// Maximum number of deliveries at the same time.
const AT_ONCE: usize = 16;
/// At a stop, running deliveries get this long to be recorded.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Delivers what is due until `stop`.
pub async fn deliver_until(stop: CancellationToken, lease_worker: Worker, worker: DeliveryWorker) {
    let mut wakeups = Wakeups::listen(&worker.pool, CHANNEL);
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = wakeups.next() => {}
            Some(_) = under_way.join_next(), if !under_way.is_empty() => {}
        }
        while under_way.try_join_next().is_some() {}
        let room = u32::try_from(AT_ONCE.saturating_sub(under_way.len())).unwrap_or_default();
        if room == 0 {
            continue;
        }
        match lease_worker.claim::<Uuid>(&DELIVERIES, room).await {
            Ok(leases) => leases.into_iter().for_each(|lease| {
                under_way.spawn(deliver(worker.clone(), lease));
            }),
            // The next wake-up, at most a poll interval away, tries again.
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "no delivery could be claimed")
            }
        }
    }
    let recorded = async { while under_way.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIMEOUT, recorded).await.is_err() {
        under_way.shutdown().await;
    }
    if let Err(error) = lease_worker.shutdown().await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the delivery worker could not release its leases"
        );
    }
}

async fn deliver(worker: DeliveryWorker, lease: Lease<Uuid>) {
    let id = *lease.key();
    if let Err(error) = worker.deliver(lease).await {
        // The row stays due; the next holder of its lease tries again.
        tracing::warn!(
            notification.id = %id,
            error = &error as &dyn std::error::Error,
            "a delivery could not be recorded"
        );
    }
}
