use std::fmt;
use std::sync::{Mutex, PoisonError};

use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::within;
use crate::wakeup::WORKER_LEFT;
use crate::{LeaseConfig, LeaseError};

/// Id of one registration. A process whose registration lapsed continues under another id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct WorkerId(pub Uuid);

impl fmt::Display for WorkerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A row of `leases.workers`, as its process sees it.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) id: WorkerId,
    pub(crate) lapsed: CancellationToken,
    good_until: Mutex<Instant>,
}

impl Registration {
    pub(crate) fn is_alive(&self) -> bool {
        if !self.lapsed.is_cancelled() && Instant::now() >= self.good_until() {
            // A process that was stopped may get here before its heartbeat.
            self.lapsed.cancel();
        }
        !self.lapsed.is_cancelled()
    }

    pub(crate) fn good_until(&self) -> Instant {
        *self.good_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Inserts a new row, and deletes those that have been dead for a day. People may read them until then.
    pub(crate) async fn insert(pool: &PgPool, config: &LeaseConfig) -> Result<Registration, LeaseError> {
        let id = WorkerId(Uuid::now_v7());
        let sent = Instant::now();
        let insert = sqlx::query(
            "WITH deleted AS (DELETE FROM leases.workers WHERE lease_until < clock_timestamp() - interval '1 day') \
             INSERT INTO leases.workers (id, name, lease_until) \
             VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))",
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

    /// Extends the lease. False if it has lapsed, which is final.
    pub(crate) async fn extend(&self, pool: &PgPool, config: &LeaseConfig) -> Result<bool, LeaseError> {
        let sent = Instant::now();
        let extend = sqlx::query(
            "UPDATE leases.workers SET lease_until = clock_timestamp() + make_interval(secs => $2) \
             WHERE id = $1 AND lease_until > clock_timestamp()",
        )
        .bind(self.id)
        .bind(config.lease.as_secs_f64());
        let done = within(config.heartbeat, "send a heartbeat", extend.execute(pool)).await?;
        if done.rows_affected() == 1 {
            // From the time before it was sent: the server started later, so its lease ends later than this.
            *self.good_until.lock().unwrap_or_else(PoisonError::into_inner) =
                sent + config.lease - config.margin;
        }
        Ok(done.rows_affected() == 1)
    }

    /// Releases all rows of this worker at once: an owner that is not registered counts as dead.
    pub(crate) async fn delete(&self, pool: &PgPool, config: &LeaseConfig) -> Result<(), LeaseError> {
        let delete = sqlx::query(
            "WITH deleted AS (DELETE FROM leases.workers WHERE id = $1) SELECT pg_notify($2, $1::text)",
        )
        .bind(self.id)
        .bind(WORKER_LEFT);
        within(config.database_timeout, "delete a worker's registration", delete.execute(pool)).await?;
        Ok(())
    }
}
