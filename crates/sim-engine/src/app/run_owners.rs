//! Owners of runs: a guest works for the latest one that it has seen, never again for an earlier one.

use api_types::sim::RunOwner;
use domain::ids::CiId;
use service_kit::{ApiError, ApiResult, Caller, FieldErrors, audit, problem_types};
use sqlx::PgConnection;

use super::{checks::is_name, locked_machine::LockedMachine};
use crate::{state::App, store};

pub async fn put_run_owner(app: &App, caller: &Caller, id: &CiId, owner: RunOwner) -> ApiResult<RunOwner> {
    let mut errors = FieldErrors::default();
    check_run_owner(&mut errors, &owner, "");
    errors.finish()?;
    let mut locked = LockedMachine::lock_reachable(app, id).await?;
    if admit(&mut locked.tx, id, &owner).await? == Admitted::New {
        let object = format!("vm/{id}/run/{}", owner.run_id);
        locked.audit(caller, audit::Record::new("put_run_owner", object).after(&owner)).await?;
    }
    locked.commit().await?;
    Ok(owner)
}

pub(super) fn check_run_owner(errors: &mut FieldErrors, owner: &RunOwner, at: &str) {
    errors.require(
        is_name(&owner.run_id, 100),
        format!("{at}/run_id"),
        "must be 1 to 100 characters without spaces",
    );
    errors.require(owner.epoch > 0, format!("{at}/epoch"), "must be at least 1");
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admitted {
    /// The guest has not seen this epoch before.
    New,
    Known,
}

/// Records the owner, or refuses it because the guest has seen a later one. The caller has locked the machine.
pub(super) async fn admit(conn: &mut PgConnection, id: &CiId, owner: &RunOwner) -> ApiResult<Admitted> {
    let highest = store::run_owners::find_epoch(conn, id, &owner.run_id).await?;
    match highest {
        Some(highest) if owner.epoch < highest => Err(ApiError::new(
            problem_types::RUN_SUPERSEDED,
            format!(
                "epoch {} of run `{}` has ended: `{id}` has worked for epoch {highest}, so a later owner continues the run; \
                 this owner must stop",
                owner.epoch, owner.run_id
            ),
        )),
        Some(highest) if owner.epoch == highest => Ok(Admitted::Known),
        _ => {
            store::run_owners::put_epoch(conn, id, owner).await?;
            Ok(Admitted::New)
        }
    }
}
