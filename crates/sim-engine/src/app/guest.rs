//! The inside of a guest, apart from its packages.

use api_types::sim::{Guest, GuestService, ServiceAction, Vm};
use domain::ids::CiId;
use serde_json::json;
use service_kit::{ApiError, ApiResult, Caller, audit, problem_types};
use uuid::Uuid;

use super::locked_machine::{LockedMachine, read_reachable};
use crate::{state::App, store};

pub async fn get_guest(app: &App, id: &CiId) -> ApiResult<Guest> {
    let machine = read_reachable(app, id).await?;
    let packages: Vec<String> = machine.guest.packages.keys().cloned().collect();
    let mut conn = app.pool.acquire().await?;
    let offers = store::repositories::list_offers(&mut conn, &machine.os, &packages).await?;
    Ok(machine.to_guest(&offers, app.clock.now()))
}

pub async fn control_service(
    app: &App,
    caller: &Caller,
    id: &CiId,
    name: &str,
    action: ServiceAction,
) -> ApiResult<GuestService> {
    let mut locked = LockedMachine::lock_for_operation(app, id).await?;
    let service = locked
        .machine
        .control_service(name, action, locked.now)
        .map_err(|unknown| ApiError::not_found(format!("{unknown} in the guest of VM `{id}`")))?;
    let record = audit::Record::new("control_service", format!("vm/{id}/service/{name}"))
        .after(&json!({ "action": action, "service": service }));
    locked.audit(caller, record).await?;
    locked.commit().await?;
    Ok(service)
}

pub async fn reboot_guest(app: &App, caller: &Caller, id: &CiId, boot_id: Option<Uuid>) -> ApiResult<Vm> {
    let mut locked = LockedMachine::lock_for_operation(app, id).await?;
    let before = locked.machine.to_vm();
    let reboots = locked
        .machine
        .reboot(boot_id, locked.now)
        .map_err(|running| ApiError::new(problem_types::TRANSACTION_IN_PROGRESS, running.to_string()))?;
    if reboots {
        let record = audit::Record::new("reboot_guest", format!("vm/{id}")).before(&before);
        locked.audit(caller, record).await?;
    }
    Ok(locked.commit().await?.to_vm())
}
