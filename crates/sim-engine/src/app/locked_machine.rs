//! A machine under its row lock.

use api_types::sim::{FaultKind, Vm};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use serde_json::json;
use service_kit::{ApiError, ApiResult, Caller, audit, idempotency, problem_types};
use sqlx::{PgConnection, Postgres, Transaction};

use super::this_service;
use crate::{
    machine::{GuestUnreachable, Machine},
    state::App,
    store,
};

/// A machine and the transaction that ends its lock.
pub(super) struct LockedMachine {
    pub tx: Transaction<'static, Postgres>,
    pub machine: Machine,
    pub now: DateTime<Utc>,
}

impl LockedMachine {
    /// Locks a machine in a transaction of its own and brings it up to date.
    pub async fn lock(app: &App, id: &CiId) -> ApiResult<Self> {
        Self::lock_in(app.pool.begin().await?, id, app.clock.now()).await
    }

    /// The same in the caller's transaction.
    pub async fn lock_in(
        mut tx: Transaction<'static, Postgres>,
        id: &CiId,
        now: DateTime<Utc>,
    ) -> ApiResult<Self> {
        let mut machine = store::machines::lock_machine(&mut tx, id).await?;
        machine.advance(now);
        // At once: an ended transaction must release the package lock before another may take it.
        store_events(&mut tx, &mut machine).await?;
        Ok(Self { tx, machine, now })
    }

    /// Locks a machine whose guest answers.
    pub async fn lock_reachable(app: &App, id: &CiId) -> ApiResult<Self> {
        let mut locked = Self::lock(app, id).await?;
        refuse_real_guest(app, &locked.machine)?;
        let reached = locked.machine.reach();
        locked.require(reached).await
    }

    /// Locks a machine whose guest is about to do something. A pending host failure may prevent it.
    pub async fn lock_for_operation(app: &App, id: &CiId) -> ApiResult<Self> {
        Self::lock_reachable(app, id).await?.survive_operation().await
    }

    /// Lets a pending host failure strike at an operation of the guest.
    pub async fn survive_operation(mut self) -> ApiResult<Self> {
        let survived = self.machine.survive_operation(self.now);
        self.require(survived).await
    }

    /// Continues with a guest that answers. Otherwise the strike that silenced it is stored before the error is returned.
    async fn require(self, reached: Result<(), GuestUnreachable>) -> ApiResult<Self> {
        match reached {
            Ok(()) => Ok(self),
            Err(unreachable) => {
                self.commit().await?;
                Err(unavailable(&unreachable))
            }
        }
    }

    pub async fn audit(&mut self, caller: &Caller, record: audit::Record<'_>) -> ApiResult<()> {
        audit::record(&mut self.tx, caller, record).await
    }

    /// Audits an operation, stores its answer under the idempotency key and commits. The answer is the machine.
    pub async fn finish(
        mut self,
        caller: &Caller,
        record: audit::Record<'_>,
        ticket: idempotency::Ticket,
    ) -> ApiResult<Vm> {
        self.machine.updated_at = self.now;
        let vm = self.machine.to_vm();
        self.audit(caller, record.after(&vm)).await?;
        ticket.finish(&mut self.tx, &vm).await?;
        self.commit().await?;
        Ok(vm)
    }

    /// Stores the machine and commits.
    pub async fn commit(mut self) -> ApiResult<Machine> {
        store_events(&mut self.tx, &mut self.machine).await?;
        self.machine.updated_at = self.now;
        store::machines::update_machine(&mut self.tx, &self.machine, self.now).await?;
        self.tx.commit().await?;
        Ok(self.machine)
    }
}

/// Stores and audits what happened without a request: package transactions that ended, faults that struck.
async fn store_events(conn: &mut PgConnection, machine: &mut Machine) -> ApiResult<()> {
    let vm = &machine.id;
    for ended in machine.ended.drain(..) {
        store::transactions::update_transaction(conn, &ended).await?;
        let ended = ended.shown;
        tracing::info!(%vm, transaction = ended.transaction_id, failure = ended.failure, "a package transaction ended");
        let object = format!("vm/{vm}/transaction/{}", ended.transaction_id);
        let record = audit::Record::new("end_transaction", object).after(&ended);
        audit::record(conn, &this_service(), record).await?;
    }
    // A network partition strikes at each request; its start and its end are in the audit log already.
    for (id, kind) in machine.struck.drain(..).filter(|(_, kind)| *kind != FaultKind::NetworkPartition) {
        tracing::info!(%vm, fault = %id, ?kind, "an injected fault struck");
        let struck = json!({ "vm_id": vm, "kind": kind });
        let record = audit::Record::new("strike_fault", format!("fault/{id}")).after(&struck);
        audit::record(conn, &this_service(), record).await?;
    }
    Ok(())
}

/// Reads a machine without a lock.
pub(super) async fn read_machine(app: &App, id: &CiId) -> ApiResult<Machine> {
    let mut tx = store::begin_reading(&app.pool).await?;
    let machine = store::machines::get_machine(&mut tx, id).await;
    tx.commit().await?;
    machine
}

/// Reads a machine whose guest answers. It is locked only if reading changes it.
pub(super) async fn read_reachable(app: &App, id: &CiId) -> ApiResult<Machine> {
    let mut machine = read_machine(app, id).await?;
    refuse_real_guest(app, &machine)?;
    if machine.is_idle(app.clock.now()) {
        machine.reach().map_err(|unreachable| unavailable(&unreachable))?;
        return Ok(machine);
    }
    LockedMachine::lock_reachable(app, id).await?.commit().await
}

fn refuse_real_guest(app: &App, machine: &Machine) -> ApiResult<()> {
    if app.drivers.of(machine)?.has_real_guests() {
        let id = &machine.id;
        return Err(ApiError::new(
            problem_types::REAL_GUEST,
            format!("`{id}` is a real host: enter it over SSH; `/sim/vms/{id}` has the details in `ssh`"),
        ));
    }
    Ok(())
}

fn unavailable(unreachable: &GuestUnreachable) -> ApiError {
    ApiError::new(problem_types::GUEST_UNREACHABLE, unreachable.to_string())
}
