use api_types::sim::{PackageChange, Transaction, TransactionState};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use service_kit::{
    ApiResult,
    text_enum::{from_text, to_text},
};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

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
        let shown = Transaction {
            transaction_id: row.transaction_id,
            state: from_text(row.state)?,
            changed: row.changed.0,
            failure: row.failure,
            reboot_pending: row.reboot_pending,
            started_at: row.started_at,
            finished_at: row.finished_at,
        };
        Ok(Self { id: row.id, shown, planned: row.planned.0, due_at: row.due_at })
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
    conn: &mut PgConnection,
    vm_id: &str,
) -> ApiResult<Option<PackageTransaction>> {
    let row = transaction_query!("AND state = 'running'", vm_id).fetch_optional(conn).await?;
    row.map(PackageTransaction::try_from).transpose()
}

pub async fn find_transaction(
    conn: &mut PgConnection,
    vm_id: &CiId,
    transaction_id: &str,
) -> ApiResult<Option<PackageTransaction>> {
    let row = transaction_query!("AND transaction_id = $2", vm_id.as_str(), transaction_id)
        .fetch_optional(conn)
        .await?;
    row.map(PackageTransaction::try_from).transpose()
}

/// Transactions of a guest before `before`, newest first.
pub async fn list_transactions(
    conn: &mut PgConnection,
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
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(PackageTransaction::try_from).collect()
}

pub async fn insert_transaction(
    conn: &mut PgConnection,
    vm_id: &CiId,
    transaction: &PackageTransaction,
) -> ApiResult<()> {
    sqlx::query!(
        "INSERT INTO sim.transactions (id, vm_id, transaction_id, state, planned, changed, failure, reboot_pending,
                                       started_at, due_at, finished_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        transaction.id,
        vm_id.as_str(),
        transaction.shown.transaction_id,
        to_text(&transaction.shown.state)?,
        serde_json::to_value(&transaction.planned)?,
        serde_json::to_value(&transaction.shown.changed)?,
        transaction.shown.failure,
        transaction.shown.reboot_pending,
        transaction.shown.started_at,
        transaction.due_at,
        transaction.shown.finished_at,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Stores the end of a transaction. One that has ended never changes again.
pub async fn update_transaction(conn: &mut PgConnection, transaction: &PackageTransaction) -> ApiResult<()> {
    sqlx::query!(
        "UPDATE sim.transactions SET state = $2, changed = $3, failure = $4, reboot_pending = $5, finished_at = $6
         WHERE id = $1 AND state = $7",
        transaction.id,
        to_text(&transaction.shown.state)?,
        serde_json::to_value(&transaction.shown.changed)?,
        transaction.shown.failure,
        transaction.shown.reboot_pending,
        transaction.shown.finished_at,
        to_text(&TransactionState::Running)?,
    )
    .execute(conn)
    .await?;
    Ok(())
}
