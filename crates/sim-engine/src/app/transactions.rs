//! Package transactions: each id runs once in a guest, however often it is requested.

use std::time::Duration;

use api_types::{
    page::Page,
    sim::{StartTransaction, Transaction, TransactionState},
};
use domain::ids::CiId;
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors, audit,
    page::{PageRequest, page},
    problem_types,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    checks::{check_name, check_packages},
    locked_machine::{LockedMachine, read_reachable},
    run_owners::{admit, check_run_owner},
};
use crate::{machine::PackageTransaction, state::App, store};

/// How often a waiting request checks whether the transaction has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

pub async fn start_transaction(
    app: &App,
    caller: &Caller,
    id: &CiId,
    request: &StartTransaction,
) -> ApiResult<Transaction> {
    check(request)?;
    let mut locked = LockedMachine::lock_reachable(app, id).await?;
    if let Some(owner) = &request.owner {
        admit(&mut locked.tx, id, owner).await?;
    }
    let known = store::transactions::find_transaction(&mut locked.tx, id, &request.transaction_id).await?;
    if let Some(known) = known {
        // Faults do not strike: the guest does nothing for a known id.
        locked.commit().await?;
        return Ok(known.shown);
    }
    let mut locked = locked.survive_operation().await?;
    let now = locked.now;
    let packages: Vec<String> = request.packages.keys().cloned().collect();
    let offers = store::repositories::list_offers(&mut locked.tx, &locked.machine.os, &packages).await?;
    let started = locked
        .machine
        .start_transaction(request, &offers, now)
        .map_err(|running| ApiError::new(problem_types::TRANSACTION_IN_PROGRESS, running.to_string()))?;
    store::transactions::insert_transaction(&mut locked.tx, id, &started).await?;
    let object = format!("vm/{id}/transaction/{}", request.transaction_id);
    let record = audit::Record::new("start_transaction", object).after(request);
    locked.audit(caller, record).await?;
    // A transaction that takes no time ends here.
    locked.machine.advance(now);
    let ended = locked.machine.ended.iter().find(|ended| ended.id == started.id).cloned();
    locked.commit().await?;
    Ok(ended.unwrap_or(started).shown)
}

fn check(request: &StartTransaction) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    check_name(&mut errors, &request.transaction_id, 200, "/transaction_id");
    check_packages(&mut errors, &request.packages, 1, "/packages");
    if let Some(owner) = &request.owner {
        check_run_owner(&mut errors, owner, "/owner");
    }
    errors.finish()
}

/// Waits up to `max_wait` for the end of a transaction, and returns its state then.
pub async fn await_transaction(
    app: &App,
    id: &CiId,
    mut transaction: Transaction,
    max_wait: Duration,
) -> ApiResult<Transaction> {
    let deadline = Instant::now() + max_wait;
    while transaction.state == TransactionState::Running && Instant::now() < deadline {
        tokio::time::sleep_until(deadline.min(Instant::now() + POLL_INTERVAL)).await;
        transaction = get_transaction(app, id, &transaction.transaction_id).await?;
    }
    Ok(transaction)
}

pub async fn get_transaction(app: &App, id: &CiId, transaction_id: &str) -> ApiResult<Transaction> {
    read_reachable(app, id).await?;
    let mut conn = app.pool.acquire().await?;
    let found = store::transactions::find_transaction(&mut conn, id, transaction_id).await?;
    found.map(|found| found.shown).ok_or_else(|| {
        let shown: String = transaction_id.chars().take(200).collect();
        ApiError::not_found(format!("package transaction `{shown}` in the guest of VM `{id}`"))
    })
}

pub async fn list_transactions(app: &App, id: &CiId, request: &PageRequest) -> ApiResult<Page<Transaction>> {
    let (limit, before) = (request.limit()?, request.after::<Uuid>()?);
    read_reachable(app, id).await?;
    let mut conn = app.pool.acquire().await?;
    let rows = store::transactions::list_transactions(&mut conn, id, before, limit + 1).await?;
    let Page { items, next_page_token } = page(rows, limit, |row: &PackageTransaction| row.id);
    Ok(Page { items: items.into_iter().map(|row| row.shown).collect(), next_page_token })
}
