use api_types::{
    page::Page,
    sim::{CreateVm, CreateVms, CreatedVms, PowerAction, SetPower, Vm},
};
use domain::ids::CiId;
use futures::{StreamExt, stream};
use service_kit::{
    ApiError, ApiResult, Caller, IdempotencyKey, audit,
    idempotency::{self, Begun},
    page::{PageRequest, page},
    problem_types,
};

use super::{Complaints, lock_settled, save, spec};
use crate::{
    machine::Machine,
    service::SimState,
    store::{self, vms::VmFilter},
};

/// Real hosts boot faster side by side, up to what a small machine carries.
const MADE_AT_ONCE: usize = 8;

pub async fn create_vm(
    state: &SimState,
    caller: &Caller,
    key: &IdempotencyKey,
    request: &CreateVm,
) -> ApiResult<Vm> {
    let mut complaints = Complaints::default();
    spec::check(&mut complaints, request, "");
    complaints.settle()?;
    let driver = state.drivers.choose(request.driver, "/driver")?;
    let mut transaction = state.pool.begin().await?;
    let ticket = match idempotency::begin(&mut transaction, caller, "create_vm", key, request).await? {
        Begun::New(ticket) => ticket,
        Begun::Replay(vm) => return Ok(vm),
    };
    let machine = driver.create(request, state.clock.now()).await?;
    let vm = machine.to_vm();
    let machines = [machine];
    let stored = async {
        let inserted = store::machines::insert_machines(&mut transaction, &machines).await?;
        refuse_taken(std::slice::from_ref(&request.id), &inserted)?;
        let record = audit::Record::new("create_vm", format!("vm/{}", vm.id)).after(&vm);
        audit::record(&mut transaction, caller, record).await?;
        ticket.finish(&mut transaction, &vm).await?;
        transaction.commit().await?;
        Ok(vm)
    };
    match stored.await {
        Err(error) => Err(unmake(state, &machines, error).await),
        stored => stored,
    }
}

/// Removes machines that were made and cannot be stored; gives back why they cannot.
async fn unmake(state: &SimState, machines: &[Machine], why: ApiError) -> ApiError {
    for machine in machines {
        let deleted = match state.drivers.of(machine) {
            Ok(driver) => driver.delete(machine).await,
            Err(error) => Err(error),
        };
        if let Err(error) = deleted {
            tracing::warn!(
                "what was made of `{}` is removed later, for now it cannot be: {error}",
                machine.id
            );
        }
    }
    why
}

pub async fn create_vms(
    state: &SimState,
    caller: &Caller,
    key: &IdempotencyKey,
    request: &CreateVms,
) -> ApiResult<CreatedVms> {
    let mut complaints = Complaints::default();
    complaints.check(
        (1..=CreateVms::MOST).contains(&request.vms.len()),
        "/vms",
        format!("must be 1 to {}; send more in several requests", CreateVms::MOST),
    );
    for (index, vm) in request.vms.iter().enumerate().take(CreateVms::MOST) {
        spec::check(&mut complaints, vm, &format!("/vms/{index}"));
    }
    complaints.settle()?;
    let mut transaction = state.pool.begin().await?;
    let ticket = match idempotency::begin(&mut transaction, caller, "create_vms", key, request).await? {
        Begun::New(ticket) => ticket,
        Begun::Replay(created) => return Ok(created),
    };
    let machines = make_all(state, &request.vms).await?;
    let stored = async {
        let inserted = store::machines::insert_machines(&mut transaction, &machines).await?;
        let ids: Vec<CiId> = request.vms.iter().map(|vm| vm.id.clone()).collect();
        refuse_taken(&ids, &inserted)?;
        let created = CreatedVms { created: inserted.len() };
        audit::record(&mut transaction, caller, audit::Record::new("create_vms", "vms").after(&ids)).await?;
        ticket.finish(&mut transaction, &created).await?;
        transaction.commit().await?;
        Ok(created)
    };
    match stored.await {
        Err(error) => Err(unmake(state, &machines, error).await),
        stored => stored,
    }
}

/// Makes machines side by side: all of them or none.
async fn make_all(state: &SimState, requests: &[CreateVm]) -> ApiResult<Vec<Machine>> {
    let now = state.clock.now();
    let mut creations = Vec::with_capacity(requests.len());
    for (index, vm) in requests.iter().enumerate() {
        creations.push(state.drivers.choose(vm.driver, &format!("/vms/{index}/driver"))?.create(vm, now));
    }
    let outcomes: Vec<_> = stream::iter(creations).buffered(MADE_AT_ONCE).collect().await;
    let mut made = Vec::with_capacity(outcomes.len());
    let mut failure = None;
    for outcome in outcomes {
        match outcome {
            Ok(machine) => made.push(machine),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    match failure {
        Some(error) => Err(unmake(state, &made, error).await),
        None => Ok(made),
    }
}

/// Refuses a creation some of whose ids were taken, by machines that exist or by others of the same request.
fn refuse_taken(wanted: &[CiId], inserted: &[String]) -> ApiResult<()> {
    if wanted.len() == inserted.len() {
        return Ok(());
    }
    let mut free: std::collections::BTreeSet<&str> = inserted.iter().map(String::as_str).collect();
    let taken: Vec<&str> = wanted.iter().map(CiId::as_str).filter(|id| !free.remove(id)).collect();
    let shown = taken.iter().take(5).map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
    let more = if taken.len() > 5 { format!(" and {} more", taken.len() - 5) } else { String::new() };
    Err(ApiError::new(
        problem_types::VM_EXISTS,
        format!("there are VMs of these ids already: {shown}{more}; delete them first or choose other ids"),
    ))
}

pub async fn list_vms(state: &SimState, filter: &VmFilter, request: &PageRequest) -> ApiResult<Page<Vm>> {
    let (limit, after) = (request.limit()?, request.after::<CiId>()?);
    let mut connection = state.pool.acquire().await?;
    let after = after.as_ref().map(CiId::as_str);
    let vms = store::vms::list_vms(&mut connection, filter, after, Some(limit + 1)).await?;
    Ok(page(vms, limit, |vm: &Vm| vm.id.clone()))
}

pub async fn get_vm(state: &SimState, id: &CiId) -> ApiResult<Vm> {
    let now = state.clock.now();
    let mut transaction = store::begin_reading(&state.pool).await?;
    let mut machine = store::machines::get_machine(&mut transaction, id).await?;
    transaction.commit().await?;
    let differs = match state.drivers.find(machine.driver) {
        Some(driver) => driver.observe(&mut machine, now).await?,
        None => false,
    };
    if differs || !machine.is_settled(now) {
        let mut transaction = state.pool.begin().await?;
        machine = lock_settled(&mut transaction, id, now).await?;
        if let Some(driver) = state.drivers.find(machine.driver) {
            driver.observe(&mut machine, now).await?;
        }
        save(&mut transaction, &mut machine, now).await?;
        transaction.commit().await?;
    }
    Ok(machine.to_vm())
}

pub async fn delete_vm(state: &SimState, caller: &Caller, id: &CiId) -> ApiResult<()> {
    let mut transaction = state.pool.begin().await?;
    let machine = store::machines::lock_machine(&mut transaction, id).await?;
    state.drivers.of(&machine)?.delete(&machine).await?;
    let record = audit::Record::new("delete_vm", format!("vm/{id}")).before(&machine.to_vm());
    audit::record(&mut transaction, caller, record).await?;
    store::machines::delete_machine(&mut transaction, id).await?;
    transaction.commit().await?;
    Ok(())
}

pub async fn set_power(
    state: &SimState,
    caller: &Caller,
    key: &IdempotencyKey,
    id: &CiId,
    action: PowerAction,
) -> ApiResult<Vm> {
    let now = state.clock.now();
    let mut transaction = state.pool.begin().await?;
    let request = (id, SetPower { action });
    let ticket = match idempotency::begin(&mut transaction, caller, "set_power", key, &request).await? {
        Begun::New(ticket) => ticket,
        Begun::Replay(vm) => return Ok(vm),
    };
    let mut machine = lock_settled(&mut transaction, id, now).await?;
    let before = machine.to_vm();
    state.drivers.of(&machine)?.set_power(&mut machine, action, now).await?;
    machine.updated_at = now;
    let vm = machine.to_vm();
    let record = audit::Record::new("set_power", format!("vm/{id}")).before(&before).after(&vm);
    audit::record(&mut transaction, caller, record).await?;
    ticket.finish(&mut transaction, &vm).await?;
    save(&mut transaction, &mut machine, now).await?;
    transaction.commit().await?;
    Ok(vm)
}
