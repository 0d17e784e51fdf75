//! Package transactions: each id runs once in a guest, whoever asks and however often.

use std::time::Duration;

use api_types::{
    page::Page,
    sim::{StartTransaction, Transaction, TransactionState},
};
use domain::ids::CiId;
use service_kit::{
    ApiError, ApiResult, Caller, audit,
    page::{PageRequest, page},
    problem_types,
};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Complaints, is_name, pointer, reach, read, save, withstand};
use crate::{machine::PackageTransaction, service::SimState, store};

const MOST_PACKAGES: usize = 5_000;
/// How often a waiting request looks whether the transaction has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub async fn start_transaction(
    state: &SimState,
    caller: &Caller,
    id: &CiId,
    request: &StartTransaction,
) -> ApiResult<Transaction> {
    check(request)?;
    let now = state.clock.now();
    let (mut transaction, mut machine) = reach(state, id, now).await?;
    let known = store::transactions::find_transaction(&mut transaction, id, &request.transaction_id).await?;
    if let Some(known) = known {
        // A known id gets its answer; that is no operation a fault could strike.
        save(&mut transaction, &mut machine, now).await?;
        transaction.commit().await?;
        return Ok(known.into());
    }
    let (mut transaction, mut machine) = withstand((transaction, machine), now).await?;
    let packages: Vec<String> = request.packages.keys().cloned().collect();
    let offers = store::repositories::list_offers(&mut transaction, &machine.os, &packages).await?;
    let started = machine
        .start_transaction(request, &offers, now)
        .map_err(|refused| ApiError::new(problem_types::TRANSACTION_IN_PROGRESS, refused.to_string()))?;
    store::transactions::insert_transaction(&mut transaction, id, &started).await?;
    let object = format!("vm/{id}/transaction/{}", request.transaction_id);
    let record = audit::Record::new("start_transaction", object).after(request);
    audit::record(&mut transaction, caller, record).await?;
    // One that takes no time has ended already.
    machine.settle(now);
    let ended = machine.ended.iter().find(|ended| ended.id == started.id).cloned();
    save(&mut transaction, &mut machine, now).await?;
    transaction.commit().await?;
    Ok(ended.unwrap_or(started).into())
}

fn check(request: &StartTransaction) -> ApiResult<()> {
    let mut complaints = Complaints::default();
    complaints.check(
        is_name(&request.transaction_id, 200),
        "/transaction_id",
        "must be 1 to 200 characters without spaces",
    );
    complaints.check(
        (1..=MOST_PACKAGES).contains(&request.packages.len()),
        "/packages",
        format!("must be 1 to {MOST_PACKAGES}"),
    );
    for (name, version) in &request.packages {
        complaints.check(
            is_name(name, 200) && is_name(version, 200),
            format!("/packages/{}", pointer(name)),
            "must be a name and a version of 1 to 200 characters without spaces",
        );
    }
    complaints.settle()
}

/// Waits up to `longest` for the end of a transaction, and gives it as it is then.
pub async fn await_transaction(
    state: &SimState,
    id: &CiId,
    mut transaction: Transaction,
    longest: Duration,
) -> ApiResult<Transaction> {
    let deadline = Instant::now() + longest;
    while transaction.state == TransactionState::Running && Instant::now() < deadline {
        tokio::time::sleep_until(deadline.min(Instant::now() + LOOK_EVERY)).await;
        transaction = get_transaction(state, id, &transaction.transaction_id).await?;
    }
    Ok(transaction)
}

pub async fn get_transaction(state: &SimState, id: &CiId, transaction_id: &str) -> ApiResult<Transaction> {
    read(state, id, state.clock.now()).await?;
    let shown: String = transaction_id.chars().take(200).collect();
    find(state, id, transaction_id).await?.map(Transaction::from).ok_or_else(|| {
        ApiError::not_found(format!("package transaction `{shown}` in the guest of VM `{id}`"))
    })
}

pub async fn list_transactions(
    state: &SimState,
    id: &CiId,
    request: &PageRequest,
) -> ApiResult<Page<Transaction>> {
    let (limit, before) = (request.limit()?, request.after::<Uuid>()?);
    read(state, id, state.clock.now()).await?;
    let mut connection = state.pool.acquire().await?;
    let rows = store::transactions::list_transactions(&mut connection, id, before, limit + 1).await?;
    let rows = page(rows, limit, |row: &PackageTransaction| row.id);
    Ok(Page {
        items: rows.items.into_iter().map(Transaction::from).collect(),
        next_page_token: rows.next_page_token,
    })
}

async fn find(state: &SimState, id: &CiId, transaction_id: &str) -> ApiResult<Option<PackageTransaction>> {
    let mut connection = state.pool.acquire().await?;
    store::transactions::find_transaction(&mut connection, id, transaction_id).await
}
