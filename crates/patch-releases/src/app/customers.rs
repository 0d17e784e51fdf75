//! Customers: created, changed, deleted.

use std::collections::BTreeSet;

use api_types::{access::Outcome, page::Page, patch::StoredCustomer};
use domain::{
    ids::CiId,
    release::{Customer, Tier},
};
use serde_json::{Map, Value};
use service_kit::{
    ApiError, ApiResult, Caller, IdempotencyKey, IfMatch, audit,
    idempotency::{self, Begun},
    page::{PageRequest, page},
    problem_types,
    second_person::{self, Weakening},
};
use sqlx::PgConnection;

use super::{customer_fields::check_customer, release_config};
use crate::{
    App,
    store::{
        customers as store,
        health_watches::{self, Watch},
    },
};

/// Most customers of one rollout.
pub(crate) const MAX_CUSTOMERS: i64 = 10_000;

pub(crate) async fn create_customer(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    customer: Customer,
) -> ApiResult<StoredCustomer> {
    check_customer(app, &customer)?;
    let mut transaction = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut transaction, caller, "create_customer", key, &customer).await?
    {
        Begun::Replay(stored) => return Ok(stored),
        Begun::New(ticket) => ticket,
    };
    if !store::insert_customer(&mut transaction, &customer, &caller.subject, app.clock.now()).await? {
        return Err(ApiError::new(
            problem_types::CUSTOMER_EXISTS,
            format!("customer `{}` already exists", customer.slug),
        ));
    }
    let record = audit::Record::new("create_customer", object(&customer.slug)).after(&customer);
    audit::record(&mut transaction, caller, record).await?;
    let stored = store::get_customer(&mut transaction, &customer.slug).await?;
    ticket.finish(&mut transaction, &stored).await?;
    transaction.commit().await?;
    Ok(stored)
}

pub(crate) async fn get_customer(app: &App, slug: &CiId) -> ApiResult<StoredCustomer> {
    let mut conn = app.pool.acquire().await?;
    let mut stored = store::get_customer(&mut conn, slug).await?;
    stored.watch = health_watches::find_watch(&mut conn, slug).await?.as_ref().map(Watch::shown);
    Ok(stored)
}

pub(crate) async fn list_customers(
    app: &App,
    tier: Option<Tier>,
    request: &PageRequest,
) -> ApiResult<Page<StoredCustomer>> {
    let (limit, after) = (request.limit()?, request.after::<String>()?);
    let mut conn = app.pool.acquire().await?;
    let mut found =
        store::list_customers(&mut conn, tier.map(Tier::name), after.as_deref(), limit + 1).await?;
    let slugs: Vec<String> = found.iter().map(|stored| stored.customer.slug.to_string()).collect();
    for watch in health_watches::list_watches(&mut conn, &slugs).await? {
        if let Some(stored) = found.iter_mut().find(|stored| stored.customer.slug == watch.customer) {
            stored.watch = Some(watch.shown());
        }
    }
    Ok(page(found, limit, |stored| stored.customer.slug.to_string()))
}

/// Each given field replaces the stored one completely; `null` removes an optional field. What weakens a control waits for a
/// second person.
pub(crate) async fn update_customer(
    app: &App,
    caller: &Caller,
    slug: &CiId,
    if_match: &IfMatch,
    changes: Map<String, Value>,
) -> ApiResult<Outcome<StoredCustomer>> {
    let fixed_fields = [
        ("slug", "identifies the customer and cannot change"),
        ("current_version", "is changed only by rollouts: deploy a release, or roll one back"),
    ];
    for (fixed, reason) in fixed_fields {
        if changes.contains_key(fixed) {
            return Err(ApiError::invalid(format!("/{fixed}"), reason));
        }
    }
    let mut transaction = app.pool.begin().await?;
    let before = lock_customer(&mut transaction, slug).await?;
    if_match.check(before.revision)?;
    let body = Value::Object(changes.clone());
    let mut fields = serde_json::to_value(&before.customer)?;
    if let Value::Object(fields) = &mut fields {
        for (field, value) in changes {
            match value {
                Value::Null => drop(fields.remove(&field)),
                value => drop(fields.insert(field, value)),
            }
        }
    }
    let customer: Customer = serde_json::from_value(fields)
        .map_err(|error| ApiError::invalid("", format!("is not a customer: {error}")))?;
    check_customer(app, &customer)?;
    let write = Weakening {
        operation: "update_customer",
        object: object(slug),
        weakens: before.customer.weakened_by(&customer),
        body: Some(body),
        replaces: serde_json::to_value(release_config::changes(&object(slug), &before.customer, &customer)?)?,
    };
    if let Some(proposal) = second_person::ask(&mut transaction, caller, app.clock.now(), write).await? {
        transaction.commit().await?;
        return Ok(Outcome::Proposed(Box::new(proposal)));
    }
    store::update_customer(&mut transaction, &customer, &caller.subject, app.clock.now()).await?;
    let record =
        audit::Record::new("update_customer", object(slug)).before(&before.customer).after(&customer);
    audit::record(&mut transaction, caller, record).await?;
    let stored = store::get_customer(&mut transaction, slug).await?;
    transaction.commit().await?;
    Ok(Outcome::Done(stored))
}

/// Waits for a second person.
pub(crate) async fn delete_customer(
    app: &App,
    caller: &Caller,
    slug: &CiId,
    if_match: &IfMatch,
) -> ApiResult<Outcome<()>> {
    let mut transaction = app.pool.begin().await?;
    let before = lock_customer(&mut transaction, slug).await?;
    if_match.check(before.revision)?;
    if let Some(run) = store::find_lock(&mut transaction, slug).await? {
        return Err(ApiError::new(
            problem_types::CUSTOMER_IN_ROLLOUT,
            format!("customer `{slug}` is locked by run {run}"),
        ));
    }
    let write = Weakening {
        operation: "delete_customer",
        object: object(slug),
        weakens: before.customer.weakened_by_deletion(),
        body: None,
        replaces: serde_json::to_value(&before.customer)?,
    };
    if let Some(proposal) = second_person::ask(&mut transaction, caller, app.clock.now(), write).await? {
        transaction.commit().await?;
        return Ok(Outcome::Proposed(Box::new(proposal)));
    }
    health_watches::end_watch(&mut transaction, slug).await?;
    store::delete_customer(&mut transaction, slug).await?;
    let record = audit::Record::new("delete_customer", object(slug)).before(&before.customer);
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    Ok(Outcome::Done(()))
}

async fn lock_customer(conn: &mut PgConnection, slug: &CiId) -> ApiResult<StoredCustomer> {
    store::lock_customer(conn, slug).await?.ok_or_else(|| ApiError::not_found(format!("customer `{slug}`")))
}

/// The customers with these slugs, names or tiers; all customers for `all` or an empty list.
pub(crate) async fn resolve_customers(
    conn: &mut PgConnection,
    wanted: &[String],
) -> ApiResult<Vec<Customer>> {
    let all = store::list_customers(conn, None, None, MAX_CUSTOMERS).await?;
    let all: Vec<Customer> = all.into_iter().map(|stored| stored.customer).collect();
    let wanted: Vec<&str> = wanted.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
    if wanted.is_empty() || wanted.contains(&"all") {
        return Ok(all);
    }
    let mut chosen = BTreeSet::new();
    let mut unknown = Vec::new();
    for text in wanted {
        let tier = text.to_ascii_lowercase().parse::<Tier>().ok();
        let fits = |customer: &&Customer| {
            tier.is_some_and(|tier| customer.tier == tier)
                || customer.slug.as_str() == text
                || customer.name.eq_ignore_ascii_case(text)
        };
        let found: Vec<_> = all.iter().filter(fits).map(|customer| customer.slug.clone()).collect();
        if found.is_empty() {
            unknown.push(text.chars().take(80).collect::<String>());
        }
        chosen.extend(found);
    }
    if let [first, ..] = unknown.as_slice() {
        let hint = all
            .iter()
            .map(|c| c.slug.as_str())
            .find(|slug| slug.starts_with(first.chars().next().unwrap_or('-')));
        let hint = hint.map_or(String::new(), |slug| format!("; did you mean `{slug}`?"));
        let reason = format!("is not a customer or a tier: `{}`{hint}", unknown.join("`, `"));
        return Err(ApiError::invalid("/customers", reason));
    }
    Ok(all.into_iter().filter(|customer| chosen.contains(&customer.slug)).collect())
}

pub(super) fn object(slug: &CiId) -> String {
    format!("customer/{slug}")
}
