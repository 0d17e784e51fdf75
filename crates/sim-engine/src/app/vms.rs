use std::{collections::BTreeSet, slice};

use api_types::{
    page::Page,
    sim::{CreateVm, CreateVms, CreatedVms, PowerAction, SetPower, Vm},
};
use chrono::{DateTime, Utc};
use domain::ids::CiId;
use futures::{StreamExt, stream};
use serde::{Serialize, de::DeserializeOwned};
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors, IdempotencyKey, audit,
    idempotency::{self, Begun},
    page::{PageRequest, page},
    problem_types,
};

use super::{
    checks::{check_count, check_vm},
    locked_machine::{LockedMachine, read_machine},
};
use crate::{
    machine::Machine,
    state::App,
    store::{self, vms::VmFilter},
};

/// Real hosts boot faster in parallel, up to what a small machine can handle.
const MAX_PARALLEL: usize = 8;

pub async fn create_vm(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    request: &CreateVm,
) -> ApiResult<Vm> {
    let mut errors = FieldErrors::default();
    check_vm(&mut errors, request, "");
    errors.finish()?;
    let creation =
        Creation { operation: "create_vm", request, vms: slice::from_ref(request), at: |_| String::new() };
    let answer = |machines: &[Machine]| {
        let vm = machines[0].to_vm();
        (audit::Record::new("create_vm", format!("vm/{}", vm.id)).after(&vm), vm)
    };
    create_machines(app, caller, key, creation, answer).await
}

pub async fn create_vms(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    request: &CreateVms,
) -> ApiResult<CreatedVms> {
    let at = |index| format!("/vms/{index}");
    let mut errors = FieldErrors::default();
    check_count(&mut errors, request.vms.len(), 1, CreateVms::MAX, "/vms");
    for (index, vm) in request.vms.iter().enumerate().take(CreateVms::MAX) {
        check_vm(&mut errors, vm, &at(index));
    }
    errors.finish()?;
    let answer = |machines: &[Machine]| {
        let ids: Vec<&CiId> = machines.iter().map(|machine| &machine.id).collect();
        (audit::Record::new("create_vms", "vms").after(&ids), CreatedVms { created: ids.len() })
    };
    let creation = Creation { operation: "create_vms", request, vms: &request.vms, at };
    create_machines(app, caller, key, creation, answer).await
}

/// A request to create machines. `at` is the JSON pointer of each of them.
struct Creation<'a, R> {
    operation: &'static str,
    request: &'a R,
    vms: &'a [CreateVm],
    at: fn(usize) -> String,
}

/// Creates and stores machines: all of them or none. `answer` returns the audit record and the answer.
async fn create_machines<R: Serialize, T: Serialize + DeserializeOwned>(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    Creation { operation, request, vms, at }: Creation<'_, R>,
    answer: impl FnOnce(&[Machine]) -> (audit::Record<'static>, T),
) -> ApiResult<T> {
    let mut tx = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut tx, caller, operation, key, request).await? {
        Begun::New(ticket) => ticket,
        Begun::Replay(answer) => return Ok(answer),
    };
    let machines = make_machines(app, vms, at).await?;
    let stored = async {
        let inserted = store::machines::insert_machines(&mut tx, &machines).await?;
        refuse_existing(vms, &inserted)?;
        let (record, answer) = answer(&machines);
        audit::record(&mut tx, caller, record).await?;
        ticket.finish(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    };
    match stored.await {
        Err(error) => Err(unmake_machines(app, &machines, error).await),
        stored => stored,
    }
}

/// Makes machines in parallel: all of them or none.
async fn make_machines(app: &App, vms: &[CreateVm], at: fn(usize) -> String) -> ApiResult<Vec<Machine>> {
    let now = app.clock.now();
    let mut creations = Vec::with_capacity(vms.len());
    for (index, vm) in vms.iter().enumerate() {
        creations.push(app.drivers.choose(vm.driver, &format!("{}/driver", at(index)))?.create(vm, now));
    }
    let results: Vec<_> = stream::iter(creations).buffered(MAX_PARALLEL).collect().await;
    let (made, failed): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    let made: Vec<Machine> = made.into_iter().flatten().collect();
    match failed.into_iter().find_map(Result::err) {
        Some(error) => Err(unmake_machines(app, &made, error).await),
        None => Ok(made),
    }
}

/// Removes machines that cannot be stored because of `error`, which it returns.
async fn unmake_machines(app: &App, machines: &[Machine], error: ApiError) -> ApiError {
    for machine in machines {
        let deleted = match app.drivers.of(machine) {
            Ok(driver) => driver.delete(machine).await,
            Err(error) => Err(error),
        };
        if let Err(error) = deleted {
            tracing::warn!(
                "`{}` was not stored; removing it failed and will be retried: {error}",
                machine.id
            );
        }
    }
    error
}

/// Refuses a creation if some of its ids exist already, in the database or twice in the request.
fn refuse_existing(vms: &[CreateVm], inserted: &[String]) -> ApiResult<()> {
    if vms.len() == inserted.len() {
        return Ok(());
    }
    let mut free: BTreeSet<&str> = inserted.iter().map(String::as_str).collect();
    let taken: Vec<&str> = vms.iter().map(|vm| vm.id.as_str()).filter(|id| !free.remove(id)).collect();
    let shown = taken.iter().take(5).map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
    let more = if taken.len() > 5 { format!(" and {} more", taken.len() - 5) } else { String::new() };
    Err(ApiError::new(
        problem_types::VM_EXISTS,
        format!("VMs with these ids exist already: {shown}{more}; delete them first or choose other ids"),
    ))
}

pub async fn list_vms(app: &App, filter: &VmFilter, request: &PageRequest) -> ApiResult<Page<Vm>> {
    let (limit, after) = (request.limit()?, request.after::<CiId>()?);
    let mut conn = app.pool.acquire().await?;
    let vms =
        store::vms::list_vms(&mut conn, filter, after.as_ref().map(CiId::as_str), Some(limit + 1)).await?;
    Ok(page(vms, limit, |vm: &Vm| vm.id.clone()))
}

pub async fn get_vm(app: &App, id: &CiId) -> ApiResult<Vm> {
    let now = app.clock.now();
    let mut machine = read_machine(app, id).await?;
    if !observe(app, &mut machine, now).await? && machine.is_up_to_date(now) {
        return Ok(machine.to_vm());
    }
    let mut locked = LockedMachine::lock(app, id).await?;
    observe(app, &mut locked.machine, now).await?;
    Ok(locked.commit().await?.to_vm())
}

/// Takes over the actual state of the machine. True if it differs.
async fn observe(app: &App, machine: &mut Machine, now: DateTime<Utc>) -> ApiResult<bool> {
    match app.drivers.find(machine.driver) {
        Some(driver) => driver.observe(machine, now).await,
        None => Ok(false),
    }
}

pub async fn delete_vm(app: &App, caller: &Caller, id: &CiId) -> ApiResult<()> {
    let mut tx = app.pool.begin().await?;
    let machine = store::machines::lock_machine(&mut tx, id).await?;
    app.drivers.of(&machine)?.delete(&machine).await?;
    let record = audit::Record::new("delete_vm", format!("vm/{id}")).before(&machine.to_vm());
    audit::record(&mut tx, caller, record).await?;
    store::machines::delete_machine(&mut tx, id).await?;
    tx.commit().await?;
    Ok(())
}

pub async fn set_power(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    id: &CiId,
    action: PowerAction,
) -> ApiResult<Vm> {
    let mut tx = app.pool.begin().await?;
    let request = (id, SetPower { action });
    let ticket = match idempotency::begin(&mut tx, caller, "set_power", key, &request).await? {
        Begun::New(ticket) => ticket,
        Begun::Replay(vm) => return Ok(vm),
    };
    let mut locked = LockedMachine::lock_in(tx, id, app.clock.now()).await?;
    let record = audit::Record::new("set_power", format!("vm/{id}")).before(&locked.machine.to_vm());
    let driver = app.drivers.of(&locked.machine)?;
    driver.set_power(&mut locked.machine, action, locked.now).await?;
    locked.finish(caller, record, ticket).await
}
