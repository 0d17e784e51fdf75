use api_types::{
    page::Page,
    sim::{CreateSnapshot, Rehearsal, Snapshot, Vm},
};
use chrono::TimeDelta;
use domain::ids::CiId;
use service_kit::{
    ApiError, ApiResult, Caller, IdempotencyKey, audit,
    idempotency::{self, Begun},
    page::{PageRequest, page},
    problem_types,
};
use uuid::Uuid;

use super::{Complaints, is_name, is_text, lock_settled, save};
use crate::{service::SimState, store};

/// Snapshots one machine may have.
const MOST_SNAPSHOTS: i64 = 32;
const LONGEST_KEPT: TimeDelta = TimeDelta::days(366);

/// A snapshot, and whether this request took it.
pub type Taken = (Snapshot, bool);

pub async fn create_snapshot(
    state: &SimState,
    caller: &Caller,
    key: &IdempotencyKey,
    id: &CiId,
    request: &CreateSnapshot,
) -> ApiResult<Taken> {
    let now = state.clock.now();
    let mut complaints = Complaints::default();
    complaints.check(is_name(&request.owner, 200), "/owner", "must be 1 to 200 characters without spaces");
    complaints.check(is_text(&request.purpose, 200), "/purpose", "must be at most 200 characters");
    let is_in_range = request.expires_at > now && request.expires_at <= now + LONGEST_KEPT;
    complaints.check(is_in_range, "/expires_at", "must lie in the future, by a year at most");
    complaints.settle()?;
    let mut transaction = state.pool.begin().await?;
    let begun = idempotency::begin(&mut transaction, caller, "create_snapshot", key, &(id, request)).await?;
    let ticket = match begun {
        Begun::New(ticket) => ticket,
        Begun::Replay(taken) => return Ok(taken),
    };
    let machine = lock_settled(&mut transaction, id, now).await?;
    if let Some(existing) = store::snapshots::find_snapshot(&mut transaction, id, request, now).await? {
        let taken = (existing, false);
        ticket.finish(&mut transaction, &taken).await?;
        transaction.commit().await?;
        return Ok(taken);
    }
    if store::snapshots::count_snapshots(&mut transaction, id).await? >= MOST_SNAPSHOTS {
        return Err(ApiError::new(
            problem_types::TOO_MANY_SNAPSHOTS,
            format!("VM `{id}` has {MOST_SNAPSHOTS} snapshots, the most it may have; delete one first"),
        ));
    }
    let image = state.drivers.of(&machine)?.take_snapshot(&machine).await?;
    let snapshot = Snapshot {
        id: Uuid::now_v7(),
        vm_id: id.clone(),
        owner: request.owner.clone(),
        purpose: request.purpose.clone(),
        created_at: now,
        expires_at: request.expires_at,
        size_bytes: image.size_bytes,
    };
    store::snapshots::insert_snapshot(&mut transaction, &snapshot, &image).await?;
    let record = audit::Record::new("create_snapshot", object(id, snapshot.id)).after(&snapshot);
    audit::record(&mut transaction, caller, record).await?;
    let taken = (snapshot, true);
    ticket.finish(&mut transaction, &taken).await?;
    transaction.commit().await?;
    Ok(taken)
}

pub async fn list_snapshots(state: &SimState, id: &CiId, request: &PageRequest) -> ApiResult<Page<Snapshot>> {
    let (limit, after) = (request.limit()?, request.after::<Uuid>()?);
    let mut transaction = store::begin_reading(&state.pool).await?;
    store::machines::get_machine(&mut transaction, id).await?;
    let now = state.clock.now();
    let snapshots = store::snapshots::list_snapshots(&mut transaction, id, now, after, limit + 1).await?;
    Ok(page(snapshots, limit, |snapshot: &Snapshot| snapshot.id))
}

pub async fn delete_snapshot(state: &SimState, caller: &Caller, id: &CiId, snapshot: Uuid) -> ApiResult<()> {
    let now = state.clock.now();
    let mut transaction = state.pool.begin().await?;
    let machine = store::machines::lock_machine(&mut transaction, id).await?;
    let image = store::snapshots::get_snapshot_image(&mut transaction, id, snapshot, now).await?;
    state.drivers.of(&machine)?.delete_snapshot(image).await?;
    store::snapshots::delete_snapshot(&mut transaction, snapshot).await?;
    let record = audit::Record::new("delete_snapshot", object(id, snapshot));
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    Ok(())
}

pub async fn revert_snapshot(
    state: &SimState,
    caller: &Caller,
    key: &IdempotencyKey,
    id: &CiId,
    snapshot: Uuid,
) -> ApiResult<Vm> {
    let now = state.clock.now();
    let mut transaction = state.pool.begin().await?;
    let begun = idempotency::begin(&mut transaction, caller, "revert_snapshot", key, &(id, snapshot)).await?;
    let ticket = match begun {
        Begun::New(ticket) => ticket,
        Begun::Replay(vm) => return Ok(vm),
    };
    let mut machine = lock_settled(&mut transaction, id, now).await?;
    let image = store::snapshots::get_snapshot_image(&mut transaction, id, snapshot, now).await?;
    let before = machine.to_vm();
    state.drivers.of(&machine)?.revert_snapshot(&mut machine, image, now).await?;
    machine.updated_at = now;
    let vm = machine.to_vm();
    let record = audit::Record::new("revert_snapshot", object(id, snapshot)).before(&before).after(&vm);
    audit::record(&mut transaction, caller, record).await?;
    ticket.finish(&mut transaction, &vm).await?;
    save(&mut transaction, &mut machine, now).await?;
    transaction.commit().await?;
    Ok(vm)
}

/// Tries the way back on a clone; the machine itself is not touched, and nothing is left behind.
pub async fn rehearse_revert(
    state: &SimState,
    caller: &Caller,
    id: &CiId,
    snapshot: Uuid,
) -> ApiResult<Rehearsal> {
    let now = state.clock.now();
    let mut transaction = state.pool.begin().await?;
    let machine = store::machines::lock_machine(&mut transaction, id).await?;
    let image = store::snapshots::get_snapshot_image(&mut transaction, id, snapshot, now).await?;
    let rehearsal = match state.drivers.of(&machine)?.rehearse_revert(&machine, image, now) {
        Some(revert) => Rehearsal { cloned: true, seconds: Some(revert.await?) },
        None => Rehearsal { cloned: false, seconds: None },
    };
    let record = audit::Record::new("rehearse_revert", object(id, snapshot)).after(&rehearsal);
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    Ok(rehearsal)
}

fn object(id: &CiId, snapshot: Uuid) -> String {
    format!("vm/{id}/snapshot/{snapshot}")
}
