//! The inside of a guest, apart from its packages.

use api_types::sim::{Guest, GuestService, ServiceAction, Vm};
use domain::ids::CiId;
use serde_json::json;
use service_kit::{ApiError, ApiResult, Caller, audit, problem_types};
use uuid::Uuid;

use super::{operate, read, save};
use crate::{service::SimState, store};

pub async fn get_guest(state: &SimState, id: &CiId) -> ApiResult<Guest> {
    let now = state.clock.now();
    let machine = read(state, id, now).await?;
    let packages: Vec<String> = machine.guest.packages.keys().cloned().collect();
    let mut connection = state.pool.acquire().await?;
    let offers = store::repositories::list_offers(&mut connection, &machine.os, &packages).await?;
    Ok(machine.to_guest(&offers, now))
}

pub async fn control_service(
    state: &SimState,
    caller: &Caller,
    id: &CiId,
    name: &str,
    action: ServiceAction,
) -> ApiResult<GuestService> {
    let now = state.clock.now();
    let (mut transaction, mut machine) = operate(state, id, now).await?;
    let service = machine
        .control_service(name, action, now)
        .map_err(|unknown| ApiError::not_found(format!("{unknown} in the guest of VM `{id}`")))?;
    let record = audit::Record::new("control_service", format!("vm/{id}/service/{name}"))
        .after(&json!({ "action": action, "service": service }));
    audit::record(&mut transaction, caller, record).await?;
    save(&mut transaction, &mut machine, now).await?;
    transaction.commit().await?;
    Ok(service)
}

pub async fn reboot_guest(
    state: &SimState,
    caller: &Caller,
    id: &CiId,
    boot_id: Option<Uuid>,
) -> ApiResult<Vm> {
    let now = state.clock.now();
    let (mut transaction, mut machine) = operate(state, id, now).await?;
    let before = machine.to_vm();
    let reboots = machine
        .reboot(boot_id, now)
        .map_err(|refused| ApiError::new(problem_types::TRANSACTION_IN_PROGRESS, refused.to_string()))?;
    if reboots {
        let record = audit::Record::new("reboot_guest", format!("vm/{id}")).before(&before);
        audit::record(&mut transaction, caller, record).await?;
    }
    save(&mut transaction, &mut machine, now).await?;
    transaction.commit().await?;
    Ok(machine.to_vm())
}
