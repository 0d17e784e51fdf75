//! The outcome of the last run on a CI, as the patch-manager reports it.

use api_types::{
    access::Outcome,
    cmdb::{Ci, PatchState},
};
use domain::ids::CiId;
use service_kit::{
    ApiResult, FieldErrors,
    auth::Caller,
    second_person::{self, Weakening},
};

use super::{
    cis::{lock_ci, touch},
    record::{Change, record_change},
};
use crate::{state::App, store};

const COMPLIANT: &str = "compliant";
const STATUSES: [&str; 3] = [COMPLIANT, "non_compliant", "unknown"];

/// A person who writes by hand that a CI is in a better state needs a second person; the patch-manager does not.
pub async fn set_patch_state(
    app: &App,
    caller: &Caller,
    id: &CiId,
    request: PatchState,
) -> ApiResult<Outcome<Ci>> {
    check(&request)?;
    let now = app.clock.now();
    let mut tx = app.pool.begin().await?;
    let before = lock_ci(&mut tx, id, now).await?;
    let write = Weakening {
        operation: "set_patch_state",
        object: format!("ci/{id}"),
        weakens: weakens(before.patch_state.as_ref(), &request),
        body: Some(serde_json::to_value(&request)?),
        replaces: serde_json::to_value(&before.patch_state)?,
    };
    if let Some(proposal) = second_person::ask(&mut tx, caller, now, write).await? {
        tx.commit().await?;
        return Ok(Outcome::Proposed(Box::new(proposal)));
    }
    let mut after = before.clone();
    if before.patch_state.as_ref() != Some(&request) {
        after.patch_state = Some(request.clone());
        touch(&mut after, now);
        store::cis::update_cis(&mut tx, std::slice::from_ref(&after)).await?;
        let mut change = Change::new("set_patch_state", id).after(&request);
        if let Some(state) = &before.patch_state {
            change = change.before(state);
        }
        record_change(&mut tx, caller, now, change).await?;
    }
    tx.commit().await?;
    Ok(Outcome::Done(after))
}

/// What the new state claims that no run or scan reported. To claim less is always possible.
fn weakens(before: Option<&PatchState>, after: &PatchState) -> Vec<String> {
    let mut weaker = Vec::new();
    let was_compliant = before.is_some_and(|state| state.compliance_status == COMPLIANT);
    if after.compliance_status == COMPLIANT && !was_compliant {
        weaker.push("the CI counts as compliant".to_owned());
    }
    let level = before.and_then(|state| state.current_patch_level.as_ref());
    if let Some(claimed) = &after.current_patch_level
        && level != Some(claimed)
    {
        weaker.push(format!("the CI counts as patched up to `{claimed}`"));
    }
    let times = [
        ("scanned", before.and_then(|state| state.last_scanned), after.last_scanned),
        ("patched", before.and_then(|state| state.last_patched), after.last_patched),
    ];
    for (done, known, claimed) in times {
        // No time is earlier than every time.
        if claimed > known {
            weaker.push(format!("the CI counts as {done} later than it was"));
        }
    }
    if after.run_id.is_some() && before.and_then(|state| state.run_id) != after.run_id {
        weaker.push("the state counts as the outcome of another run".to_owned());
    }
    weaker
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn state(fields: Value) -> PatchState {
        let mut whole = json!({ "compliance_status": "non_compliant", "current_patch_level": "2026-01",
            "last_scanned": "2026-02-01T00:00:00Z", "last_patched": null, "run_id": null });
        for (field, value) in fields.as_object().unwrap() {
            whole[field] = value.clone();
        }
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn claiming_more_weakens_and_claiming_less_does_not() {
        let before = state(json!({}));
        for more in [
            json!({ "compliance_status": "compliant" }),
            json!({ "current_patch_level": "2026-02" }),
            json!({ "last_scanned": "2026-02-02T00:00:00Z" }),
            json!({ "last_patched": "2025-02-02T00:00:00Z" }),
            json!({ "run_id": "00000000-0000-7000-8000-000000000000" }),
        ] {
            assert_eq!(weakens(Some(&before), &state(more.clone())).len(), 1, "{more}");
        }
        for less in [
            json!({}),
            json!({ "compliance_status": "unknown" }),
            json!({ "current_patch_level": null }),
            json!({ "last_scanned": "2026-01-31T00:00:00Z" }),
            json!({ "last_scanned": null }),
        ] {
            assert_eq!(weakens(Some(&before), &state(less.clone())), Vec::<String>::new(), "{less}");
        }
        let compliant = state(json!({ "compliance_status": "compliant" }));
        assert_eq!(weakens(Some(&compliant), &compliant), Vec::<String>::new());
        assert_eq!(weakens(Some(&compliant), &before), Vec::<String>::new());
        assert_eq!(weakens(None, &compliant).len(), 3);
    }
}
