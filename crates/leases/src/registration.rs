use std::fmt;
use std::sync::{Mutex, PoisonError};

use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::within;
use crate::wakeup::WORKER_LEFT;
use crate::{LeaseConfig, LeaseError};

/// One life of a worker. A process whose lease lapsed goes on under another id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct WorkerId(pub Uuid);

impl fmt::Display for WorkerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A row of `leases.workers` as its own process sees it.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) id: WorkerId,
    pub(crate) lapsed: CancellationToken,
    good_until: Mutex<Instant>,
}

impl Registration {
    pub(crate) fn is_alive(&self) -> bool {
        if !self.lapsed.is_cancelled() && Instant::now() >= self.good_until() {
            // A process that was stopped may well get here before its heartbeat does.
            self.lapsed.cancel();
        }
        !self.lapsed.is_cancelled()
    }

    pub(crate) fn good_until(&self) -> Instant {
        *self.good_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Inserts a new row, and removes those that have been dead for a day: kept that long for people to read.
    pub(crate) async fn insert(pool: &PgPool, config: &LeaseConfig) -> Result<Registration, LeaseError> {
        let id = WorkerId(Uuid::now_v7());
        let sent = Instant::now();
        let insert = sqlx::query(
            "with buried as (delete from leases.workers where lease_until < clock_timestamp() - interval '1 day') \
             insert into leases.workers (id, name, lease_until) \
             values ($1, $2, clock_timestamp() + make_interval(secs => $3))",
        )
        .bind(id)
        .bind(&config.name)
        .bind(config.lease.as_secs_f64());
        within(config.database_timeout, "register as a worker", insert.execute(pool)).await?;
        Ok(Registration {
            id,
            lapsed: CancellationToken::new(),
            good_until: Mutex::new(sent + config.lease - config.margin),
        })
    }

    /// Moves the lease on; false when it has passed already, after which nothing brings it back.
    pub(crate) async fn extend(&self, pool: &PgPool, config: &LeaseConfig) -> Result<bool, LeaseError> {
        let sent = Instant::now();
        let extend = sqlx::query(
            "update leases.workers set lease_until = clock_timestamp() + make_interval(secs => $2) \
             where id = $1 and lease_until > clock_timestamp()",
        )
        .bind(self.id)
        .bind(config.lease.as_secs_f64());
        let done = within(config.heartbeat, "send a heartbeat", extend.execute(pool)).await?;
        if done.rows_affected() == 1 {
            // Counted from before it was sent: the server began later, so its lease ends later than this.
            *self.good_until.lock().unwrap_or_else(PoisonError::into_inner) =
                sent + config.lease - config.margin;
        }
        Ok(done.rows_affected() == 1)
    }

    /// Gives up every row of this worker at once: an owner that is not registered counts as dead.
    pub(crate) async fn delete(&self, pool: &PgPool, config: &LeaseConfig) -> Result<(), LeaseError> {
        let delete = sqlx::query(
            "with left_now as (delete from leases.workers where id = $1) select pg_notify($2, $1::text)",
        )
        .bind(self.id)
        .bind(WORKER_LEFT);
        within(config.database_timeout, "sign off as a worker", delete.execute(pool)).await?;
        Ok(())
    }
}
