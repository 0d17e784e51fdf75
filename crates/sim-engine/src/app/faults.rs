use api_types::{
    page::Page,
    sim::{CreateFault, Fault, FaultKind},
};
use domain::ids::CiId;
use service_kit::{
    ApiError, ApiResult, Caller, IdempotencyKey, audit,
    idempotency::{self, Begun},
    page::{PageRequest, page},
    problem_types,
};
use uuid::Uuid;

use super::{Complaints, lock_settled, save};
use crate::{machine::FaultState, service::SimState, store};

/// Faults one machine may have that are not spent.
const MOST_FAULTS: usize = 100;
const MOST_TIMES: u32 = 1_000_000;
const MOST_DELAY_SECONDS: f64 = 86_400.0;

pub async fn inject_fault(
    state: &SimState,
    caller: &Caller,
    key: &IdempotencyKey,
    kind: FaultKind,
    request: &CreateFault,
) -> ApiResult<Fault> {
    check(kind, request)?;
    let now = state.clock.now();
    let mut transaction = state.pool.begin().await?;
    let begun = idempotency::begin(&mut transaction, caller, "inject_fault", key, &(kind, request)).await?;
    let ticket = match begun {
        Begun::New(ticket) => ticket,
        Begun::Replay(fault) => return Ok(fault),
    };
    let mut machine =
        lock_settled(&mut transaction, &request.vm_id, now).await.map_err(|error| {
            match error.status().as_u16() {
                404 => ApiError::invalid("/vm_id", format!("names no VM: there is no `{}`", request.vm_id)),
                _ => error,
            }
        })?;
    if let Some(service) = request.service.as_ref().filter(|name| !machine.guest.services.contains_key(*name))
    {
        let shown: String = service.chars().take(100).collect();
        return Err(ApiError::invalid("/service", format!("names no service of the VM: `{shown}`")));
    }
    if machine.faults.iter().filter(|fault| fault.is_live()).count() >= MOST_FAULTS {
        return Err(ApiError::new(
            problem_types::TOO_MANY_FAULTS,
            format!("VM `{}` has {MOST_FAULTS} live faults, the most it may have; delete some", machine.id),
        ));
    }
    let id = Uuid::now_v7();
    let fault = FaultState {
        id,
        kind,
        vm_id: machine.id.clone(),
        probability: request.probability,
        // A machine fails at one moment: without a number, once.
        times_left: request.times.or((kind == FaultKind::HostFailure).then_some(1)),
        service: request.service.clone(),
        delay_seconds: request.delay_seconds,
        seed: request.seed,
        draws: 0,
        strikes: 0,
        created_at: now,
    };
    store::faults::insert_fault(&mut transaction, &fault).await?;
    let driver = state.drivers.of(&machine)?;
    if driver.has_real_guests() && request.probability < 1.0 {
        return Err(ApiError::invalid(
            "/probability",
            "must be 1 for a real host: its faults strike or do not exist",
        ));
    }
    driver.arm(&machine, &fault).await?;
    machine.faults.push(fault.clone());
    if kind == FaultKind::HostFailure {
        machine.meet_host_failure(now);
    }
    let fault = machine.faults.iter().find(|known| known.id == id).cloned().unwrap_or(fault);
    let fault = Fault::from(fault);
    let record = audit::Record::new("inject_fault", format!("fault/{id}")).after(&fault);
    audit::record(&mut transaction, caller, record).await?;
    ticket.finish(&mut transaction, &fault).await?;
    save(&mut transaction, &mut machine, now).await?;
    transaction.commit().await?;
    Ok(fault)
}

fn check(kind: FaultKind, request: &CreateFault) -> ApiResult<()> {
    let mut complaints = Complaints::default();
    let is_chance = request.probability > 0.0 && request.probability <= 1.0;
    complaints.check(is_chance, "/probability", "must be above 0 and at most 1");
    let times_fit = request.times.is_none_or(|times| (1..=MOST_TIMES).contains(&times));
    complaints.check(times_fit, "/times", format!("must be 1 to {MOST_TIMES}"));
    match (kind, request.delay_seconds) {
        (FaultKind::Slow, delay) => complaints.check(
            delay.is_some_and(|delay| delay > 0.0 && delay <= MOST_DELAY_SECONDS),
            "/delay_seconds",
            format!("must be given for `slow`, above 0 and at most {MOST_DELAY_SECONDS}"),
        ),
        (_, delay) => complaints.check(delay.is_none(), "/delay_seconds", "belongs to `slow` alone"),
    }
    let service_fits = request.service.is_none() || kind == FaultKind::ServiceFailure;
    complaints.check(service_fits, "/service", "belongs to `service-failure` alone");
    complaints.settle()
}

pub async fn list_faults(
    state: &SimState,
    vm_id: Option<&CiId>,
    kind: Option<FaultKind>,
    request: &PageRequest,
) -> ApiResult<Page<Fault>> {
    let (limit, after) = (request.limit()?, request.after::<Uuid>()?);
    let mut connection = state.pool.acquire().await?;
    let faults = store::faults::list_faults(&mut connection, vm_id, kind, after, limit + 1).await?;
    Ok(page(faults.into_iter().map(Fault::from).collect(), limit, |fault: &Fault| fault.id))
}

/// Ends a fault. What it has broken stays broken.
pub async fn delete_fault(state: &SimState, caller: &Caller, id: Uuid) -> ApiResult<()> {
    let now = state.clock.now();
    let unknown = || ApiError::not_found(format!("fault `{id}`"));
    let mut transaction = state.pool.begin().await?;
    let vm_id = store::faults::find_fault(&mut transaction, id).await?.ok_or_else(unknown)?.vm_id;
    let mut machine = lock_settled(&mut transaction, &vm_id, now).await?;
    // Read again under the lock: it may have gone or struck meanwhile.
    let fault = store::faults::find_fault(&mut transaction, id).await?.ok_or_else(unknown)?;
    if let Some(driver) = state.drivers.find(machine.driver) {
        driver.disarm(&machine, &fault).await?;
    }
    store::faults::delete_fault(&mut transaction, id).await?;
    machine.faults.retain(|known| known.id != id);
    let record = audit::Record::new("delete_fault", format!("fault/{id}")).before(&Fault::from(fault));
    audit::record(&mut transaction, caller, record).await?;
    save(&mut transaction, &mut machine, now).await?;
    transaction.commit().await?;
    Ok(())
}
