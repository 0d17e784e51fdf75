use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Transaction};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::error::within;
use crate::registration::Registration;
use crate::{Backoff, Key, LeaseError, LeasedTable, WorkerId};

/// How often a row has been claimed. It grows with every claim: the larger of two epochs belongs to the later owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, sqlx::Type)]
#[sqlx(transparent)]
pub struct Epoch(pub i64);

impl Epoch {
    pub(crate) fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What the leases of one call of [`Worker::claim`](crate::Worker::claim) share.
pub(crate) struct Holder {
    pub(crate) pool: PgPool,
    pub(crate) registration: Arc<Registration>,
    pub(crate) database_timeout: Duration,
    pub(crate) idle_timeout: Duration,
}

impl Holder {
    /// Begins a transaction that cannot keep a row locked for long, neither by waiting for another lock nor when this
    /// process is stopped in the middle of it: the server ends it, and the row can be taken over.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let lock_timeout = self.database_timeout.as_millis();
        let idle_timeout = self.idle_timeout.as_millis();
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = {lock_timeout}; \
             SET LOCAL idle_in_transaction_session_timeout = {idle_timeout}"
        );
        self.pool.begin_with(AssertSqlSafe(begin)).await
    }
}

/// A row that this worker owns until another one claims it at a higher epoch.
///
/// Dropping a lease releases the row in the background. A task that panics or is cancelled therefore does not keep its
/// row while its worker lives.
pub struct Lease<K: Key = Uuid> {
    holder: Arc<Holder>,
    claim: Claim<K>,
    is_released: bool,
}

impl<K: Key> Lease<K> {
    pub(crate) fn new(holder: Arc<Holder>, table: LeasedTable, key: K, epoch: Epoch) -> Lease<K> {
        let claim = Claim { table, key, owner: holder.registration.id, epoch };
        Lease { holder, claim, is_released: false }
    }

    pub(crate) fn successor(&self, holder: Arc<Holder>) -> Lease<K> {
        Lease::new(holder, self.claim.table, self.claim.key.clone(), self.claim.epoch.next())
    }

    pub fn key(&self) -> &K {
        &self.claim.key
    }

    pub fn epoch(&self) -> Epoch {
        self.claim.epoch
    }

    pub fn owner(&self) -> WorkerId {
        self.claim.owner
    }

    pub(crate) fn table(&self) -> &LeasedTable {
        &self.claim.table
    }

    /// Whether the owner's registration is alive by the clock of this process. If not, another worker may own the row.
    pub fn is_alive(&self) -> bool {
        self.holder.registration.is_alive()
    }

    /// How long this lease is good for without another heartbeat; zero once it has lapsed.
    pub fn remaining(&self) -> LeaseTime {
        LeaseTime { registration: self.holder.registration.clone() }
    }

    /// Cancelled when the owner's registration lapses: stop what runs outside the database.
    pub fn lapsed(&self) -> CancellationToken {
        self.holder.registration.lapsed.child_token()
    }

    /// Locks the row until the end of the caller's transaction and checks that this lease still owns it. Later writes of
    /// the transaction are safe: no other worker can claim the row before the commit. Also works after a lapse, while
    /// nobody has claimed the row.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] if the lease no longer owns the row: roll the transaction back.
    pub async fn guard(&self, connection: &mut PgConnection) -> Result<(), LeaseError> {
        let is_ours = self.claim.lock(connection);
        let is_ours = within(self.holder.database_timeout, "check a lease", is_ours).await?;
        if is_ours { Ok(()) } else { Err(self.claim.lost()) }
    }

    /// Begins a transaction and [guards](Lease::guard) it. The server ends it when it is idle for the duration of a
    /// lease: do nothing slow inside.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, LeaseError> {
        let mut tx =
            within(self.holder.database_timeout, "begin a leased transaction", self.holder.begin()).await?;
        self.guard(&mut tx).await?;
        Ok(tx)
    }

    /// Commits the last writes and releases the row in one step. If it fails, nothing was written, unless the database
    /// became unavailable during the commit; the next owner of the row sees which.
    pub async fn finish(mut self, mut tx: Transaction<'static, Postgres>) -> Result<(), LeaseError> {
        let commit = async {
            let was_ours = self.claim.clear_owner(&mut tx).await?;
            if was_ours {
                tx.commit().await?
            } else {
                tx.rollback().await?
            }
            Ok(was_ours)
        };
        let was_ours = within(self.holder.database_timeout, "commit and release a row", commit).await?;
        self.is_released = true;
        if was_ours { Ok(()) } else { Err(self.claim.lost()) }
    }

    /// Releases the row. It can be claimed again at once if it is still claimable.
    pub async fn release(self) -> Result<(), LeaseError> {
        let tx = self.begin().await?;
        self.finish(tx).await
    }
}

/// The time that a worker's leases are good for, as heartbeats extend it.
#[derive(Clone)]
pub struct LeaseTime {
    registration: Arc<Registration>,
}

impl LeaseTime {
    pub fn left(&self) -> Duration {
        let until = self.registration.good_until();
        if self.registration.is_alive() {
            until.saturating_duration_since(tokio::time::Instant::now())
        } else {
            Duration::ZERO
        }
    }
}

impl<K: Key> fmt::Debug for Lease<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.claim.fmt(formatter)
    }
}

impl<K: Key> Drop for Lease<K> {
    fn drop(&mut self) {
        // The rows of a dead owner are free already.
        if self.is_released || !self.holder.registration.is_alive() {
            return;
        }
        let (holder, claim) = (Arc::clone(&self.holder), self.claim.clone());
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(release_in_background(holder, claim))),
            Err(_) => {
                warn!(?claim, "lease dropped outside the runtime, its row stays owned until the worker ends")
            }
        }
    }
}

/// Retries until the row is released, at most until the owner's registration lapses, which frees it anyway.
async fn release_in_background<K: Key>(holder: Arc<Holder>, claim: Claim<K>) {
    let attempts = async {
        let mut backoff = Backoff::default();
        while let Err(error) = within(holder.database_timeout, "release a row", claim.release(&holder)).await
        {
            warn!(?claim, error = &error as &dyn std::error::Error, "releasing a row failed, retrying");
            backoff.pause().await;
        }
    };
    holder.registration.lapsed.run_until_cancelled(attempts).await;
}

/// The content of a lease, without its release on drop.
#[derive(Debug, Clone)]
struct Claim<K> {
    table: LeasedTable,
    key: K,
    owner: WorkerId,
    epoch: Epoch,
}

impl<K: Key> Claim<K> {
    /// Locks the row. Returns whether it is still ours.
    async fn lock(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let is_ours: Option<bool> = sqlx::query_scalar(AssertSqlSafe(self.table.lock_and_compare()))
            .bind(&self.key)
            .bind(self.owner)
            .bind(self.epoch)
            .fetch_optional(connection)
            .await?;
        Ok(is_ours.unwrap_or(false))
    }

    /// Returns whether the row was still ours.
    async fn clear_owner(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let done = sqlx::query(AssertSqlSafe(self.table.clear_owner()))
            .bind(&self.key)
            .bind(self.owner)
            .bind(self.epoch)
            .execute(connection)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    async fn release(&self, holder: &Holder) -> Result<(), sqlx::Error> {
        let mut tx = holder.begin().await?;
        // The claim may not be committed yet: the lock waits for that, a bare update would miss the row.
        if self.lock(&mut tx).await? {
            self.clear_owner(&mut tx).await?;
        }
        tx.commit().await
    }

    fn lost(&self) -> LeaseError {
        LeaseError::Lost { table: self.table.table, key: format!("{:?}", self.key), epoch: self.epoch }
    }
}
