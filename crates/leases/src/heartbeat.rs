use std::sync::Arc;

use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::registration::Registration;
use crate::{Backoff, LeaseConfig, LeaseError};

/// Keeps the process registered until `stop`, under a new registration after each lapse. Then deletes the registration.
pub(crate) async fn keep_registered(
    pool: PgPool,
    config: LeaseConfig,
    current: watch::Sender<Arc<Registration>>,
    stop: CancellationToken,
) -> Result<(), LeaseError> {
    loop {
        let registration = Arc::clone(&current.borrow());
        let beating = beat_until_lapsed(&pool, &config, &registration);
        let is_stopped = stop.run_until_cancelled(beating).await.is_none();
        registration.lapsed.cancel();
        if is_stopped {
            return registration.delete(&pool, &config).await;
        }
        warn!(worker.id = %registration.id, worker.name = config.name, "lease lapsed, registering again");
        let Some(next) = stop.run_until_cancelled(register(&pool, &config)).await else {
            return Ok(());
        };
        info!(worker.id = %next.id, worker.name = config.name, "registered again");
        current.send_replace(Arc::new(next));
    }
}

async fn beat_until_lapsed(pool: &PgPool, config: &LeaseConfig, registration: &Registration) {
    let mut backoff = Backoff::default();
    let mut next_beat = Instant::now() + config.heartbeat;
    loop {
        sleep_until(next_beat.min(registration.good_until())).await;
        if !registration.is_alive() {
            return;
        }
        // An answer after the end of the lease does not matter.
        let extended = tokio::select! {
            extended = registration.extend(pool, config) => extended,
            () = sleep_until(registration.good_until()) => return,
        };
        match extended {
            Ok(true) => {
                backoff.reset();
                next_beat = Instant::now() + config.heartbeat;
            }
            Ok(false) => return,
            Err(error) => {
                warn!(worker.id = %registration.id, error = &error as &dyn std::error::Error, "heartbeat failed");
                next_beat = Instant::now() + backoff.next_pause().min(config.heartbeat);
            }
        }
    }
}

async fn register(pool: &PgPool, config: &LeaseConfig) -> Registration {
    let mut backoff = Backoff::default();
    loop {
        match Registration::insert(pool, config).await {
            Ok(registration) => return registration,
            Err(error) => {
                warn!(
                    worker.name = config.name,
                    error = &error as &dyn std::error::Error,
                    "registering failed"
                )
            }
        }
        backoff.pause().await;
    }
}
