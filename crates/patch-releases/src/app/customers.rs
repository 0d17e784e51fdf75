//! Customers and the release policies: made, changed, applied from files.

use std::collections::BTreeSet;

use api_types::{
    patch::{ApplyConfig, ConfigChange, ConfigDiff, StoredCustomer, StoredReleasePolicies},
    problem::FieldError,
};
use domain::{
    ids::CiId,
    release::{CheckRun, Customer, Deployer, HealthSource, ReleasePolicies, Tier},
};
use serde_json::{Map, Value};
use service_kit::{
    ApiError, ApiResult, Caller, IdempotencyKey, IfMatch, audit,
    idempotency::{self, Begun},
    problem_types,
};
use sqlx::PgConnection;

use crate::{
    App,
    store::{customers as store, deployments},
};

/// More customers than this have no place in one rollout.
pub(crate) const MOST: i64 = 10_000;

pub(crate) async fn create_customer(
    app: &App,
    caller: &Caller,
    key: &IdempotencyKey,
    customer: Customer,
) -> ApiResult<StoredCustomer> {
    refuse(check_customer(app, &customer, ""))?;
    let mut transaction = app.pool.begin().await?;
    let ticket = match idempotency::begin(&mut transaction, caller, "create_customer", key, &customer).await?
    {
        Begun::Replay(stored) => return Ok(stored),
        Begun::New(ticket) => ticket,
    };
    if !store::insert_customer(&mut transaction, &customer, &caller.subject, app.clock.now()).await? {
        return Err(ApiError::new(
            problem_types::CUSTOMER_EXISTS,
            format!("there is a customer `{}` already", customer.slug),
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
    stored.watch = deployments::find_watch(&mut conn, slug).await?.map(|watch| watch.shown());
    Ok(stored)
}

pub(crate) async fn list_customers(
    app: &App,
    tier: Option<Tier>,
    after: Option<&str>,
    limit: i64,
) -> ApiResult<Vec<StoredCustomer>> {
    let mut conn = app.pool.acquire().await?;
    let mut found = store::list_customers(&mut conn, tier.map(Tier::name), after, limit).await?;
    let slugs: Vec<String> = found.iter().map(|stored| stored.customer.slug.to_string()).collect();
    for watch in deployments::list_watches(&mut conn, &slugs).await? {
        if let Some(stored) = found.iter_mut().find(|stored| stored.customer.slug == watch.customer) {
            stored.watch = Some(watch.shown());
        }
    }
    Ok(found)
}

/// Fields that are named replace the stored ones whole; `null` takes an optional one away.
pub(crate) async fn update_customer(
    app: &App,
    caller: &Caller,
    slug: &CiId,
    if_match: &IfMatch,
    changes: Map<String, Value>,
) -> ApiResult<StoredCustomer> {
    for fixed in ["slug", "current_version"] {
        if changes.contains_key(fixed) {
            let reason = match fixed {
                "slug" => "names the customer and cannot change",
                _ => "is moved by rollouts alone: deploy a release, or roll one back",
            };
            return Err(ApiError::invalid(format!("/{fixed}"), reason));
        }
    }
    let mut transaction = app.pool.begin().await?;
    let before = locked(&mut transaction, slug).await?;
    if_match.check(before.revision)?;
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
        .map_err(|error| ApiError::invalid("", format!("is no customer: {error}")))?;
    refuse(check_customer(app, &customer, ""))?;
    store::update_customer(&mut transaction, &customer, &caller.subject, app.clock.now()).await?;
    let record =
        audit::Record::new("update_customer", object(slug)).before(&before.customer).after(&customer);
    audit::record(&mut transaction, caller, record).await?;
    let stored = store::get_customer(&mut transaction, slug).await?;
    transaction.commit().await?;
    Ok(stored)
}

pub(crate) async fn delete_customer(
    app: &App,
    caller: &Caller,
    slug: &CiId,
    if_match: &IfMatch,
) -> ApiResult<()> {
    let mut transaction = app.pool.begin().await?;
    let before = locked(&mut transaction, slug).await?;
    if_match.check(before.revision)?;
    if let Some(run) = store::find_lock(&mut transaction, slug).await? {
        return Err(ApiError::new(
            problem_types::CUSTOMER_IN_ROLLOUT,
            format!("customer `{slug}` is in the hands of run {run}"),
        ));
    }
    deployments::end_watch(&mut transaction, slug).await?;
    store::delete_customer(&mut transaction, slug).await?;
    let record = audit::Record::new("delete_customer", object(slug)).before(&before.customer);
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    Ok(())
}

async fn locked(conn: &mut PgConnection, slug: &CiId) -> ApiResult<StoredCustomer> {
    store::lock_customer(conn, slug).await?.ok_or_else(|| ApiError::not_found(format!("customer `{slug}`")))
}

pub(crate) async fn get_policies(app: &App) -> ApiResult<StoredReleasePolicies> {
    let mut conn = app.pool.acquire().await?;
    store::get_policies(&mut conn).await
}

/// Takes files over: all of it, or nothing; or tells what it would change.
pub(crate) async fn apply_config(app: &App, caller: &Caller, request: &ApplyConfig) -> ApiResult<ConfigDiff> {
    let mut faults = Vec::new();
    let customers = request.customers.as_deref().unwrap_or_default();
    if customers.len() > MOST as usize {
        return Err(ApiError::invalid("/customers", format!("must be at most {MOST}")));
    }
    let mut slugs = BTreeSet::new();
    for (index, customer) in customers.iter().enumerate() {
        faults.append(&mut check_customer(app, customer, &format!("/customers/{index}")));
        if !slugs.insert(&customer.slug) {
            faults.push(fault(format!("/customers/{index}/slug"), "is there twice"));
        }
    }
    if let Some(policies) = &request.policies {
        faults.append(&mut check_policies(app, policies));
    }
    faults.truncate(100);
    refuse(faults)?;

    let (by, now) = (&caller.subject, app.clock.now());
    let mut diff = ConfigDiff { dry_run: request.dry_run, ..ConfigDiff::default() };
    let mut transaction = app.pool.begin().await?;
    for customer in customers {
        match store::lock_customer(&mut transaction, &customer.slug).await? {
            None => {
                store::insert_customer(&mut transaction, customer, by, now).await?;
                let record = audit::Record::new("create_customer", object(&customer.slug)).after(customer);
                audit::record(&mut transaction, caller, record).await?;
                diff.created.push(customer.slug.clone());
            }
            Some(before) => {
                // The file says where a customer began; where it is by now, rollouts know.
                let customer =
                    Customer { current_version: before.customer.current_version, ..customer.clone() };
                let changes = changes(&object(&customer.slug), &before.customer, &customer)?;
                if changes.is_empty() {
                    diff.unchanged += 1;
                    continue;
                }
                store::update_customer(&mut transaction, &customer, by, now).await?;
                let record = audit::Record::new("update_customer", object(&customer.slug));
                let record = record.before(&before.customer).after(&customer);
                audit::record(&mut transaction, caller, record).await?;
                diff.changed.extend(changes);
            }
        }
    }
    if request.customers.is_some() {
        let stored = store::list_customers(&mut transaction, None, None, MOST).await?;
        diff.not_named =
            stored.into_iter().map(|s| s.customer.slug).filter(|slug| !slugs.contains(slug)).collect();
    }
    if let Some(policies) = &request.policies {
        let before = store::get_policies(&mut transaction).await?;
        let changes = changes("release-policies", &before.policies, policies)?;
        if changes.is_empty() {
            diff.unchanged += 1;
        } else {
            store::upsert_policies(&mut transaction, policies, by, now).await?;
            let record = audit::Record::new("update_release_policies", "release-policies");
            audit::record(&mut transaction, caller, record.before(&before.policies).after(policies)).await?;
            diff.changed.extend(changes);
        }
    }
    match request.dry_run {
        true => transaction.rollback().await?,
        false => transaction.commit().await?,
    }
    Ok(diff)
}

/// The customers that texts speak of: slugs, names, tiers, `all`; everybody when nobody is named.
pub(crate) async fn resolve(conn: &mut PgConnection, wanted: &[String]) -> ApiResult<Vec<Customer>> {
    let all = store::list_customers(conn, None, None, MOST).await?;
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
        let reason = format!("names no customer and no tier: `{}`{hint}", unknown.join("`, `"));
        return Err(ApiError::invalid("/customers", reason));
    }
    Ok(all.into_iter().filter(|customer| chosen.contains(&customer.slug)).collect())
}

fn check_customer(app: &App, customer: &Customer, at: &str) -> Vec<FieldError> {
    let mut faults: Vec<FieldError> = customer
        .faults()
        .into_iter()
        .map(|(pointer, reason)| fault(format!("{at}{pointer}"), &reason))
        .collect();
    let urls = [
        (
            "/health",
            match &customer.health {
                HealthSource::Http { url } | HealthSource::Prometheus { url, .. } => Some(url),
                HealthSource::Sim => None,
            },
        ),
        (
            "/deployer",
            match &customer.deployer {
                Deployer::Webhook { url } => Some(url),
                Deployer::Sim | Deployer::Playbook { .. } => None,
            },
        ),
    ];
    for (pointer, url) in urls {
        if let Some(Err(refusal)) = url.map(|url| app.outside.receivers.check(url)) {
            faults.push(fault(format!("{at}{pointer}/url"), &refusal.to_string()));
        }
    }
    if let Deployer::Playbook { address, host_key, .. } = &customer.deployer {
        if address.parse::<ansible::Address>().is_err() {
            faults.push(fault(format!("{at}/deployer/address"), "must be a host name or an IP address"));
        }
        if let Some(Err(error)) = host_key.as_ref().map(|key| key.parse::<ansible::HostKey>()) {
            faults.push(fault(format!("{at}/deployer/host_key"), &error.to_string()));
        }
    }
    faults
}

fn check_policies(app: &App, policies: &ReleasePolicies) -> Vec<FieldError> {
    let mut faults: Vec<FieldError> = policies
        .faults()
        .into_iter()
        .map(|(pointer, reason)| fault(format!("/policies{pointer}"), &reason))
        .collect();
    for (list, checks) in [("validation", &policies.validation), ("smoke_tests", &policies.smoke_tests)] {
        for (index, check) in checks.iter().enumerate() {
            if let CheckRun::Webhook { url } = &check.run
                && let Err(refusal) = app.outside.receivers.check(url)
            {
                faults.push(fault(format!("/policies/{list}/{index}/run/url"), &refusal.to_string()));
            }
        }
    }
    faults
}

fn fault(pointer: String, detail: &str) -> FieldError {
    FieldError { pointer, detail: detail.to_owned() }
}

fn refuse(faults: Vec<FieldError>) -> ApiResult<()> {
    match faults.is_empty() {
        true => Ok(()),
        false => Err(ApiError::invalid_fields(faults)),
    }
}

fn object(slug: &CiId) -> String {
    format!("customer/{slug}")
}

/// A list whose items all have a name, by these; `None` for any other value.
fn by_name(value: &Value) -> Option<Value> {
    let items = value.as_array()?;
    let named = items.iter().map(|item| Some((item.get("name")?.as_str()?.to_owned(), item.clone())));
    let named: Map<String, Value> = named.collect::<Option<_>>()?;
    (named.len() == items.len()).then_some(Value::Object(named))
}

/// Field by field, as deep as objects and lists of named things go.
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
