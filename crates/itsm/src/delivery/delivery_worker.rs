//! One delivery, from its claim to its record.

use std::{sync::Arc, time::Duration};

use api_types::itsm::{Channel, Notification};
use leases::{Lease, LeaseError};
use service_kit::{Caller, Clock, audit, backoff, outbound::Receivers, server::Context};
use sqlx::PgPool;
use uuid::Uuid;

use super::{mailer::Mailer, webhooks::Webhooks};
use crate::{
    app::changes::{LinkSigner, with_link},
    settings::Settings,
    store::{links, notifications},
};

/// Maximum number of attempts.
const MAX_ATTEMPTS: i32 = 8;
const LONGEST_WAIT: Duration = Duration::from_secs(86_400);
/// Timeout of one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum number of characters of an error; the other side may send any number.
const ERROR_LENGTH: usize = 500;

/// Why an attempt failed. Operators see the text: it contains no secret and no address that may contain one.
#[derive(Debug)]
pub enum Undelivered {
    /// Another attempt may succeed.
    Later(String),
    /// No attempt will succeed until somebody changes something.
    Never(String),
}

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("the lease does not hold")]
    Lease(#[from] LeaseError),
    #[error("the outcome could not be written")]
    Database(#[from] sqlx::Error),
    #[error("the outcome could not be audited")]
    Audit(#[from] service_kit::ApiError),
}

/// Delivers by e-mail and webhook and records what came of it.
#[derive(Clone)]
pub struct DeliveryWorker {
    pub pool: PgPool,
    clock: Clock,
    first_retry: Duration,
    mailer: Arc<Mailer>,
    webhooks: Arc<Webhooks>,
    links: LinkSigner,
    public_url: Arc<str>,
}

impl DeliveryWorker {
    pub fn new(
        context: &Context,
        settings: &Settings,
        receivers: Arc<Receivers>,
        links: LinkSigner,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            pool: context.pool.clone(),
            clock: context.clock.clone(),
            first_retry: settings.first_retry(),
            mailer: Arc::new(Mailer::new(settings)?),
            webhooks: Arc::new(Webhooks::new(context, settings, receivers)?),
            links,
            public_url: settings.checked_public_url()?.into(),
        })
    }

    pub async fn deliver(&self, lease: Lease<Uuid>) -> Result<(), RecordError> {
        let mut tx = lease.begin().await?;
        let notification = notifications::begin_attempt(&mut tx, *lease.key()).await?;
        let link = match notifications::find_approval_link(&mut tx, *lease.key()).await? {
            Some(id) => links::find_link(&mut tx, id).await?,
            None => None,
        };
        tx.commit().await?;
        // What is sent; it is neither stored nor shown.
        let outgoing = match link.and_then(|link| Some((self.links.token(&link)?, link))) {
            Some((token, link)) => Notification {
                body: with_link(&notification.body, &self.public_url, &link.change_id, &token),
                ..notification.clone()
            },
            None => notification.clone(),
        };
        let outcome = if notification.attempts > MAX_ATTEMPTS {
            Err(Undelivered::Never(format!(
                "aborted after {MAX_ATTEMPTS} attempts; the result of the last one is unknown"
            )))
        } else {
            self.attempt(&outgoing, &lease).await
        };
        self.record(lease, &notification, outcome).await
    }

    async fn attempt(&self, notification: &Notification, lease: &Lease<Uuid>) -> Result<(), Undelivered> {
        let send = async {
            match notification.channel {
                Channel::Email => self.mailer.send(notification).await,
                Channel::Webhook => self.webhooks.send(notification).await,
            }
        };
        tokio::select! {
            outcome = tokio::time::timeout(ATTEMPT_TIMEOUT, send) => outcome.unwrap_or_else(|_| {
                Err(Undelivered::Later(format!("no answer within {} s", ATTEMPT_TIMEOUT.as_secs())))
            }),
            () = lease.lapsed().cancelled_owned() => {
                Err(Undelivered::Later("the database was not reachable while it was sent".to_owned()))
            }
        }
    }

    async fn record(
        &self,
        lease: Lease<Uuid>,
        notification: &Notification,
        outcome: Result<(), Undelivered>,
    ) -> Result<(), RecordError> {
        let (id, attempts) = (notification.id, notification.attempts);
        let mut tx = lease.begin().await?;
        let ended = match outcome {
            Ok(()) => {
                notifications::record_delivered(&mut tx, id, self.clock.now()).await?;
                Some("delivered".to_owned())
            }
            Err(Undelivered::Later(error)) if attempts < MAX_ATTEMPTS => {
                let wait = wait_after(attempts, self.first_retry);
                notifications::record_retry(&mut tx, id, &short(&error), wait).await?;
                tracing::debug!(notification.id = %id, attempts, "an attempt failed, the next one is in {wait:?}: {error}");
                None
            }
            Err(Undelivered::Later(error) | Undelivered::Never(error)) => {
                notifications::record_failed(&mut tx, id, &short(&error)).await?;
                tracing::warn!(notification.id = %id, attempts, "delivery failed: {error}");
                Some(format!("failed: {}", short(&error)))
            }
        };
        if let Some(ended) = ended {
            let caller = Caller::internal("itsm", "service:itsm");
            let record = audit::Record::new("deliver_notification", format!("notification/{id}"));
            audit::record(&mut tx, &caller, record.reason(Some(&ended))).await?;
        }
        lease.finish(tx).await?;
        Ok(())
    }
}

fn wait_after(attempts: i32, first: Duration) -> Duration {
    backoff::wait_after(attempts.max(0).unsigned_abs(), first, LONGEST_WAIT)
}

/// One line of bounded length: the text comes from the other side and is not trusted.
fn short(error: &str) -> String {
    error.chars().map(|c| if c.is_control() { ' ' } else { c }).take(ERROR_LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_retries_spread_over_about_an_hour() {
        let first = Settings::default().first_retry();
        let waits: Vec<u64> =
            (1..MAX_ATTEMPTS).map(|attempts| wait_after(attempts, first).as_secs()).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920]);
    }

    #[test]
    fn errors_are_kept_short_and_in_one_line() {
        assert_eq!(short("550\r\nX-Injected: 1"), "550  X-Injected: 1");
        assert_eq!(short(&"x".repeat(10_000)).len(), ERROR_LENGTH);
    }
}
