use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{PgConnection, PgPool};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, warn};

use crate::Backoff;

/// Sent by a worker that signs off: rows may be free to take.
pub(crate) const WORKER_LEFT: &str = "leases_worker_left";

const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After this long without a notification the connection is asked whether it still lives: one whose other end
/// vanished without a word would be listened to for ever.
const QUIET_LIMIT: Duration = Duration::from_secs(30);
/// Notifications beyond this many unread ones are dropped; the poll finds what they were about.
const UNREAD_LIMIT: usize = 1024;

/// Why to look for work now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wakeup {
    /// Somebody called [`notify`] with this payload.
    Notified { payload: String },
    /// Anything may have happened: time has passed, notifications may have been missed, or a worker has left.
    Poll,
}

/// Calls for work by LISTEN and NOTIFY, with a poll behind it so that no notification is ever needed.
pub struct Wakeups {
    received: mpsc::Receiver<Wakeup>,
    poll: Interval,
    _stop: DropGuard,
}

impl Wakeups {
    /// Listens on a connection of its own, which it makes anew whenever it breaks. `channel` has at most 63 bytes.
    pub fn listen(pool: &PgPool, channel: &'static str) -> Wakeups {
        let (sender, received) = mpsc::channel(UNREAD_LIMIT);
        let stop = CancellationToken::new();
        let options = (*pool.connect_options()).clone();
        let listening = stop.clone().run_until_cancelled_owned(listen_for_ever(options, channel, sender));
        tokio::spawn(listening);
        Wakeups { received, poll: poll_every(DEFAULT_POLL_INTERVAL), _stop: stop.drop_guard() }
    }

    /// Polls at this interval in place of the default of 1 s.
    pub fn poll_every(mut self, interval: Duration) -> Wakeups {
        self.poll = poll_every(interval);
        self
    }

    /// Waits for the next call, at most one poll interval. The first one comes at once.
    pub async fn next(&mut self) -> Wakeup {
        tokio::select! {
            _ = self.poll.tick() => Wakeup::Poll,
            Some(wakeup) = self.received.recv() => wakeup,
        }
    }
}

/// Wakes the listeners of `channel` once the transaction has been committed. Payloads have less than 8000 bytes;
/// equal ones of one transaction arrive as one. Transactions that notify commit one after the other, so keep this to
/// what somebody waits for.
pub async fn notify(connection: &mut PgConnection, channel: &str, payload: &str) -> Result<(), sqlx::Error> {
    sqlx::query("select pg_notify($1, $2)").bind(channel).bind(payload).execute(connection).await?;
    Ok(())
}

fn poll_every(period: Duration) -> Interval {
    let mut poll = interval(period.max(Duration::from_millis(1)));
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    poll
}

async fn listen_for_ever(options: PgConnectOptions, channel: &'static str, sender: mpsc::Sender<Wakeup>) {
    let mut backoff = Backoff::default();
    loop {
        let error = match connect(&options, channel).await {
            Ok(listener) => {
                backoff.reset();
                debug!(channel, "listening");
                // What was notified before now went unheard.
                let _ = sender.try_send(Wakeup::Poll);
                forward(listener, &sender).await
            }
            Err(error) => error,
        };
        warn!(
            channel,
            error = &error as &dyn std::error::Error,
            "listening failed, polling until it works again"
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

/// Returns what broke the connection.
async fn forward(mut listener: PgListener, sender: &mpsc::Sender<Wakeup>) -> sqlx::Error {
    loop {
        let wakeup = match timeout(QUIET_LIMIT, listener.try_recv()).await {
            Ok(Ok(Some(notification))) if notification.channel() == WORKER_LEFT => Wakeup::Poll,
            Ok(Ok(Some(notification))) => Wakeup::Notified { payload: notification.payload().to_owned() },
            Ok(Ok(None)) => return sqlx::Error::Io(std::io::ErrorKind::ConnectionAborted.into()),
            Ok(Err(error)) => return error,
            Err(_quiet) => {
                match timeout(CONNECT_TIMEOUT, sqlx::query("select 1").execute(&mut listener)).await {
                    Ok(Ok(_)) => continue,
                    Ok(Err(error)) => return error,
                    Err(_) => return sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()),
                }
            }
        };
        let _ = sender.try_send(wakeup);
    }
}
