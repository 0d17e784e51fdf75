//! Complete machines, for operations.

use std::collections::BTreeMap;

use api_types::sim::{SshAccess, TransactionState};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use serde_json::json;
use service_kit::{
    ApiError, ApiResult,
    text_enum::{from_text, to_text},
};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{faults, parse_ids, transactions};
use crate::machine::{Condition, GuestState, Machine};

struct MachineRow {
    id: String,
    driver: String,
    os: String,
    cluster: Option<String>,
    hypervisor: Option<String>,
    tags: Json<BTreeMap<String, String>>,
    condition: String,
    boot_id: Uuid,
    booted_at: DateTime<Utc>,
    ssh: Option<Json<SshAccess>>,
    boot_due_at: Option<DateTime<Utc>>,
    guest: Json<GuestState>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

macro_rules! machine_query {
    ($locking:tt, $id:expr) => {
        sqlx::query_as!(
            MachineRow,
            r#"SELECT id, driver, os, cluster, hypervisor, tags AS "tags: Json<BTreeMap<String, String>>",
                      condition, boot_id, booted_at, ssh AS "ssh: Json<SshAccess>", boot_due_at, guest AS "guest: Json<GuestState>",
                      created_at, updated_at
               FROM sim.vms WHERE id = $1 "#
                + $locking,
            $id
        )
    };
}

/// The machine, locked until the caller's transaction ends.
pub async fn lock_machine(conn: &mut PgConnection, id: &CiId) -> ApiResult<Machine> {
    let row = machine_query!("FOR UPDATE", id.as_str()).fetch_optional(&mut *conn).await?;
    complete(conn, row.ok_or_else(|| no_vm(id))?).await
}

/// The machine, locked. `None` if it does not exist or is locked already.
pub async fn lock_free_machine(conn: &mut PgConnection, id: &CiId) -> ApiResult<Option<Machine>> {
    match machine_query!("FOR UPDATE SKIP LOCKED", id.as_str()).fetch_optional(&mut *conn).await? {
        Some(row) => complete(conn, row).await.map(Some),
        None => Ok(None),
    }
}

/// The machine without a lock. Read it in a transaction of [`super::begin_reading`], so that its parts are consistent.
pub async fn get_machine(conn: &mut PgConnection, id: &CiId) -> ApiResult<Machine> {
    let row = machine_query!("", id.as_str()).fetch_optional(&mut *conn).await?;
    complete(conn, row.ok_or_else(|| no_vm(id))?).await
}

/// Reads the other rows after the lock of the machine: they change only under this lock.
async fn complete(conn: &mut PgConnection, row: MachineRow) -> ApiResult<Machine> {
    let faults = faults::list_live_faults(conn, &row.id).await?;
    let running = transactions::find_running_transaction(conn, &row.id).await?;
    let condition = match (row.condition.as_str(), row.boot_due_at) {
        ("up", None) => Condition::Up,
        ("booting", Some(until)) => Condition::Booting { until },
        ("failed", None) => Condition::Failed,
        ("off", None) => Condition::Off,
        unknown => return Err(ApiError::internal(format!("VM `{}` has the condition {unknown:?}", row.id))),
    };
    Ok(Machine {
        id: CiId::new(&row.id).map_err(ApiError::internal)?,
        driver: from_text(row.driver)?,
        os: row.os,
        cluster: row.cluster,
        hypervisor: row.hypervisor,
        tags: row.tags.0,
        condition,
        boot_id: row.boot_id,
        booted_at: row.booted_at,
        ssh: row.ssh.map(|ssh| ssh.0),
        guest: row.guest.0,
        created_at: row.created_at,
        updated_at: row.updated_at,
        faults,
        running,
        struck: Vec::new(),
        ended: Vec::new(),
    })
}

/// Stores a locked machine and raises the version of the state, which other writers wait for: the last statement of its
/// transaction.
pub async fn update_machine(conn: &mut PgConnection, machine: &Machine, now: DateTime<Utc>) -> ApiResult<()> {
    for fault in &machine.faults {
        faults::update_fault(conn, fault).await?;
    }
    let (condition, boot_due_at) = columns_of(machine.condition);
    sqlx::query!(
        "WITH raised AS (UPDATE sim.state_version SET version = version + 1 RETURNING version)
         UPDATE sim.vms SET condition = $2, boot_id = $3, booted_at = $4, boot_due_at = $5, guest = $6,
                            updated_at = $7, version = raised.version
         FROM raised WHERE id = $1",
        machine.id.as_str(),
        condition,
        machine.boot_id,
        machine.booted_at,
        boot_due_at,
        serde_json::to_value(&machine.guest)?,
        now,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Inserts machines under a new version of the state, except those whose id exists. Returns the inserted ids.
pub async fn insert_machines(conn: &mut PgConnection, machines: &[Machine]) -> ApiResult<Vec<String>> {
    let rows = machines.iter().map(|machine| {
        let (condition, boot_due_at) = columns_of(machine.condition);
        Ok(json!({
            "id": machine.id, "driver": to_text(&machine.driver)?, "os": machine.os, "cluster": machine.cluster,
            "hypervisor": machine.hypervisor, "tags": machine.tags, "condition": condition,
            "boot_id": machine.boot_id, "booted_at": machine.booted_at, "boot_due_at": boot_due_at,
            "ssh": machine.ssh, "guest": machine.guest, "created_at": machine.created_at, "updated_at": machine.updated_at,
            "version": 0,
        }))
    });
    let rows = rows.collect::<ApiResult<Vec<_>>>()?;
    let inserted = sqlx::query_scalar!(
        "INSERT INTO sim.vms SELECT * FROM jsonb_populate_recordset(NULL::sim.vms, $1)
         ON CONFLICT (id) DO NOTHING RETURNING id",
        serde_json::Value::Array(rows),
    )
    .fetch_all(&mut *conn)
    .await?;
    sqlx::query!("DELETE FROM sim.deleted_vms WHERE id = ANY($1)", &inserted).execute(&mut *conn).await?;
    sqlx::query!(
        "WITH raised AS (UPDATE sim.state_version SET version = version + 1 RETURNING version)
         UPDATE sim.vms SET version = raised.version FROM raised WHERE id = ANY($1)",
        &inserted,
    )
    .execute(conn)
    .await?;
    Ok(inserted)
}

/// Deletes a locked machine with its dependent rows, and stores the version of the deletion.
pub async fn delete_machine(conn: &mut PgConnection, id: &CiId) -> ApiResult<()> {
    sqlx::query!("DELETE FROM sim.vms WHERE id = $1", id.as_str()).execute(&mut *conn).await?;
    sqlx::query!(
        "WITH raised AS (UPDATE sim.state_version SET version = version + 1 RETURNING version)
         INSERT INTO sim.deleted_vms (id, version) SELECT $1, version FROM raised",
        id.as_str(),
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// At most `limit` machines whose boot or package transaction ends by `now`.
pub async fn list_due_machines(
    conn: &mut PgConnection,
    now: DateTime<Utc>,
    limit: i64,
) -> ApiResult<Vec<CiId>> {
    let ids = sqlx::query_scalar!(
        r#"SELECT id AS "id!" FROM sim.vms WHERE boot_due_at <= $1
           UNION SELECT vm_id FROM sim.transactions WHERE state = $3 AND due_at <= $1
           LIMIT $2"#,
        now,
        limit,
        to_text(&TransactionState::Running)?,
    )
    .fetch_all(conn)
    .await?;
    parse_ids(ids)
}

/// Machines of a driver.
pub async fn list_machines_of(
    conn: &mut PgConnection,
    driver: api_types::sim::Driver,
) -> ApiResult<Vec<CiId>> {
    let ids = sqlx::query_scalar!("SELECT id FROM sim.vms WHERE driver = $1 ORDER BY id", to_text(&driver)?)
        .fetch_all(conn)
        .await?;
    parse_ids(ids)
}

fn columns_of(condition: Condition) -> (&'static str, Option<DateTime<Utc>>) {
    match condition {
        Condition::Up => ("up", None),
        Condition::Booting { until } => ("booting", Some(until)),
        Condition::Failed => ("failed", None),
        Condition::Off => ("off", None),
    }
}

fn no_vm(id: &CiId) -> ApiError {
    ApiError::not_found(format!("VM `{id}`"))
}
