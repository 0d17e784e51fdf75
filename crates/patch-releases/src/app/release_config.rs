//! The table of release policies, and configuration applied from files.

use std::collections::BTreeSet;

use api_types::patch::{ApplyConfig, ConfigChange, ConfigDiff, StoredReleasePolicies};
use domain::release::{Customer, ReleasePolicies};
use serde_json::{Map, Value};
use service_kit::{ApiError, ApiResult, Caller, FieldErrors, audit};
use sqlx::PgConnection;

use super::customer_fields::{add_customer_errors, add_policy_errors};
use super::customers::{MAX_CUSTOMERS, object};
use crate::{App, store::customers as store};

pub(crate) async fn get_release_policies(app: &App) -> ApiResult<StoredReleasePolicies> {
    let mut conn = app.pool.acquire().await?;
    store::get_release_policies(&mut conn).await
}

/// Applies all of the configuration or nothing. A dry run only returns the difference.
pub(crate) async fn apply_release_config(
    app: &App,
    caller: &Caller,
    request: &ApplyConfig,
) -> ApiResult<ConfigDiff> {
    let customers = request.customers.as_deref().unwrap_or_default();
    if customers.len() > MAX_CUSTOMERS as usize {
        return Err(ApiError::invalid("/customers", format!("must be at most {MAX_CUSTOMERS}")));
    }
    let mut errors = FieldErrors::default();
    let mut slugs = BTreeSet::new();
    for (index, customer) in customers.iter().enumerate() {
        let at = format!("/customers/{index}");
        add_customer_errors(app, customer, &at, &mut errors);
        errors.require(slugs.insert(customer.slug.clone()), format!("{at}/slug"), "is not unique");
    }
    if let Some(policies) = &request.policies {
        add_policy_errors(app, policies, &mut errors);
    }
    errors.finish()?;

    let mut diff = ConfigDiff { dry_run: request.dry_run, ..ConfigDiff::default() };
    let mut transaction = app.pool.begin().await?;
    for customer in customers {
        apply_customer(app, &mut transaction, caller, customer, &mut diff).await?;
    }
    if request.customers.is_some() {
        let stored = store::list_customers(&mut transaction, None, None, MAX_CUSTOMERS).await?;
        diff.not_named =
            stored.into_iter().map(|s| s.customer.slug).filter(|slug| !slugs.contains(slug)).collect();
    }
    if let Some(policies) = &request.policies {
        apply_policies(app, &mut transaction, caller, policies, &mut diff).await?;
    }
    if request.dry_run {
        transaction.rollback().await?;
    } else {
        transaction.commit().await?;
    }
    Ok(diff)
}

async fn apply_customer(
    app: &App,
    conn: &mut PgConnection,
    caller: &Caller,
    customer: &Customer,
    diff: &mut ConfigDiff,
) -> ApiResult<()> {
    let (by, now) = (&caller.subject, app.clock.now());
    let Some(before) = store::lock_customer(&mut *conn, &customer.slug).await? else {
        store::insert_customer(&mut *conn, customer, by, now).await?;
        let record = audit::Record::new("create_customer", object(&customer.slug)).after(customer);
        audit::record(conn, caller, record).await?;
        diff.created.push(customer.slug.clone());
        return Ok(());
    };
    // The version in the file is the first one; afterwards only rollouts change it.
    let customer = Customer { current_version: before.customer.current_version, ..customer.clone() };
    let changes = changes(&object(&customer.slug), &before.customer, &customer)?;
    if changes.is_empty() {
        diff.unchanged += 1;
        return Ok(());
    }
    store::update_customer(&mut *conn, &customer, by, now).await?;
    let record = audit::Record::new("update_customer", object(&customer.slug));
    audit::record(conn, caller, record.before(&before.customer).after(&customer)).await?;
    diff.changed.extend(changes);
    Ok(())
}

async fn apply_policies(
    app: &App,
    conn: &mut PgConnection,
    caller: &Caller,
    policies: &ReleasePolicies,
    diff: &mut ConfigDiff,
) -> ApiResult<()> {
    let before = store::get_release_policies(&mut *conn).await?;
    let changes = changes("release-policies", &before.policies, policies)?;
    if changes.is_empty() {
        diff.unchanged += 1;
        return Ok(());
    }
    store::upsert_release_policies(&mut *conn, policies, &caller.subject, app.clock.now()).await?;
    let record = audit::Record::new("update_release_policies", "release-policies");
    audit::record(conn, caller, record.before(&before.policies).after(policies)).await?;
    diff.changed.extend(changes);
    Ok(())
}

/// A list of uniquely named items as a map by name; `None` for any other value.
fn by_name(value: &Value) -> Option<Value> {
    let items = value.as_array()?;
    let named = items.iter().map(|item| Some((item.get("name")?.as_str()?.to_owned(), item.clone())));
    let named: Map<String, Value> = named.collect::<Option<_>>()?;
    (named.len() == items.len()).then_some(Value::Object(named))
}

/// Compares field by field, into objects and lists of named items.
fn changes<T: serde::Serialize>(object: &str, before: &T, after: &T) -> ApiResult<Vec<ConfigChange>> {
    let mut found = Vec::new();
    compare(object, "", &serde_json::to_value(before)?, &serde_json::to_value(after)?, &mut found);
    Ok(found)
}

fn compare(object: &str, at: &str, before: &Value, after: &Value, found: &mut Vec<ConfigChange>) {
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        let fields: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for field in fields {
            let value = |of: &Map<String, Value>| of.get(field).cloned().unwrap_or_default();
            compare(object, &format!("{at}/{field}"), &value(old), &value(new), found);
        }
    } else if let (Some(old), Some(new)) = (by_name(before), by_name(after))
        && old != new
    {
        compare(object, at, &old, &new, found);
    } else if before != after {
        let shown = |value: &Value| (!value.is_null()).then(|| value.clone());
        found.push(ConfigChange {
            object: object.to_owned(),
            field: at.to_owned(),
            before: shown(before),
            after: shown(after),
        });
    }
}
