//! The outcome of the last run on a CI, as the patch-manager reports it.

use api_types::cmdb::{Ci, PatchState};
use domain::ids::CiId;
use service_kit::{ApiResult, FieldErrors, auth::Caller};

use super::{
    App,
    cis::{lock_ci, touch},
    record::{Change, record_change},
};
use crate::store;

const STATUSES: [&str; 3] = ["compliant", "non_compliant", "unknown"];

pub async fn set_patch_state(app: &App, caller: &Caller, id: &CiId, request: PatchState) -> ApiResult<Ci> {
    check(&request)?;
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let before = lock_ci(&mut transaction, id, now).await?;
    let mut after = before.clone();
    if before.patch_state.as_ref() != Some(&request) {
        after.patch_state = Some(request.clone());
        touch(&mut after, now);
        store::cis::update_cis(&mut transaction, std::slice::from_ref(&after)).await?;
        let mut change = Change::new("set_patch_state", id).after(&request);
        if let Some(state) = &before.patch_state {
            change = change.before(state);
        }
        record_change(&mut transaction, caller, now, change).await?;
    }
    transaction.commit().await?;
    Ok(after)
}

fn check(request: &PatchState) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    if !STATUSES.contains(&request.compliance_status.as_str()) {
        errors.add("/compliance_status", format!("must be one of `{}`", STATUSES.join("`, `")));
    }
    if let Some(level) = &request.current_patch_level {
        errors.require_line("/current_patch_level", level, 100);
    }
    errors.finish()
}
