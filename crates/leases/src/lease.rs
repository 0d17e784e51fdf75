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

/// How often a row has been claimed. Grows with every claim, so that the larger of two is the later owner's.
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

/// What the leases of one claim share.
pub(crate) struct Holder {
    pub(crate) pool: PgPool,
    pub(crate) registration: Arc<Registration>,
    pub(crate) database_timeout: Duration,
    pub(crate) idle_timeout: Duration,
}

impl Holder {
    /// A transaction that cannot keep a row locked for long: not by waiting for another lock, and not when this
    /// process is stopped in the middle of it. The server itself ends it then, and the row can be taken over.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let lock_timeout = self.database_timeout.as_millis();
        let idle_timeout = self.idle_timeout.as_millis();
        let begin = format!(
            "begin isolation level read committed; set local lock_timeout = {lock_timeout}; \
             set local idle_in_transaction_session_timeout = {idle_timeout}"
        );
        self.pool.begin_with(AssertSqlSafe(begin)).await
    }
}

/// A row that is ours until somebody else claims it at a higher epoch.
///
/// Dropping a lease gives the row back in the background, so that the row of a task that panicked or was cancelled
/// does not stay with a worker that lives on.
pub struct Lease<K: Key = Uuid> {
    holder: Arc<Holder>,
    claim: Claim<K>,
    is_settled: bool,
}

impl<K: Key> Lease<K> {
    pub(crate) fn new(holder: Arc<Holder>, table: LeasedTable, key: K, epoch: Epoch) -> Lease<K> {
        let claim = Claim { table, key, owner: holder.registration.id, epoch };
        Lease { holder, claim, is_settled: false }
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

    /// Whether the owner's lease still holds by this process's own clock. If not, others may have taken the row.
    pub fn is_alive(&self) -> bool {
        self.holder.registration.is_alive()
    }

    /// Trips when the owner's lease has lapsed: end what goes on outside the database.
    pub fn lapsed(&self) -> CancellationToken {
        self.holder.registration.lapsed.child_token()
    }

    /// Locks the row until the end of the caller's transaction and checks that it is still ours. Writes that follow
    /// in the transaction are safe: no other worker can claim the row before the commit. Also good after a lapse, as
    /// long as nobody has claimed the row.
    ///
    /// # Errors
    /// [`LeaseError::Lost`] when it is not ours any more: roll the transaction back.
    pub async fn guard(&self, connection: &mut PgConnection) -> Result<(), LeaseError> {
        let is_ours = self.claim.lock(connection);
        match within(self.holder.database_timeout, "check a lease", is_ours).await? {
            true => Ok(()),
            false => Err(self.claim.lost()),
        }
    }

    /// Begins a transaction and [guards](Lease::guard) it. The server ends it when it stays idle for as long as a
    /// lease lasts: do nothing slow inside.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, LeaseError> {
        let mut tx =
            within(self.holder.database_timeout, "begin a leased transaction", self.holder.begin()).await?;
        self.guard(&mut tx).await?;
        Ok(tx)
    }

    /// Commits the last writes and gives the row back in one step. When it fails, nothing was written, unless the
    /// database went away in the middle of the commit; whoever claims the row next sees which.
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
        self.is_settled = true;
        if was_ours { Ok(()) } else { Err(self.claim.lost()) }
    }

    /// Gives the row back. It can be claimed again at once if it is still claimable.
    pub async fn release(self) -> Result<(), LeaseError> {
        let tx = self.begin().await?;
        self.finish(tx).await
    }
}

impl<K: Key> fmt::Debug for Lease<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.claim.fmt(formatter)
    }
}

impl<K: Key> Drop for Lease<K> {
    fn drop(&mut self) {
        // Rows of an owner that is dead anyway are free already.
        if self.is_settled || !self.holder.registration.is_alive() {
            return;
        }
        let (holder, claim) = (Arc::clone(&self.holder), self.claim.clone());
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(give_back(holder, claim))),
            Err(_) => {
                warn!(?claim, "lease dropped outside the runtime, its row stays owned until the worker ends")
            }
        }
    }
}

/// Tries until the row is not ours any more; by the end of the owner's lease that is so in any case.
async fn give_back<K: Key>(holder: Arc<Holder>, claim: Claim<K>) {
    let attempts = async {
        let mut backoff = Backoff::default();
        while let Err(error) = within(holder.database_timeout, "release a row", claim.release(&holder)).await
        {
            warn!(?claim, error = &error as &dyn std::error::Error, "releasing a row failed, trying again");
            backoff.pause().await;
        }
    };
    holder.registration.lapsed.run_until_cancelled(attempts).await;
}

/// What a lease says, without the duty to give it back.
#[derive(Debug, Clone)]
struct Claim<K> {
    table: LeasedTable,
    key: K,
    owner: WorkerId,
    epoch: Epoch,
}

impl<K: Key> Claim<K> {
    /// Whether the row, now locked, is still ours.
    async fn lock(&self, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let is_ours: Option<bool> = sqlx::query_scalar(AssertSqlSafe(self.table.lock_and_compare()))
            .bind(&self.key)
            .bind(self.owner)
            .bind(self.epoch)
            .fetch_optional(connection)
            .await?;
        Ok(is_ours.unwrap_or(false))
    }

    /// Whether the row was still ours.
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
        // The claim may still be on its way to its commit: the lock waits for that, a bare update would miss it.
        if self.lock(&mut tx).await? {
            self.clear_owner(&mut tx).await?;
        }
        tx.commit().await
    }

    fn lost(&self) -> LeaseError {
        LeaseError::Lost { table: self.table.table, key: format!("{:?}", self.key), epoch: self.epoch }
    }
}
