use api_types::sim::{PackageChange, TransactionState};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use service_kit::ApiResult;
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{name_of, of_name};
use crate::machine::PackageTransaction;

struct TransactionRow {
    id: Uuid,
    transaction_id: String,
    state: String,
    planned: Json<Vec<PackageChange>>,
    changed: Json<Vec<PackageChange>>,
    failure: Option<String>,
    reboot_pending: bool,
    started_at: DateTime<Utc>,
    due_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl TryFrom<TransactionRow> for PackageTransaction {
    type Error = service_kit::ApiError;

    fn try_from(row: TransactionRow) -> ApiResult<Self> {
        Ok(Self {
            id: row.id,
            transaction_id: row.transaction_id,
            state: of_name(row.state)?,
            planned: row.planned.0,
            changed: row.changed.0,
            failure: row.failure,
            reboot_pending: row.reboot_pending,
            started_at: row.started_at,
            due_at: row.due_at,
            finished_at: row.finished_at,
        })
    }
}

macro_rules! transaction_query {
    ($tail:tt, $($argument:expr),*) => {
        sqlx::query_as!(
            TransactionRow,
            r#"SELECT id, transaction_id, state, planned AS "planned: Json<Vec<PackageChange>>",
                      changed AS "changed: Json<Vec<PackageChange>>", failure, reboot_pending,
                      started_at, due_at, finished_at
               FROM sim.transactions WHERE vm_id = $1 "#
                + $tail,
            $($argument),*
        )
    };
}

pub async fn find_running_transaction(
    connection: &mut PgConnection,
    vm_id: &str,
) -> ApiResult<Option<PackageTransaction>> {
    let row = transaction_query!("AND state = 'running'", vm_id).fetch_optional(connection).await?;
    row.map(PackageTransaction::try_from).transpose()
}

pub async fn find_transaction(
    connection: &mut PgConnection,
    vm_id: &CiId,
    transaction_id: &str,
) -> ApiResult<Option<PackageTransaction>> {
    let row = transaction_query!("AND transaction_id = $2", vm_id.as_str(), transaction_id)
        .fetch_optional(connection)
        .await?;
    row.map(PackageTransaction::try_from).transpose()
}

/// The history of a guest, newest first, older than `before`.
pub async fn list_transactions(
    connection: &mut PgConnection,
    vm_id: &CiId,
    before: Option<Uuid>,
    limit: i64,
) -> ApiResult<Vec<PackageTransaction>> {
    let rows = transaction_query!(
        "AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
        vm_id.as_str(),
        before,
        limit
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(PackageTransaction::try_from).collect()
}

pub async fn insert_transaction(
    connection: &mut PgConnection,
    vm_id: &CiId,
    transaction: &PackageTransaction,
) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO sim.transactions (id, vm_id, transaction_id, state, planned, changed, failure, reboot_pending,
                                       started_at, due_at, finished_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        transaction.id,
        vm_id.as_str(),
        transaction.transaction_id,
        name_of(transaction.state)?,
        serde_json::to_value(&transaction.planned)?,
        serde_json::to_value(&transaction.changed)?,
        transaction.failure,
        transaction.reboot_pending,
        transaction.started_at,
        transaction.due_at,
        transaction.finished_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores the end of a transaction; one that has ended is never changed again.
pub async fn update_transaction(
    connection: &mut PgConnection,
    transaction: &PackageTransaction,
) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE sim.transactions SET state = $2, changed = $3, failure = $4, reboot_pending = $5, finished_at = $6
         WHERE id = $1 AND state = $7",
        transaction.id,
        name_of(transaction.state)?,
        serde_json::to_value(&transaction.changed)?,
        transaction.failure,
        transaction.reboot_pending,
        transaction.finished_at,
        name_of(TransactionState::Running)?,
    )
    .execute(connection)
    .await?;
    Ok(())
}
