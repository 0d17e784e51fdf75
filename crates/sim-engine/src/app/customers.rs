use api_types::{
    page::Page,
    sim_customers::{PutCustomerFaults, PutSimCustomer, SimCustomer, SimDeployment, StartSimDeployment},
};
use domain::ids::CiId;
use service_kit::{
    ApiError, ApiResult, Caller, FieldErrors, audit,
    page::{PageRequest, page},
    problem_types,
};
use uuid::Uuid;

use crate::{
    customer::{Customer, HealthAnswer},
    state::App,
    store::customers as store,
};

const MAX_FAULTS: usize = 20;
const MAX_DEPLOYMENT_SECONDS: u32 = 86_400;

pub async fn put_customer(
    app: &App,
    caller: &Caller,
    id: CiId,
    request: &PutSimCustomer,
) -> ApiResult<SimCustomer> {
    let mut errors = FieldErrors::default();
    let fits = request.deploy_seconds <= MAX_DEPLOYMENT_SECONDS;
    errors.require(fits, "/deploy_seconds", format!("must be at most {MAX_DEPLOYMENT_SECONDS}"));
    let fault = request.health.fault();
    errors.require(fault.is_none(), "/health", fault.unwrap_or_default());
    errors.finish()?;
    let now = app.clock.now();
    let customer = Customer::new(request, now);
    let mut tx = app.pool.begin().await?;
    store::upsert_customer(&mut tx, &id, &customer, now).await?;
    let customer = customer.into_wire(id);
    let record = audit::Record::new("put_customer", format!("customer/{}", customer.id)).after(&customer);
    audit::record(&mut tx, caller, record).await?;
    tx.commit().await?;
    Ok(customer)
}

pub async fn get_customer(app: &App, id: CiId) -> ApiResult<SimCustomer> {
    read_customer(app, &id).await.map(|customer| customer.into_wire(id))
}

pub async fn list_customers(app: &App, request: &PageRequest) -> ApiResult<Page<SimCustomer>> {
    let (limit, after) = (request.limit()?, request.after::<String>()?);
    let mut conn = app.pool.acquire().await?;
    let rows = store::list_customers(&mut conn, after.as_deref(), limit + 1).await?;
    let customers = rows.into_iter().map(|(id, mut customer)| {
        customer.advance(app.clock.now());
        customer.into_wire(id)
    });
    Ok(page(customers.collect(), limit, |customer: &SimCustomer| customer.id.to_string()))
}

pub async fn delete_customer(app: &App, caller: &Caller, id: &CiId) -> ApiResult<()> {
    let mut tx = app.pool.begin().await?;
    store::delete_customer(&mut tx, id).await?;
    audit::record(&mut tx, caller, audit::Record::new("delete_customer", format!("customer/{id}"))).await?;
    tx.commit().await?;
    Ok(())
}

pub async fn put_customer_faults(
    app: &App,
    caller: &Caller,
    id: CiId,
    request: PutCustomerFaults,
) -> ApiResult<SimCustomer> {
    if request.faults.len() > MAX_FAULTS {
        return Err(ApiError::invalid("/faults", format!("must be at most {MAX_FAULTS}")));
    }
    let now = app.clock.now();
    let mut tx = app.pool.begin().await?;
    let mut customer = store::lock_customer(&mut tx, &id).await?;
    customer.advance(now);
    let record = audit::Record::new("put_customer_faults", format!("customer/{id}")).before(&customer.faults);
    customer.faults = request.faults;
    audit::record(&mut tx, caller, record.after(&customer.faults)).await?;
    store::upsert_customer(&mut tx, &id, &customer, now).await?;
    tx.commit().await?;
    Ok(customer.into_wire(id))
}

/// Starts a deployment. For an id that is known, it returns the deployment of this id.
pub async fn start_deployment(
    app: &App,
    caller: &Caller,
    id: &CiId,
    request: &StartSimDeployment,
) -> ApiResult<SimDeployment> {
    let now = app.clock.now();
    let mut tx = app.pool.begin().await?;
    let mut customer = store::lock_customer(&mut tx, id).await?;
    let is_new = customer.find(request.deployment_id).is_none();
    let deployment = customer.deploy(request, now).map_err(|running| {
        ApiError::new(problem_types::DEPLOYMENT_UNDER_WAY, format!("customer `{id}`: {running}"))
    })?;
    if is_new {
        let object = format!("customer/{id}/deployment/{}", request.deployment_id);
        let record = audit::Record::new("start_deployment", object).after(&deployment);
        audit::record(&mut tx, caller, record).await?;
    }
    store::upsert_customer(&mut tx, id, &customer, now).await?;
    tx.commit().await?;
    Ok(deployment)
}

pub async fn get_deployment(app: &App, id: &CiId, deployment: Uuid) -> ApiResult<SimDeployment> {
    let customer = read_customer(app, id).await?;
    let found = customer.find(deployment).cloned();
    found.ok_or_else(|| ApiError::not_found(format!("deployment `{deployment}` of customer `{id}`")))
}

pub async fn check_health(app: &App, id: &CiId) -> ApiResult<HealthAnswer> {
    Ok(read_customer(app, id).await?.check_health(app.clock.now()))
}

/// The customer as it is now. Progress is computed from what is stored, so a read does not store it.
async fn read_customer(app: &App, id: &CiId) -> ApiResult<Customer> {
    let mut conn = app.pool.acquire().await?;
    let mut customer = store::get_customer(&mut conn, id).await?;
    customer.advance(app.clock.now());
    Ok(customer)
}
