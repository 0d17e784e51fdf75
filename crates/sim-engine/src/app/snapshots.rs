use api_types::{
    page::Page,
    sim::{CreateSnapshot, Rehearsal, Snapshot, Vm},
};
use chrono::TimeDelta;
use domain::ids::CiId;
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors, IdempotencyKey, Lifetime, audit,
    idempotency::{self, Begun},
    page::{PageRequest, page},
    problem_types,
};
use uuid::Uuid;

use super::{
    checks::{check_name, is_text},
    locked_machine::LockedMachine,
};
use crate::{state::App, store};

/// Per machine.
const MAX_SNAPSHOTS: i64 = 32;
const MAX_RETENTION: TimeDelta = TimeDelta::days(366);

/// Returns the snapshot, and whether this request took it.
pub async fn create_snapshot(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    id: &CiId,
    request: &CreateSnapshot,
) -> ApiResult<(Snapshot, bool)> {
    let now = app.clock.now();
    let mut errors = FieldErrors::default();
    check_name(&mut errors, &request.owner, 200, "/owner");
    errors.require(is_text(&request.purpose, 200), "/purpose", "must be at most 200 characters");
    let lifetime = Lifetime { duration_seconds: request.duration_seconds, expires_at: request.expires_at };
    let expires_at = lifetime.end(now, MAX_RETENTION, &mut errors);
    errors.finish()?;
    let mut tx = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut tx, caller, "create_snapshot", key, &(id, request)).await? {
        Begun::New(ticket) => ticket,
        Begun::Replay(answer) => return Ok(answer),
    };
    let LockedMachine { mut tx, machine, .. } = LockedMachine::lock_in(tx, id, now).await?;
    let answer = match store::snapshots::find_snapshot(&mut tx, id, request, now).await? {
        Some(existing) => (existing, false),
        None if store::snapshots::count_snapshots(&mut tx, id).await? >= MAX_SNAPSHOTS => {
            return Err(ApiError::new(
                problem_types::TOO_MANY_SNAPSHOTS,
                format!("VM `{id}` has {MAX_SNAPSHOTS} snapshots, which is the maximum; delete one first"),
            ));
        }
        None => {
            let image = app.drivers.of(&machine)?.take_snapshot(&machine).await?;
            let snapshot = Snapshot {
                id: Uuid::now_v7(),
                vm_id: id.clone(),
                owner: request.owner.clone(),
                purpose: request.purpose.clone(),
                created_at: now,
                expires_at,
                size_bytes: image.size_bytes,
            };
            store::snapshots::insert_snapshot(&mut tx, &snapshot, &image).await?;
            let record = audit::Record::new("create_snapshot", object(id, snapshot.id)).after(&snapshot);
            audit::record(&mut tx, caller, record).await?;
            (snapshot, true)
        }
    };
    ticket.finish(&mut tx, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}

pub async fn list_snapshots(app: &App, id: &CiId, request: &PageRequest) -> ApiResult<Page<Snapshot>> {
    let (limit, after) = (request.limit()?, request.after::<Uuid>()?);
    let mut tx = store::begin_reading(&app.pool).await?;
    store::machines::get_machine(&mut tx, id).await?;
    let snapshots = store::snapshots::list_snapshots(&mut tx, id, app.clock.now(), after, limit + 1).await?;
    Ok(page(snapshots, limit, |snapshot: &Snapshot| snapshot.id))
}

pub async fn delete_snapshot(app: &App, caller: &Caller, id: &CiId, snapshot: Uuid) -> ApiResult<()> {
    let mut tx = app.pool.begin().await?;
    let machine = store::machines::lock_machine(&mut tx, id).await?;
    let image = store::snapshots::get_snapshot_image(&mut tx, id, snapshot, app.clock.now()).await?;
    app.drivers.of(&machine)?.delete_snapshot(image).await?;
    store::snapshots::delete_snapshot(&mut tx, snapshot).await?;
    audit::record(&mut tx, caller, audit::Record::new("delete_snapshot", object(id, snapshot))).await?;
    tx.commit().await?;
    Ok(())
}

pub async fn revert_snapshot(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    id: &CiId,
    snapshot: Uuid,
) -> ApiResult<Vm> {
    let mut tx = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut tx, caller, "revert_snapshot", key, &(id, snapshot)).await? {
        Begun::New(ticket) => ticket,
        Begun::Replay(vm) => return Ok(vm),
    };
    let mut locked = LockedMachine::lock_in(tx, id, app.clock.now()).await?;
    let image = store::snapshots::get_snapshot_image(&mut locked.tx, id, snapshot, locked.now).await?;
    let before = locked.machine.to_vm();
    let driver = app.drivers.of(&locked.machine)?;
    driver.revert_snapshot(&mut locked.machine, image, locked.now).await?;
    let record = audit::Record::new("revert_snapshot", object(id, snapshot)).before(&before);
    locked.finish(caller, record, ticket).await
}

/// Rehearses a revert on a clone. The machine does not change, and the clone is deleted.
pub async fn rehearse_revert(app: &App, caller: &Caller, id: &CiId, snapshot: Uuid) -> ApiResult<Rehearsal> {
    let now = app.clock.now();
    let mut tx = app.pool.begin().await?;
    let machine = store::machines::lock_machine(&mut tx, id).await?;
    let image = store::snapshots::get_snapshot_image(&mut tx, id, snapshot, now).await?;
    let seconds = app.drivers.of(&machine)?.rehearse_revert(&machine, image, now).await?;
    let rehearsal = Rehearsal { cloned: seconds.is_some(), seconds };
    let record = audit::Record::new("rehearse_revert", object(id, snapshot)).after(&rehearsal);
    audit::record(&mut tx, caller, record).await?;
    tx.commit().await?;
    Ok(rehearsal)
}

fn object(id: &CiId, snapshot: Uuid) -> String {
    format!("vm/{id}/snapshot/{snapshot}")
}
