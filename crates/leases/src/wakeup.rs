use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{PgConnection, PgPool};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, warn};

use crate::Backoff;

/// Sent by a worker that shuts down: its rows may be claimable.
pub(crate) const WORKER_LEFT: &str = "leases_worker_left";

const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After this time without a notification the connection is tested: without a test, a connection whose other end
/// vanished silently would be used forever.
const QUIET_LIMIT: Duration = Duration::from_secs(30);
/// Further unread notifications are dropped. The poll finds their work.
const UNREAD_LIMIT: usize = 1024;

/// Why it is time to claim work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wakeup {
    /// [`notify`] was called with this payload.
    Notified { payload: String },
    /// A poll interval has passed, notifications may have been missed, or a worker has shut down.
    Poll,
}

/// Wake-ups by LISTEN and NOTIFY, and by a poll, so that the work never depends on a notification.
pub struct Wakeups {
    received: mpsc::Receiver<Wakeup>,
    poll: Interval,
    _stop: DropGuard,
}

impl Wakeups {
    /// Listens on a separate connection and reconnects when it breaks. `channel` has at most 63 bytes.
    pub fn listen(pool: &PgPool, channel: &'static str) -> Wakeups {
        let (sender, received) = mpsc::channel(UNREAD_LIMIT);
        let stop = CancellationToken::new();
        let options = (*pool.connect_options()).clone();
        let listening = stop.clone().run_until_cancelled_owned(listen_forever(options, channel, sender));
        tokio::spawn(listening);
        Wakeups { received, poll: poll_every(DEFAULT_POLL_INTERVAL), _stop: stop.drop_guard() }
    }

    /// Sets the poll interval. Default 1 s.
    pub fn poll_every(mut self, interval: Duration) -> Wakeups {
        self.poll = poll_every(interval);
        self
    }

    /// Waits for the next wake-up, at most one poll interval. The first one comes at once.
    pub async fn next(&mut self) -> Wakeup {
        tokio::select! {
            _ = self.poll.tick() => Wakeup::Poll,
            Some(wakeup) = self.received.recv() => wakeup,
        }
    }
}

/// Wakes the listeners of `channel` when the transaction is committed. Payloads have less than 8000 bytes, and equal
/// ones of one transaction arrive as one. Transactions that notify commit one after another, so notify only if
/// a listener waits for it.
pub async fn notify(connection: &mut PgConnection, channel: &str, payload: &str) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_notify($1, $2)").bind(channel).bind(payload).execute(connection).await?;
    Ok(())
}

fn poll_every(period: Duration) -> Interval {
    let mut poll = interval(period.max(Duration::from_millis(1)));
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    poll
}

async fn listen_forever(options: PgConnectOptions, channel: &'static str, sender: mpsc::Sender<Wakeup>) {
    let mut backoff = Backoff::default();
    loop {
        let error = match connect(&options, channel).await {
            Ok(listener) => {
                backoff.reset();
                debug!(channel, "listening");
                // Earlier notifications were missed.
                let _ = sender.try_send(Wakeup::Poll);
                forward(listener, &sender).await
            }
            Err(error) => error,
        };
        warn!(
            channel,
            error = &error as &dyn std::error::Error,
            "listening failed, only polling until it works again"
        );
        backoff.pause().await;
    }
}

async fn connect(options: &PgConnectOptions, channel: &str) -> Result<PgListener, sqlx::Error> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_lazy_with(options.clone());
    let connect = async {
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen_all([channel, WORKER_LEFT]).await?;
        Ok(listener)
    };
    timeout(CONNECT_TIMEOUT, connect).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Returns the error that broke the connection.
async fn forward(mut listener: PgListener, sender: &mpsc::Sender<Wakeup>) -> sqlx::Error {
    loop {
        let wakeup = match timeout(QUIET_LIMIT, listener.try_recv()).await {
            Ok(Ok(Some(notification))) if notification.channel() == WORKER_LEFT => Wakeup::Poll,
            Ok(Ok(Some(notification))) => Wakeup::Notified { payload: notification.payload().to_owned() },
            Ok(Ok(None)) => return sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into()),
            Ok(Err(error)) => return error,
            Err(_quiet) => {
                match timeout(CONNECT_TIMEOUT, sqlx::query("SELECT 1").execute(&mut listener)).await {
                    Ok(Ok(_)) => continue,
                    Ok(Err(error)) => return error,
                    Err(_) => return sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()),
                }
            }
        };
        let _ = sender.try_send(wakeup);
    }
}
