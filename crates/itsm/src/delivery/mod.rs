//! Takes the outbox out of the house: at least once each, by whoever holds the row's lease.
//!
//! A delivery is counted before it is tried and recorded after it, each in a leased transaction. A process that dies in
//! between leaves a row that another takes over; its receiver may then get the same notification twice, and knows it by
//! its id.

mod courier;
mod mailer;
mod webhooks;

use std::time::Duration;

use leases::{Lease, Wakeups, Worker};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::notifications::{CHANNEL, DELIVERIES};

pub use courier::Courier;
pub use service_kit::outbound::Receivers;

/// Deliveries under way at once.
const AT_ONCE: usize = 16;
/// At a stop, deliveries under way get this long to be recorded.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Delivers what is due until `stop`.
pub async fn deliver_until(stop: CancellationToken, worker: Worker, courier: Courier) {
    let mut wakeups = Wakeups::listen(&courier.pool, CHANNEL);
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
        match worker.claim::<Uuid>(&DELIVERIES, room).await {
            Ok(leases) => leases.into_iter().for_each(|lease| {
                under_way.spawn(deliver(courier.clone(), lease));
            }),
            // Goes by itself: the next wake-up, at most a poll interval away, tries again.
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "no delivery could be claimed")
            }
        }
    }
    let recorded = async { while under_way.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIMEOUT, recorded).await.is_err() {
        under_way.shutdown().await;
    }
    if let Err(error) = worker.shutdown().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the delivery worker could not sign off");
    }
}

async fn deliver(courier: Courier, lease: Lease<Uuid>) {
    let id = *lease.key();
    if let Err(error) = courier.deliver(lease).await {
        // The row stays due; whoever holds its lease next tries again.
        tracing::warn!(
            notification.id = %id,
            error = &error as &dyn std::error::Error,
            "a delivery could not be recorded"
        );
    }
}
