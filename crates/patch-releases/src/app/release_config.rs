//! The table of release policies, and configuration applied from files.

use std::collections::BTreeSet;

use api_types::{
    access::Outcome,
    patch::{ApplyConfig, ConfigChange, ConfigDiff, StoredReleasePolicies},
};
use domain::{
    ids::CiId,
    release::{Customer, ReleasePolicies},
};
use serde_json::{Map, Value, json};
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors, audit,
    extract::from_value,
    field_changes::{FieldChange, field_changes},
    second_person::{self, Weakening},
};
use sqlx::PgConnection;

use super::customer_fields::{add_customer_errors, add_policy_errors};
use super::customers::{MAX_CUSTOMERS, object};
use crate::{App, store::customers as store};

/// The name of the table in the audit log.
pub(super) const RELEASE_POLICIES: &str = "release-policies";

pub(crate) async fn get_release_policies(app: &App) -> ApiResult<StoredReleasePolicies> {
    let mut conn = app.pool.acquire().await?;
    store::get_release_policies(&mut conn).await
}

/// Merges all of the configuration into what is stored, or nothing. A dry run only returns the difference. What weakens a control
/// waits for a second person, and so does the rest of the same configuration.
pub(crate) async fn apply_release_config(
    app: &App,
    caller: &Caller,
    request: &ApplyConfig,
) -> ApiResult<Outcome<ConfigDiff>> {
    let customers = request.customers.as_deref().unwrap_or_default();
    if customers.len() > MAX_CUSTOMERS as usize {
        return Err(ApiError::invalid("/customers", format!("must be at most {MAX_CUSTOMERS}")));
    }
    let mut diff = ConfigDiff { dry_run: request.dry_run, ..ConfigDiff::default() };
    let mut transaction = app.pool.begin().await?;
    let mut errors = FieldErrors::default();
    let mut merged = Vec::new();
    let mut slugs = BTreeSet::new();
    for (index, fields) in customers.iter().enumerate() {
        let at = format!("/customers/{index}");
        let customer = merge_customer(&mut transaction, fields, &at).await?;
        add_customer_errors(app, &customer.after, &at, &mut errors);
        errors.require(slugs.insert(customer.after.slug.clone()), format!("{at}/slug"), "is not unique");
        merged.push(customer);
    }
    let policies = match &request.policies {
        Some(fields) => Some(merge_policies(&mut transaction, fields).await?),
        None => None,
    };
    if let Some(policies) = &policies {
        add_policy_errors(app, &policies.after, &mut errors);
    }
    errors.finish()?;
    diff.weakens = weakens(&merged, policies.as_ref());
    if !request.dry_run {
        let write = Weakening {
            operation: "apply_release_config",
            object: RELEASE_POLICIES.to_owned(),
            weakens: diff.weakens.clone(),
            body: Some(serde_json::to_value(request)?),
            replaces: serde_json::to_value(planned_changes(&merged, policies.as_ref())?)?,
        };
        if let Some(proposal) = second_person::ask(&mut transaction, caller, app.clock.now(), write).await? {
            transaction.commit().await?;
            return Ok(Outcome::Proposed(Box::new(proposal)));
        }
    }
    for customer in merged {
        apply_customer(app, &mut transaction, caller, customer, &mut diff).await?;
    }
    if request.customers.is_some() {
        let stored = store::list_customers(&mut transaction, None, None, MAX_CUSTOMERS).await?;
        diff.not_named =
            stored.into_iter().map(|s| s.customer.slug).filter(|slug| !slugs.contains(slug)).collect();
    }
    if let Some(policies) = policies {
        apply_policies(app, &mut transaction, caller, &policies, &mut diff).await?;
    }
    if request.dry_run {
        transaction.rollback().await?;
    } else {
        transaction.commit().await?;
    }
    Ok(Outcome::Done(diff))
}

type MergedCustomer = Merged<Option<Customer>, Customer>;
type MergedPolicies = Merged<ReleasePolicies, ReleasePolicies>;

/// A new customer weakens nothing: nothing was protected before.
fn weakens(customers: &[MergedCustomer], policies: Option<&MergedPolicies>) -> Vec<String> {
    let of_customer = |one: &MergedCustomer| match &one.before {
        Some(before) => before.weakened_by(&one.after),
        None => Vec::new(),
    };
    let of_policies = policies.map(|merged| merged.before.weakened_by(&merged.after));
    customers.iter().flat_map(of_customer).chain(of_policies.into_iter().flatten()).collect()
}

/// What the configuration would change, and what is there before.
fn planned_changes(
    customers: &[MergedCustomer],
    policies: Option<&MergedPolicies>,
) -> ApiResult<Vec<ConfigChange>> {
    let mut planned = Vec::new();
    for Merged { before, after } in customers {
        planned.extend(changes(
            &object(&after.slug),
            &serde_json::to_value(before)?,
            &serde_json::to_value(after)?,
        )?);
    }
    if let Some(Merged { before, after }) = policies {
        planned.extend(changes(RELEASE_POLICIES, before, after)?);
    }
    Ok(planned)
}

/// An object as it is stored, and with the fields of the file.
struct Merged<Before, After> {
    before: Before,
    after: After,
}

/// `before` is `None` for a new customer.
async fn merge_customer(
    conn: &mut PgConnection,
    fields: &Map<String, Value>,
    at: &str,
) -> ApiResult<MergedCustomer> {
    let slug = fields.get("slug").cloned().unwrap_or_default();
    let slug: CiId = from_value(slug, &format!("{at}/slug"))?;
    let before = store::lock_customer(conn, &slug).await?.map(|stored| stored.customer);
    let mut value = before.as_ref().map(serde_json::to_value).transpose()?.unwrap_or_else(|| json!({}));
    merge(&mut value, fields);
    let mut after: Customer = from_value(value, at)?;
    if let Some(before) = &before {
        // The version in the file is the first one; afterwards only rollouts change it.
        after.current_version = before.current_version;
    }
    Ok(Merged { before, after })
}

async fn merge_policies(conn: &mut PgConnection, fields: &Map<String, Value>) -> ApiResult<MergedPolicies> {
    let before = store::get_release_policies(conn).await?.policies.with_all_rows();
    let mut value = serde_json::to_value(&before)?;
    merge(&mut value, fields);
    let after: ReleasePolicies = from_value(value, "/policies")?;
    // A row that the file removes returns to its default.
    Ok(Merged { before, after: after.with_all_rows() })
}

/// Merges as RFC 7396 does: objects field by field, `null` removes, everything else replaces. An object of another kind, such as
/// another deployer, is replaced: its fields mean something else.
fn merge(stored: &mut Value, fields: &Map<String, Value>) {
    let kind_of = |fields: &Map<String, Value>| fields.get("kind").cloned();
    let is_other_kind = kind_of(fields).is_some() && stored.as_object().and_then(kind_of) != kind_of(fields);
    if is_other_kind || !stored.is_object() {
        *stored = json!({});
    }
    let Value::Object(stored) = stored else { return };
    for (name, value) in fields {
        match value {
            Value::Null => drop(stored.remove(name)),
            Value::Object(fields) => merge(stored.entry(name.clone()).or_insert_with(|| json!({})), fields),
            value => drop(stored.insert(name.clone(), value.clone())),
        }
    }
}

async fn apply_customer(
    app: &App,
    conn: &mut PgConnection,
    caller: &Caller,
    customer: MergedCustomer,
    diff: &mut ConfigDiff,
) -> ApiResult<()> {
    let (by, now) = (&caller.subject, app.clock.now());
    let Merged { before, after: customer } = customer;
    let Some(before) = before else {
        store::insert_customer(&mut *conn, &customer, by, now).await?;
        let record = audit::Record::new("create_customer", object(&customer.slug)).after(&customer);
        audit::record(conn, caller, record).await?;
        diff.created.push(customer.slug);
        return Ok(());
    };
    let changes = changes(&object(&customer.slug), &before, &customer)?;
    if changes.is_empty() {
        diff.unchanged += 1;
        return Ok(());
    }
    store::update_customer(&mut *conn, &customer, by, now).await?;
    let record = audit::Record::new("update_customer", object(&customer.slug));
    audit::record(conn, caller, record.before(&before).after(&customer)).await?;
    diff.changed.extend(changes);
    Ok(())
}

async fn apply_policies(
    app: &App,
    conn: &mut PgConnection,
    caller: &Caller,
    policies: &MergedPolicies,
    diff: &mut ConfigDiff,
) -> ApiResult<()> {
    let Merged { before, after } = policies;
    let changes = changes(RELEASE_POLICIES, before, after)?;
    if changes.is_empty() {
        diff.unchanged += 1;
        return Ok(());
    }
    store::upsert_release_policies(&mut *conn, after, &caller.subject, app.clock.now()).await?;
    let record = audit::Record::new("update_release_policies", RELEASE_POLICIES);
    audit::record(conn, caller, record.before(before).after(after)).await?;
    diff.changed.extend(changes);
    Ok(())
}

/// Compares field by field, into objects and lists of named items.
pub(super) fn changes<T: serde::Serialize>(
    object: &str,
    before: &T,
    after: &T,
) -> ApiResult<Vec<ConfigChange>> {
    let change = |change: FieldChange| ConfigChange {
        object: object.to_owned(),
        field: change.field,
        before: change.before,
        after: change.after,
    };
    let found = field_changes(&serde_json::to_value(before)?, &serde_json::to_value(after)?);
    Ok(found.into_iter().map(change).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_changes_what_it_names_and_nothing_else() {
        let mut stored =
            json!({ "a": 1, "b": { "c": [1, 2], "d": "x" }, "health": { "kind": "prometheus", "up": "up" } });
        let file =
            json!({ "b": { "c": [3], "e": null }, "f": null, "health": { "kind": "http", "url": "u" } });
        merge(&mut stored, file.as_object().unwrap());
        let health = json!({ "kind": "http", "url": "u" });
        assert_eq!(stored, json!({ "a": 1, "b": { "c": [3], "d": "x" }, "health": health }));
        let same_kind = json!({ "health": { "kind": "http", "url": "v" }, "a": null });
        merge(&mut stored, same_kind.as_object().unwrap());
        let health = json!({ "kind": "http", "url": "v" });
        assert_eq!(stored, json!({ "b": { "c": [3], "d": "x" }, "health": health }));
    }
}
