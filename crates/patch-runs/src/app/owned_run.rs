//! A run as its owner has it. What the run has for each host stays in memory between two events, and is
//! read again only after another process has changed the run.

use domain::{
    ids::RunId,
    run::{Event, Refused, Run},
};
use leases::{Lease, LeaseError};
use service_kit::{ApiError, ApiResult, Caller, problem_types};
use sqlx::{PgConnection, Postgres, Transaction};
use tokio::sync::Mutex;

use super::transition::{self, Evidence, LoadedRun, Report, TransitionError};
use crate::{App, SERVICE, store::runs};

/// A run that this process owns.
pub struct OwnedRun {
    pub lease: Lease,
    /// The run as this process read or changed it last; `None` if that is not certain. Locked before the run's row.
    kept: Mutex<Option<LoadedRun>>,
}

impl OwnedRun {
    pub fn new(lease: Lease) -> Self {
        Self { lease, kept: Mutex::new(None) }
    }

    pub fn id(&self) -> RunId {
        RunId(*self.lease.key())
    }

    /// The run as it is now.
    pub async fn load(&self, conn: &mut PgConnection) -> ApiResult<LoadedRun> {
        let mut kept = self.kept.lock().await;
        let mut row = runs::get_run(&mut *conn, self.id()).await?;
        let loaded = match kept.take().filter(|kept| kept.row.revision == row.revision) {
            Some(known) => {
                row.machine.hosts = known.row.machine.hosts;
                LoadedRun { row, plan: known.plan }
            }
            None => transition::load_hosts(conn, row).await?,
        };
        *kept = Some(loaded.clone());
        Ok(loaded)
    }

    /// The run's state machine as it is now, without its hosts.
    pub async fn load_machine(&self, conn: &mut PgConnection) -> ApiResult<Run> {
        runs::get_machine(conn, self.id()).await
    }

    /// Applies an event. When another process owns the run, nothing changes.
    pub async fn apply(&self, app: &App, event: Event, evidence: Evidence) -> Result<(), TransitionError> {
        match self.apply_reports(app, vec![Report { event: Some(event), evidence }]).await? {
            Some(refused) => Err(refused.into()),
            None => Ok(()),
        }
    }

    /// Applies reports in one transaction. Those that the run refuses come too late, and nothing of them is stored.
    pub async fn apply_all(&self, app: &App, reports: Vec<Report>) -> Result<(), TransitionError> {
        self.apply_reports(app, reports).await.map(drop)
    }

    async fn apply_reports(
        &self,
        app: &App,
        reports: Vec<Report>,
    ) -> Result<Option<Refused>, TransitionError> {
        let mut kept = self.kept.lock().await;
        let mut transaction = self.lease.begin().await?;
        let revision = runs::get_revision(&mut transaction, self.id()).await?;
        let mut loaded = match kept.take().filter(|kept| kept.row.revision == revision) {
            Some(loaded) => loaded,
            None => transition::load(&mut transaction, self.id()).await?,
        };
        let caller = Caller::internal(SERVICE, "service:patch-manager");
        let refused = transition::apply_all(app, &mut transaction, &mut loaded, reports, &caller).await?;
        transaction.commit().await?;
        *kept = Some(loaded);
        Ok(refused)
    }

    /// Begins a transaction as the owner of the run. If that fails, the process that owns the run later repeats the work.
    pub async fn begin(&self) -> ApiResult<Transaction<'static, Postgres>> {
        self.lease.begin().await.map_err(unchecked_lease)
    }
}

impl From<LeaseError> for TransitionError {
    fn from(error: LeaseError) -> Self {
        if error.is_lost() { Self::Lost } else { Self::Failed(unchecked_lease(error)) }
    }
}

fn unchecked_lease(error: LeaseError) -> ApiError {
    ApiError::new(problem_types::LEASE, "cannot check the lease").with_source(error)
}
