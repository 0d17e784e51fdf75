//! Policies: what is valid, and how a change affects the hosts they select.

use std::collections::BTreeMap;

use advisories::{OsRelease, os_key};
use api_types::{
    access::is_address,
    cmdb::Ci,
    page::Page,
    patch::{
        ApprovePolicy, EffectivePolicy, Occurrence, PolicyConflict, PolicyPreview, ScheduleHint, StoredPolicy,
    },
};
use chrono::{DateTime, SecondsFormat, Utc};
use domain::{
    ids::{CiId, PolicyId},
    policy::Policy,
    selector::{Selector, Tags},
    workflow::Drain,
};
use serde_json::{Map, Value};
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors, IdempotencyKey, IfMatch, audit,
    duties::{self, Decider, Part},
    extract::{etag, parse_json},
    idempotency::{self, Begun},
    outbound::Refusal,
    page::{PageRequest, page},
    problem_types,
};

use sqlx::PgConnection;

pub use crate::store::policies::{find_policy, list_scheduled};

use super::{hosts, os_tag, package_set_matching};
use crate::{App, store};

const OCCURRENCES_SHOWN: usize = 5;
/// Maximum policies compared with a previewed one.
const MAX_POLICIES: i64 = 10_000;
const MAX_TAG_BYTES: usize = 200;
/// The maximum of ITSM for one approval.
const MAX_APPROVERS: usize = 20;
const MAX_COMMENT: usize = 4_000;

/// In the order of their ids.
pub(crate) async fn list_policies(app: &App, request: &PageRequest) -> ApiResult<Page<StoredPolicy>> {
    let (limit, after) = (request.limit()?, request.after::<String>()?);
    let mut conn = app.pool.acquire().await?;
    let found = store::policies::list_policies(&mut conn, after.as_deref(), limit + 1).await?;
    Ok(page(found, limit, |stored| stored.policy.id.to_string()))
}

pub async fn get_policy(app: &App, id: &PolicyId) -> ApiResult<StoredPolicy> {
    let mut conn = app.pool.acquire().await?;
    store::policies::get_policy(&mut conn, id).await
}

pub(crate) async fn create_policy(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    policy: Policy,
) -> ApiResult<StoredPolicy> {
    check(app, &policy)?;
    hosts::try_synchronise(app).await;
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut transaction, caller, "create_policy", key, &policy).await? {
        Begun::Replay(stored) => return Ok(stored),
        Begun::New(ticket) => ticket,
    };
    refuse_wrong_approvers(&mut transaction, &policy, &[], std::slice::from_ref(&caller.subject)).await?;
    store::lock_results_for_change(&mut transaction).await?;
    let no =
        store::policies::insert_policy(&mut transaction, &policy, &caller.subject, now).await?.ok_or_else(
            || ApiError::new(problem_types::EXISTS, format!("policy `{}` already exists", policy.id)),
        )?;
    store::hosts::mark_selected(&mut transaction, no).await?;
    let record = audit::Record::new("create_policy", object(&policy.id)).after(&policy);
    audit::record(&mut transaction, caller, record).await?;
    let stored = store::policies::get_policy(&mut transaction, &policy.id).await?;
    ticket.finish(&mut transaction, &stored).await?;
    transaction.commit().await?;
    package_set_matching::try_recompute_due(app).await;
    Ok(stored)
}

/// Replaces the given fields; `null` resets a field to its default.
pub(crate) async fn update_policy(
    app: &App,
    caller: &Caller,
    id: &PolicyId,
    if_match: &IfMatch,
    changes: Map<String, Value>,
) -> ApiResult<StoredPolicy> {
    hosts::try_synchronise(app).await;
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    store::lock_results_for_change(&mut transaction).await?;
    let (no, before) = store::policies::lock_policy(&mut transaction, id).await?;
    if_match.check(before.version)?;
    let policy = merged(&before.policy, changes)?;
    if policy.id != *id {
        return Err(ApiError::invalid("/id", "cannot be changed: history and results are kept under it"));
    }
    check(app, &policy)?;
    let editors: Vec<String> = before.editors.iter().chain([&caller.subject]).cloned().collect();
    let known = &before.policy.change.approver_emails;
    refuse_wrong_approvers(&mut transaction, &policy, known, &editors).await?;
    store::hosts::mark_hosts_with_results(&mut transaction, no).await?;
    store::policies::update_policy(&mut transaction, no, &policy, &caller.subject, now).await?;
    store::hosts::mark_selected(&mut transaction, no).await?;
    let record = audit::Record::new("update_policy", object(id)).before(&before.policy).after(&policy);
    audit::record(&mut transaction, caller, record).await?;
    let stored = store::policies::get_policy(&mut transaction, id).await?;
    transaction.commit().await?;
    package_set_matching::try_recompute_due(app).await;
    Ok(stored)
}

/// Approves the version of a policy that was read, so that its template approves its runs. An editor of the policy cannot.
pub(crate) async fn approve_policy(
    app: &App,
    caller: &Caller,
    id: &PolicyId,
    request: &ApprovePolicy,
) -> ApiResult<StoredPolicy> {
    if request.comment.chars().count() > MAX_COMMENT {
        return Err(ApiError::invalid("/comment", format!("must be at most {MAX_COMMENT} characters")));
    }
    let mut transaction = app.pool.begin().await?;
    let (no, before) = store::policies::lock_policy(&mut transaction, id).await?;
    if request.version != before.version {
        return Err(ApiError::stale(&etag(before.version)));
    }
    if before.policy.change.standard_template.is_none() {
        let reason = format!(
            "policy `{id}` names no template that would approve its runs; a person approves each of them"
        );
        return Err(ApiError::new(problem_types::NOTHING_TO_DO, reason));
    }
    let decider = Decider::of_caller(&mut transaction, caller).await?;
    let parts = before.editors.iter().map(|editor| Part::new("edited", editor));
    if let Err(refused) = duties::may_decide(&decider, &format!("policy `{id}`"), parts) {
        transaction.rollback().await?;
        duties::record_refusal(&app.pool, caller, "approve_policy", object(id), &refused).await?;
        return Err(refused);
    }
    store::policies::approve_policy(&mut transaction, no, &caller.subject, app.clock.now()).await?;
    let stored = store::policies::get_policy(&mut transaction, id).await?;
    let record =
        audit::Record::new("approve_policy", object(id)).before(&before.approval).after(&stored.approval);
    let comment = Some(request.comment.as_str()).filter(|comment| !comment.is_empty());
    audit::record(&mut transaction, caller, record.reason(comment)).await?;
    transaction.commit().await?;
    Ok(stored)
}

/// The request for approval goes only to people who may approve the runs of the policy. Addresses that it has already stay: people
/// come and go, and a run leaves out those who may not.
async fn refuse_wrong_approvers(
    conn: &mut PgConnection,
    policy: &Policy,
    known: &[String],
    editors: &[String],
) -> ApiResult<()> {
    let addresses = &policy.change.approver_emails;
    let parts = editors.iter().map(|editor| Part::new("edited", editor));
    let wrong = duties::wrong_addresses(conn, addresses, parts).await?;
    let new = wrong.into_iter().filter(|(index, _)| !known.contains(&addresses[*index]));
    let errors = new.map(|(index, reason)| (format!("/change/approver_emails/{index}"), reason));
    errors.collect::<FieldErrors>().finish()
}

pub(crate) async fn delete_policy(
    app: &App,
    caller: &Caller,
    id: &PolicyId,
    if_match: &IfMatch,
) -> ApiResult<()> {
    let mut transaction = app.pool.begin().await?;
    store::lock_results_for_change(&mut transaction).await?;
    let (no, before) = store::policies::lock_policy(&mut transaction, id).await?;
    if_match.check(before.version)?;
    if let Some(run) = store::policies::find_open_run(&mut transaction, id).await? {
        return Err(ApiError::new(
            problem_types::RUN_OPEN,
            format!("run `{run}` of policy `{id}` has not ended; cancel it or wait until it ends"),
        ));
    }
    store::hosts::mark_hosts_with_results(&mut transaction, no).await?;
    store::policies::delete_policy(&mut transaction, no).await?;
    let record = audit::Record::new("delete_policy", object(id)).before(&before.policy);
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    package_set_matching::try_recompute_due(app).await;
    Ok(())
}

/// The name of a policy in the audit log.
pub(super) fn object(id: &PolicyId) -> String {
    format!("policy/{id}")
}

pub(super) fn merged(policy: &Policy, changes: Map<String, Value>) -> ApiResult<Policy> {
    let Value::Object(mut fields) = serde_json::to_value(policy)? else {
        return Err(ApiError::internal("a policy does not serialise to an object"));
    };
    for (name, value) in changes {
        match value {
            Value::Null => drop(fields.remove(&name)),
            value => drop(fields.insert(name, value)),
        }
    }
    parse_json(&serde_json::to_vec(&fields)?)
}

pub(super) fn check(app: &App, policy: &Policy) -> ApiResult<()> {
    let mut errors: FieldErrors = policy.faults().into_iter().collect();
    let staging = policy.staging.iter().map(|staging| ("/staging/target_ci_tags", &staging.target_ci_tags));
    for (pointer, tags) in std::iter::once(("/target_ci_tags", &policy.target_ci_tags)).chain(staging) {
        for (key, value) in tags {
            errors.require(
                !key.is_empty() && key.len() <= MAX_TAG_BYTES && value.len() <= MAX_TAG_BYTES,
                format!("{pointer}/{}", pointer_part(key)),
                "must have a key and a value of at most 200 bytes",
            );
        }
    }
    if let Some(Err(error)) = policy.os_type.as_deref().map(str::parse::<OsRelease>) {
        errors.add("/os_type", error.to_string());
    }
    errors.require(policy.notify.len() <= 50, "/notify", "must have at most 50 addresses");
    for (position, recipient) in policy.notify.iter().enumerate() {
        let pointer = format!("/notify/{position}");
        if recipient.contains("://") {
            add_refusal(&mut errors, pointer, app.webhooks.check(recipient));
        } else {
            errors.require(
                is_address(recipient),
                pointer,
                "is neither an e-mail address nor an http address",
            );
        }
    }
    let approvers = &policy.change.approver_emails;
    errors.require(
        approvers.len() <= MAX_APPROVERS,
        "/change/approver_emails",
        "must have at most 20 addresses",
    );
    for (position, address) in approvers.iter().enumerate() {
        errors.require(
            is_address(address),
            format!("/change/approver_emails/{position}"),
            "is not an e-mail address",
        );
    }
    if let Some((position, reason)) = policy.workflow.refused_update(&app.settings.update_programs) {
        errors.add(format!("/workflow/update_commands/{position}"), reason);
    }
    errors.require(
        policy.workflow.maintenance_hooks.is_empty() || app.settings.hooks_dir.is_some(),
        "/workflow/maintenance_hooks",
        "needs a folder of hooks: start the service with --hooks-dir",
    );
    let address = policy.vault.as_ref().and_then(|vault| vault.address.as_deref());
    if let Some(address) = address {
        add_refusal(&mut errors, "/vault/address".to_owned(), app.outbound.check(address));
    }
    if let Some(Drain::Url(url)) = &policy.workflow.drain {
        add_refusal(&mut errors, "/workflow/drain/url".to_owned(), app.outbound.check_for_hosts(url));
    }
    let prefix = policy.vault.as_ref().and_then(|vault| vault.secret_path_prefix.as_deref());
    errors.require(
        prefix.is_none_or(is_secret_path),
        "/vault/secret_path_prefix",
        "must be names of `a-z A-Z 0-9 . _ -`, separated by `/`",
    );
    errors.finish()
}

fn pointer_part(key: &str) -> String {
    key.chars().take(60).collect::<String>().replace('~', "~0").replace('/', "~1")
}

fn add_refusal<T>(errors: &mut FieldErrors, pointer: String, checked: Result<T, Refusal>) {
    if let Err(refusal) = checked {
        errors.add(pointer, refusal.to_string());
    }
}

/// A path below a mount that cannot leave it.
fn is_secret_path(text: &str) -> bool {
    let is_name = |name: &str| {
        !matches!(name, "" | "." | "..")
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    };
    text.len() <= 200 && text.split('/').all(is_name)
}

/// The current effect of a policy: targets from the CMDB, occurrences in the policy's time zone, and other policies for
/// the same hosts. The capability with the freezes adds which occurrences they block.
pub async fn preview_policy(app: &App, id: &PolicyId) -> ApiResult<PolicyPreview> {
    let mut conn = app.pool.acquire().await?;
    let policy = store::policies::get_policy(&mut conn, id).await?.policy;
    let others = store::policies::list_policies(&mut conn, None, MAX_POLICIES).await?;
    drop(conn);
    let others: Vec<Policy> = others
        .into_iter()
        .map(|stored| stored.policy)
        .filter(|other| other.id != *id && other.enabled)
        .collect();
    let selected = hosts::list_managed(app, &Selector::by_tags(policy.target_ci_tags.clone())).await?;
    let selected: Vec<Ci> = selected.into_iter().filter(|ci| selects(&policy, &ci.tags)).collect();

    let mut conflicts: BTreeMap<&PolicyId, Vec<CiId>> = BTreeMap::new();
    let mut effective = Vec::new();
    for ci in &selected {
        let competing: Vec<&Policy> = others.iter().filter(|other| selects(other, &ci.tags)).collect();
        for rival in &competing {
            conflicts.entry(&rival.id).or_default().push(ci.id.clone());
        }
        let first = competing.into_iter().chain([&policy]).min_by_key(|policy| precedence(policy));
        if let Some(first) = first.filter(|first| first.id != policy.id) {
            effective.push(EffectivePolicy { ci_id: ci.id.clone(), policy_id: first.id.clone() });
        }
    }
    Ok(PolicyPreview {
        policy_id: policy.id.clone(),
        occurrences: occurrences(&policy, app.clock.now()),
        conflicts: conflicts.into_iter().map(|(id, ci_ids)| conflict(id, ci_ids)).collect(),
        effective,
        hints: ScheduleHint::list(&policy),
        preflight_run: None,
        baseline_change: None,
        targets: selected.into_iter().map(|ci| ci.id).collect(),
    })
}

fn conflict(id: &PolicyId, ci_ids: Vec<CiId>) -> PolicyConflict {
    let reason = match ci_ids.len() {
        1 => "it selects 1 of the same CIs".to_owned(),
        many => format!("it selects {many} of the same CIs"),
    };
    PolicyConflict { policy_id: id.clone(), reason, ci_ids }
}

/// Lowest first: more target tags, then the lower id.
fn precedence(policy: &Policy) -> (std::cmp::Reverse<usize>, &PolicyId) {
    (std::cmp::Reverse(policy.target_ci_tags.len()), &policy.id)
}

pub(super) fn selects(policy: &Policy, tags: &Tags) -> bool {
    let os = tags.get("os").map(String::as_str).unwrap_or_default();
    policy.os_type.as_deref().is_none_or(|wanted| os_key(wanted) == os_key(os))
        && policy.target_ci_tags.iter().all(|(key, value)| os_tag::has_tag(tags, key, value))
}

fn occurrences(policy: &Policy, now: DateTime<Utc>) -> Vec<Occurrence> {
    let Some(schedule) = policy.run_schedule() else { return Vec::new() };
    let occurrence = |at: DateTime<Utc>| Occurrence {
        at,
        local: at.with_timezone(&policy.time_zone).to_rfc3339_opts(SecondsFormat::Secs, false),
        time_zone: policy.time_zone.name().to_owned(),
        blocked_by: Vec::new(),
    };
    schedule.occurrences(now, policy.time_zone).take(OCCURRENCES_SHOWN).map(occurrence).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(text: Value) -> Policy {
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn changes_replace_fields_and_null_restores_defaults() {
        let before = policy(
            json!({ "id": "p", "name": "n", "target_ci_tags": { "env": "dev" }, "max_parallel": 5, "retries": 2 }),
        );
        let changes = json!({ "target_ci_tags": { "tier": "1" }, "retries": null });
        let Value::Object(changes) = changes else { unreachable!() };
        let after = merged(&before, changes).unwrap();
        assert_eq!(after.target_ci_tags, Tags::from([("tier".to_owned(), "1".to_owned())]));
        assert_eq!((after.retries, after.max_parallel), (0, before.max_parallel));
    }

    #[test]
    fn unknown_fields_are_refused() {
        let before = policy(json!({ "id": "p", "name": "n", "target_ci_tags": { "env": "dev" } }));
        let changes = Map::from_iter([("colour".to_owned(), json!("red"))]);
        assert_eq!(merged(&before, changes).unwrap_err().status().as_u16(), 422);
    }

    #[test]
    fn the_policy_with_more_tags_decides_then_the_first_id() {
        let narrow =
            policy(json!({ "id": "z", "name": "n", "target_ci_tags": { "env": "dev", "tier": "1" } }));
        let broad = policy(json!({ "id": "a", "name": "n", "target_ci_tags": { "env": "dev" } }));
        let twin = policy(json!({ "id": "b", "name": "n", "target_ci_tags": { "env": "dev" } }));
        assert!(precedence(&narrow) < precedence(&broad));
        assert!(precedence(&broad) < precedence(&twin));
    }

    #[test]
    fn addresses_are_plain() {
        for (text, valid) in
            [("ops@example.com", true), ("ops", false), ("a b@c", false), ("a@b@c", false), ("@x", false)]
        {
            assert_eq!(is_address(text), valid, "{text}");
        }
    }
}
