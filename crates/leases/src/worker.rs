use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, PgPool};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::within;
use crate::heartbeat::keep_registered;
use crate::lease::Holder;
use crate::registration::Registration;
use crate::{Epoch, Key, Lease, LeaseConfig, LeaseError, LeasedTable, WorkerId};

/// This process as an owner of rows. One per process is enough, for any number of tables.
///
/// Dropping it deletes its registration in the background. [`Worker::shutdown`] does so and waits.
pub struct Worker {
    pool: PgPool,
    config: LeaseConfig,
    current: watch::Receiver<Arc<Registration>>,
    heartbeat: JoinHandle<Result<(), LeaseError>>,
    stop: DropGuard,
}

impl Worker {
    /// Registers and starts the heartbeat. Fails if the database cannot be reached now. Later the worker survives any
    /// outage of the database.
    pub async fn start(pool: PgPool, config: LeaseConfig) -> Result<Worker, LeaseError> {
        config.check()?;
        // A separate connection: a pool that work has exhausted must not cost the lease. The hooks of the pool remain: they
        // refuse servers that take no writes.
        let heartbeat_pool = pool
            .options()
            .clone()
            .min_connections(0)
            .max_connections(1)
            .acquire_timeout(config.heartbeat)
            .connect_lazy_with((*pool.connect_options()).clone());
        let registration = Registration::insert(&heartbeat_pool, &config).await?;
        let (sender, current) = watch::channel(Arc::new(registration));
        let stop = CancellationToken::new();
        let heartbeat = tokio::spawn(keep_registered(heartbeat_pool, config.clone(), sender, stop.clone()));
        Ok(Worker { pool, config, current, heartbeat, stop: stop.drop_guard() })
    }

    /// The id of the current registration. It changes after a lapse.
    pub fn id(&self) -> WorkerId {
        self.current.borrow().id
    }

    /// Whether the registration is alive by the clock of this process. Correct even in the first instant after the
    /// process was stopped and continues.
    pub fn is_alive(&self) -> bool {
        self.current.borrow().is_alive()
    }

    /// Cancelled when the current registration lapses or the worker shuts down.
    pub fn lapsed(&self) -> CancellationToken {
        self.current.borrow().lapsed.child_token()
    }

    /// Claims up to `limit` claimable rows that no live worker owns. Two workers never get the same row at the same
    /// epoch, and neither waits for the other.
    pub async fn claim<K: Key>(&self, table: &LeasedTable, limit: u32) -> Result<Vec<Lease<K>>, LeaseError> {
        let holder = self.holder()?;
        let claim = claim_rows(&holder, table, limit);
        within(self.config.database_timeout, "claim rows", claim).await
    }

    /// Renews a lease of an earlier registration of this worker, at a higher epoch, unless another worker has claimed the
    /// row. Work that survived an outage of the database is thus neither lost nor done twice.
    pub async fn reclaim<K: Key>(&self, lease: &mut Lease<K>) -> Result<(), LeaseError> {
        let holder = self.holder()?;
        let mut tx = lease.begin().await?;
        // It exists before the commit, as in a claim: if the answer to the commit is lost, dropping it releases the row.
        let renewed = lease.successor(Arc::clone(&holder));
        let change_owner = async {
            sqlx::query(AssertSqlSafe(lease.table().change_owner()))
                .bind(lease.key())
                .bind(holder.registration.id)
                .execute(&mut *tx)
                .await?;
            tx.commit().await
        };
        within(self.config.database_timeout, "reclaim a row", change_owner).await?;
        *lease = renewed;
        Ok(())
    }

    /// Stops the heartbeat and releases all rows at once, so that others continue without waiting for the lapse. Stop the
    /// work first: remaining leases get their [`Lease::lapsed`] cancelled.
    pub async fn shutdown(self) -> Result<(), LeaseError> {
        let Worker { config, mut heartbeat, stop, .. } = self;
        drop(stop);
        let limit = config.database_timeout + Duration::from_secs(1);
        match tokio::time::timeout(limit, &mut heartbeat).await {
            Ok(Ok(deleted)) => deleted,
            Ok(Err(panicked)) => std::panic::resume_unwind(panicked.into_panic()),
            Err(_) => {
                heartbeat.abort();
                Err(LeaseError::Timeout { action: "delete a worker's registration", after: limit })
            }
        }
    }

    fn holder(&self) -> Result<Arc<Holder>, LeaseError> {
        let registration = Arc::clone(&self.current.borrow());
        if !registration.is_alive() {
            return Err(LeaseError::Lapsed);
        }
        Ok(Arc::new(Holder {
            pool: self.pool.clone(),
            registration,
            database_timeout: self.config.database_timeout,
            idle_timeout: self.config.lease,
        }))
    }
}

async fn claim_rows<K: Key>(
    holder: &Arc<Holder>,
    table: &LeasedTable,
    limit: u32,
) -> Result<Vec<Lease<K>>, sqlx::Error> {
    let mut tx = holder.begin().await?;
    let rows: Vec<(K, Epoch)> = sqlx::query_as(AssertSqlSafe(table.select_claimable()))
        .bind(i64::from(limit))
        .fetch_all(&mut *tx)
        .await?;
    if rows.is_empty() {
        tx.rollback().await?;
        return Ok(Vec::new());
    }
    let keys: Vec<K> = rows.iter().map(|(key, _)| key.clone()).collect();
    // The leases exist before the rows are taken. If the answer to the commit is lost, dropping them releases what was
    // taken. Otherwise a live worker would own rows that it does not know.
    let mut leases: Vec<Lease<K>> = rows
        .into_iter()
        .map(|(key, epoch)| Lease::new(Arc::clone(holder), *table, key, epoch.next()))
        .collect();
    // The first statement checked owners in its snapshot, in which a recent registration may be missing. This one has a
    // newer snapshot and the rows are locked, so its check of the owners is final.
    let taken: HashSet<K> = sqlx::query_scalar(AssertSqlSafe(table.take_unowned()))
        .bind(keys)
        .bind(holder.registration.id)
        .fetch_all(&mut *tx)
        .await?
        .into_iter()
        .collect();
    tx.commit().await?;
    leases.retain(|lease| taken.contains(lease.key()));
    Ok(leases)
}
