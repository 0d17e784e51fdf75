use api_types::{
    page::Page,
    sim::{CreateFault, Fault, FaultKind},
};
use axum::http::StatusCode;
use domain::ids::CiId;
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors, IdempotencyKey, audit,
    idempotency::{self, Begun},
    page::{PageRequest, page},
    problem_types,
};
use uuid::Uuid;

use super::locked_machine::LockedMachine;
use crate::{machine::FaultState, state::App, store};

/// Faults of one machine that are not spent.
const MAX_FAULTS: usize = 100;
const MAX_TIMES: u32 = 1_000_000;
const MAX_DELAY_SECONDS: f64 = 86_400.0;

pub async fn inject_fault(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    kind: FaultKind,
    request: &CreateFault,
) -> ApiResult<Fault> {
    check(kind, request)?;
    let now = app.clock.now();
    let mut tx = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut tx, caller, "inject_fault", key, &(kind, request)).await? {
        Begun::New(ticket) => ticket,
        Begun::Replay(fault) => return Ok(fault),
    };
    let mut locked =
        LockedMachine::lock_in(tx, &request.vm_id, now).await.map_err(|error| match error.status() {
            StatusCode::NOT_FOUND => ApiError::invalid(
                "/vm_id",
                format!("must be an existing VM; `{}` does not exist", request.vm_id),
            ),
            _ => error,
        })?;
    let machine = &mut locked.machine;
    if let Some(service) = request.service.as_ref().filter(|name| !machine.guest.services.contains_key(*name))
    {
        let shown: String = service.chars().take(100).collect();
        return Err(ApiError::invalid("/service", format!("must be a service of the VM, not `{shown}`")));
    }
    if machine.faults.iter().filter(|fault| fault.is_live()).count() >= MAX_FAULTS {
        return Err(ApiError::new(
            problem_types::TOO_MANY_FAULTS,
            format!("VM `{}` has {MAX_FAULTS} live faults, which is the maximum; delete some", machine.id),
        ));
    }
    let fault = Fault {
        id: Uuid::now_v7(),
        kind,
        vm_id: machine.id.clone(),
        probability: request.probability,
        // A machine fails at one moment: by default, once.
        times_left: request.times.or((kind == FaultKind::HostFailure).then_some(1)),
        service: request.service.clone(),
        delay_seconds: request.delay_seconds,
        strikes: 0,
        created_at: now,
    };
    let fault = FaultState { shown: fault, seed: request.seed, draws: 0 };
    store::faults::insert_fault(&mut locked.tx, &fault).await?;
    let driver = app.drivers.of(machine)?;
    if driver.has_real_guests() && request.probability < 1.0 {
        return Err(ApiError::invalid(
            "/probability",
            "must be 1 for a real host, whose faults always strike",
        ));
    }
    driver.arm(machine, &fault).await?;
    let id = fault.shown.id;
    machine.faults.push(fault.clone());
    if kind == FaultKind::HostFailure {
        machine.trigger_host_failure(now);
    }
    let fault = machine.faults.iter().find(|known| known.shown.id == id).cloned().unwrap_or(fault).shown;
    let record = audit::Record::new("inject_fault", format!("fault/{id}")).after(&fault);
    locked.audit(caller, record).await?;
    ticket.finish(&mut locked.tx, &fault).await?;
    locked.commit().await?;
    Ok(fault)
}

fn check(kind: FaultKind, request: &CreateFault) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    let is_chance = request.probability > 0.0 && request.probability <= 1.0;
    errors.require(is_chance, "/probability", "must be above 0 and at most 1");
    let times_fit = request.times.is_none_or(|times| (1..=MAX_TIMES).contains(&times));
    errors.require(times_fit, "/times", format!("must be 1 to {MAX_TIMES}"));
    match (kind, request.delay_seconds) {
        (FaultKind::Slow, delay) => errors.require(
            delay.is_some_and(|delay| delay > 0.0 && delay <= MAX_DELAY_SECONDS),
            "/delay_seconds",
            format!("is required for `slow`, above 0 and at most {MAX_DELAY_SECONDS}"),
        ),
        (_, delay) => errors.require(delay.is_none(), "/delay_seconds", "is only allowed for `slow`"),
    }
    let service_fits = request.service.is_none() || kind == FaultKind::ServiceFailure;
    errors.require(service_fits, "/service", "is only allowed for `service-failure`");
    errors.finish()
}

pub async fn list_faults(
    app: &App,
    vm_id: Option<&CiId>,
    kind: Option<FaultKind>,
    request: &PageRequest,
) -> ApiResult<Page<Fault>> {
    let (limit, after) = (request.limit()?, request.after::<Uuid>()?);
    let mut conn = app.pool.acquire().await?;
    let faults = store::faults::list_faults(&mut conn, vm_id, kind, after, limit + 1).await?;
    Ok(page(faults.into_iter().map(|fault| fault.shown).collect(), limit, |fault: &Fault| fault.id))
}

/// Ends a fault. What it broke stays broken.
pub async fn delete_fault(app: &App, caller: &Caller, id: Uuid) -> ApiResult<()> {
    let mut tx = app.pool.begin().await?;
    let vm_id = store::faults::get_fault(&mut tx, id).await?.shown.vm_id;
    let mut locked = LockedMachine::lock_in(tx, &vm_id, app.clock.now()).await?;
    // Read again under the lock: it may have struck or been deleted since.
    let fault = store::faults::get_fault(&mut locked.tx, id).await?;
    if let Some(driver) = app.drivers.find(locked.machine.driver) {
        driver.disarm(&locked.machine, &fault).await?;
    }
    store::faults::delete_fault(&mut locked.tx, id).await?;
    locked.machine.faults.retain(|known| known.shown.id != id);
    let record = audit::Record::new("delete_fault", format!("fault/{id}")).before(&fault.shown);
    locked.audit(caller, record).await?;
    locked.commit().await?;
    Ok(())
}
