//! The end of each audit chain leaves the platform on a schedule, signed: the newest records can be removed from a database, or
//! written again, but not from a file, a receiver or a syslog server elsewhere.
//!
//! An end is recorded before it is sent, with its signature and its id, and sent again until the destination has it. One replica at
//! a time exports to a destination.

mod config;
mod destination;
mod head;
pub(crate) mod store;
mod syslog;

use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use crate::{
    audit_chain, backoff,
    clock::Clock,
    error::{ApiResult, chain},
    server::Context,
    webhooks::Sender,
};
use destination::Destination;
use store::Due;

pub use config::{AuditExportConfig, AuditExports};
pub use head::{HeadKey, PublicKey, SignedHead};
pub use syslog::SyslogAddress;

/// Between two looks for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Timeout of one attempt. Until it is over, no other replica tries.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
const ATTEMPT_LASTS: TimeDelta = TimeDelta::seconds(30);
/// The waits after failed attempts; never longer than the schedule.
const FIRST_RETRY: Duration = Duration::from_secs(10);
const LONGEST_RETRY: Duration = Duration::from_secs(15 * 60);
/// Characters of an error; the other side may send any number.
const ERROR_LENGTH: usize = 500;

struct Exporter {
    pool: sqlx::PgPool,
    clock: Clock,
    service: &'static str,
    key: HeadKey,
    every: TimeDelta,
    sender: Sender,
}

/// Exports the ends of a service's chain until the process stops.
pub(crate) async fn run(context: Context, service: &'static str, stop: CancellationToken) {
    let Some((key, destinations)) = context.audit_exports.opened() else { return };
    let exporter = Exporter {
        sender: Sender::new(
            context.pool.clone(),
            context.clock.clone(),
            context.webhook_key.clone(),
            context.audit_exports.receivers(),
        ),
        pool: context.pool.clone(),
        clock: context.clock.clone(),
        service,
        key: key.clone(),
        every: context.audit_exports.every(),
    };
    let mut are_known = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if let Err(error) = exporter.round(destinations, &mut are_known).await {
            tracing::warn!(
                error.source = chain(&error),
                "an audit chain could not be exported; it is tried again"
            );
        }
    }
}

impl Exporter {
    async fn round(&self, destinations: &[Destination], are_known: &mut bool) -> ApiResult<()> {
        if !*are_known {
            let mut conn = self.pool.acquire().await?;
            for destination in destinations {
                store::ensure_export(&mut conn, self.service, destination.kind(), self.clock.now()).await?;
            }
            *are_known = true;
        }
        for destination in destinations {
            self.export_due(destination).await?;
        }
        Ok(())
    }

    async fn export_due(&self, destination: &Destination) -> ApiResult<()> {
        let kind = destination.kind();
        let Some(due) = self.begin_attempt(destination).await? else { return Ok(()) };
        let sending = destination.send(&due.head, due.message_id, self.service, &self.sender);
        let sent = match tokio::time::timeout(ATTEMPT_TIMEOUT, sending).await {
            Ok(sent) => sent,
            Err(_) => Err(format!("no answer within {} s", ATTEMPT_TIMEOUT.as_secs())),
        };
        let now = self.clock.now();
        let mut conn = self.pool.acquire().await?;
        match sent {
            Ok(()) => {
                store::record_exported(&mut conn, self.service, kind, &due, now, now + self.every).await?
            }
            Err(error) => {
                let error: String = error.chars().filter(|c| !c.is_control()).take(ERROR_LENGTH).collect();
                tracing::warn!(
                    service = self.service,
                    "the end of the audit chain was not exported: {error}"
                );
                let failures = due.attempts.max(0).unsigned_abs();
                let wait = backoff::wait_after(failures, FIRST_RETRY, LONGEST_RETRY);
                let next = (now + wait).min(now + self.every);
                store::record_failed(&mut conn, self.service, kind, &due, &error, next).await?;
            }
        }
        Ok(())
    }

    /// What is due now, counted as an attempt; `None` if nothing is, or another replica tries.
    async fn begin_attempt(&self, destination: &Destination) -> ApiResult<Option<Due>> {
        let (now, kind) = (self.clock.now(), destination.kind());
        let mut tx = self.pool.begin().await?;
        let Some(pending) = store::lock_due(&mut tx, self.service, kind, now).await? else { return Ok(None) };
        let (head, message_id) = match pending {
            Some(pending) => pending,
            None => {
                let Some((position, hash)) = audit_chain::find_end_of(&mut tx, self.service).await? else {
                    return Ok(None);
                };
                (self.key.sign(self.service, position, &hash, now), uuid::Uuid::now_v7())
            }
        };
        let until = now + ATTEMPT_LASTS;
        let attempts = store::begin_attempt(&mut tx, self.service, kind, (&head, message_id), until).await?;
        tx.commit().await?;
        Ok(Some(Due { head, message_id, attempts }))
    }
}
