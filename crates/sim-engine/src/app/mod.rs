//! The rules, and the transactions they run in: lock the machine, settle what was due, act, store, commit.

pub mod customers;
pub mod faults;
pub mod guest;
pub mod repositories;
pub mod snapshots;
mod spec;
pub mod state;
pub mod transactions;
pub mod upkeep;
pub mod vms;
pub mod watch;

use api_types::{problem::FieldError, sim::FaultKind};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use serde_json::json;
use service_kit::{ApiError, ApiResult, Caller, audit, problem_types, server::Service};
use sqlx::{PgConnection, Postgres, Transaction};

use crate::{
    machine::{GuestSilent, Machine},
    service::{SimEngine, SimState},
    store,
};

/// The machine, locked, with everything done that was due.
async fn lock_settled(connection: &mut PgConnection, id: &CiId, now: DateTime<Utc>) -> ApiResult<Machine> {
    let mut machine = store::machines::lock_machine(connection, id).await?;
    machine.settle(now);
    // At once: an ended transaction must have let go of the package lock before another may take it.
    store_news(connection, &mut machine).await?;
    Ok(machine)
}

/// Stores a locked machine. What comes after it in its transaction must not wait for anybody.
async fn save(connection: &mut PgConnection, machine: &mut Machine, now: DateTime<Utc>) -> ApiResult<()> {
    store_news(connection, machine).await?;
    machine.updated_at = now;
    store::machines::update_machine(connection, machine, now).await
}

/// Stores and audits what nobody asked for: ends of transactions, blows of faults.
async fn store_news(connection: &mut PgConnection, machine: &mut Machine) -> ApiResult<()> {
    let vm = &machine.id;
    for ended in machine.ended.drain(..) {
        store::transactions::update_transaction(connection, &ended).await?;
        let ended = api_types::sim::Transaction::from(ended);
        tracing::info!(%vm, transaction = ended.transaction_id, failure = ended.failure, "a package transaction ended");
        let object = format!("vm/{vm}/transaction/{}", ended.transaction_id);
        let record = audit::Record::new("end_transaction", object).after(&ended);
        audit::record(connection, &this_service(), record).await?;
    }
    // A cut network strikes with every request; its beginning and its end are on record.
    for (id, kind) in machine.struck.drain(..).filter(|(_, kind)| *kind != FaultKind::NetworkPartition) {
        tracing::info!(%vm, fault = %id, ?kind, "an injected fault struck");
        let struck = json!({ "vm_id": vm, "kind": kind });
        let record = audit::Record::new("strike_fault", format!("fault/{id}")).after(&struck);
        audit::record(connection, &this_service(), record).await?;
    }
    Ok(())
}

/// A locked machine, and the transaction that ends with the lock.
type Held = (Transaction<'static, Postgres>, Machine);

/// A machine whose guest answers, locked.
async fn reach(state: &SimState, id: &CiId, now: DateTime<Utc>) -> ApiResult<Held> {
    let mut transaction = state.pool.begin().await?;
    let mut machine = lock_settled(&mut transaction, id, now).await?;
    refuse_real_guest(state, &machine)?;
    let reached = machine.reach();
    unless_silent(reached, (transaction, machine), now).await
}

/// A machine whose guest answered and is about to do something: a fault may keep it from it.
async fn withstand((transaction, mut machine): Held, now: DateTime<Utc>) -> ApiResult<Held> {
    let withstood = machine.withstand(now);
    unless_silent(withstood, (transaction, machine), now).await
}

/// A machine whose guest answers and is about to do something, locked.
async fn operate(state: &SimState, id: &CiId, now: DateTime<Utc>) -> ApiResult<Held> {
    withstand(reach(state, id, now).await?, now).await
}

/// Goes on with a guest that answers. The blow that silenced another is stored before the refusal is returned.
async fn unless_silent(
    answers: Result<(), GuestSilent>,
    (mut transaction, mut machine): Held,
    now: DateTime<Utc>,
) -> ApiResult<Held> {
    match answers {
        Ok(()) => Ok((transaction, machine)),
        Err(silent) => {
            save(&mut transaction, &mut machine, now).await?;
            transaction.commit().await?;
            Err(unreachable(&silent))
        }
    }
}

/// A machine whose guest answers, to be read. It is locked only when reading changes it.
async fn read(state: &SimState, id: &CiId, now: DateTime<Utc>) -> ApiResult<Machine> {
    let mut reading = store::begin_reading(&state.pool).await?;
    let mut machine = store::machines::get_machine(&mut reading, id).await?;
    reading.commit().await?;
    refuse_real_guest(state, &machine)?;
    if machine.is_idle(now) {
        machine.reach().map_err(|silent| unreachable(&silent))?;
        return Ok(machine);
    }
    let (mut transaction, mut machine) = reach(state, id, now).await?;
    save(&mut transaction, &mut machine, now).await?;
    transaction.commit().await?;
    Ok(machine)
}

/// The inside of a real guest is not the sim-engine's to show.
fn refuse_real_guest(state: &SimState, machine: &Machine) -> ApiResult<()> {
    match state.drivers.of(machine)?.has_real_guests() {
        true => Err(ApiError::new(
            problem_types::REAL_GUEST,
            format!(
                "the inside of `{}` is entered over SSH; how, stands in `ssh` of `/sim/vms/{0}`",
                machine.id
            ),
        )),
        false => Ok(()),
    }
}

fn unreachable(silent: &GuestSilent) -> ApiError {
    ApiError::new(problem_types::GUEST_UNREACHABLE, silent.to_string())
}

/// The service acting by itself.
fn this_service() -> Caller {
    Caller::internal(SimEngine::NAME, format!("service:{}", SimEngine::NAME))
}

/// Collects everything that is wrong with a request.
#[derive(Default)]
struct Complaints(Vec<FieldError>);

impl Complaints {
    fn check(&mut self, holds: bool, pointer: impl Into<String>, detail: impl Into<String>) {
        if !holds && self.0.len() < 100 {
            self.0.push(FieldError { pointer: pointer.into(), detail: detail.into() });
        }
    }

    fn settle(self) -> ApiResult<()> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(ApiError::invalid_fields(self.0)),
        }
    }
}

/// A name without spaces and control characters, 1 to `most` bytes.
fn is_name(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.len()) && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

/// A text for people, at most `most` bytes.
fn is_text(text: &str, most: usize) -> bool {
    text.len() <= most && !text.chars().any(char::is_control)
}

/// One segment of a JSON pointer.
fn pointer(segment: &str) -> String {
    let shown: String = segment.chars().take(100).collect();
    shown.replace('~', "~0").replace('/', "~1")
}
