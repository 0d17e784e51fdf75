use api_types::{
    page::Page,
    sim_customers::{PutCustomerFaults, PutSimCustomer, SimCustomer, SimDeployment, StartSimDeployment},
};
use domain::ids::CiId;
use service_kit::{
    ApiError, ApiResult, Caller, audit,
    page::{PageRequest, page},
    problem_types,
};
use uuid::Uuid;

use super::Complaints;
use crate::{
    customer::{Customer, Seen},
    service::SimState,
    store::customers as store,
};

const MOST_FAULTS: usize = 20;
const LONGEST_DEPLOYMENT_SECONDS: u32 = 86_400;

pub async fn put_customer(
    state: &SimState,
    caller: &Caller,
    id: CiId,
    request: &PutSimCustomer,
) -> ApiResult<SimCustomer> {
    let mut complaints = Complaints::default();
    let fits = request.deploy_seconds <= LONGEST_DEPLOYMENT_SECONDS;
    complaints.check(fits, "/deploy_seconds", format!("must be at most {LONGEST_DEPLOYMENT_SECONDS}"));
    let fault = request.health.fault();
    complaints.check(fault.is_none(), "/health", fault.unwrap_or_default());
    complaints.settle()?;
    let now = state.clock.now();
    let customer = Customer::new(request, now);
    let mut transaction = state.pool.begin().await?;
    store::upsert_customer(&mut transaction, &id, &customer, now).await?;
    let shown = customer.shown(id.clone());
    let record = audit::Record::new("put_customer", format!("customer/{id}")).after(&shown);
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    Ok(shown)
}

pub async fn get_customer(state: &SimState, id: CiId) -> ApiResult<SimCustomer> {
    settled(state, &id).await.map(|customer| customer.shown(id))
}

pub async fn list_customers(state: &SimState, request: &PageRequest) -> ApiResult<Page<SimCustomer>> {
    let (limit, after) = (request.limit()?, request.after::<String>()?);
    let now = state.clock.now();
    let mut connection = state.pool.acquire().await?;
    let rows = store::list_customers(&mut connection, after.as_deref(), limit + 1).await?;
    let shown = |(id, mut customer): (CiId, Customer)| {
        customer.settle(now);
        customer.shown(id)
    };
    Ok(page(rows.into_iter().map(shown).collect(), limit, |customer: &SimCustomer| customer.id.to_string()))
}

pub async fn delete_customer(state: &SimState, caller: &Caller, id: &CiId) -> ApiResult<()> {
    let mut transaction = state.pool.begin().await?;
    store::delete_customer(&mut transaction, id).await?;
    let record = audit::Record::new("delete_customer", format!("customer/{id}"));
    audit::record(&mut transaction, caller, record).await?;
    transaction.commit().await?;
    Ok(())
}

pub async fn put_customer_faults(
    state: &SimState,
    caller: &Caller,
    id: CiId,
    request: PutCustomerFaults,
) -> ApiResult<SimCustomer> {
    if request.faults.len() > MOST_FAULTS {
        return Err(ApiError::invalid("/faults", format!("must be at most {MOST_FAULTS}")));
    }
    let now = state.clock.now();
    let mut transaction = state.pool.begin().await?;
    let mut customer = store::lock_customer(&mut transaction, &id).await?;
    customer.settle(now);
    let record = audit::Record::new("put_customer_faults", format!("customer/{id}")).before(&customer.faults);
    customer.faults = request.faults;
    audit::record(&mut transaction, caller, record.after(&customer.faults)).await?;
    store::upsert_customer(&mut transaction, &id, &customer, now).await?;
    transaction.commit().await?;
    Ok(customer.shown(id))
}

/// Begins a deployment; asked again under the same id it gives the one that was begun.
pub async fn start_deployment(
    state: &SimState,
    caller: &Caller,
    id: &CiId,
    request: &StartSimDeployment,
) -> ApiResult<SimDeployment> {
    let now = state.clock.now();
    let mut transaction = state.pool.begin().await?;
    let mut customer = store::lock_customer(&mut transaction, id).await?;
    let is_new = customer.find(request.deployment_id).is_none();
    let deployment = customer.deploy(request, now).map_err(|busy| {
        ApiError::new(problem_types::DEPLOYMENT_UNDER_WAY, format!("customer `{id}`: {busy}"))
    })?;
    if is_new {
        let object = format!("customer/{id}/deployment/{}", request.deployment_id);
        let record = audit::Record::new("start_deployment", object).after(&deployment);
        audit::record(&mut transaction, caller, record).await?;
    }
    store::upsert_customer(&mut transaction, id, &customer, now).await?;
    transaction.commit().await?;
    Ok(deployment)
}

pub async fn get_deployment(state: &SimState, id: &CiId, deployment: Uuid) -> ApiResult<SimDeployment> {
    let customer = settled(state, id).await?;
    let found = customer.find(deployment).cloned();
    found.ok_or_else(|| ApiError::not_found(format!("deployment `{deployment}` of customer `{id}`")))
}

pub async fn look(state: &SimState, id: &CiId) -> ApiResult<Seen> {
    let customer = settled(state, id).await?;
    Ok(customer.look(state.clock.now()))
}

/// What it is by now; stored when that changes with the next deployment, for it follows from what is stored.
async fn settled(state: &SimState, id: &CiId) -> ApiResult<Customer> {
    let mut connection = state.pool.acquire().await?;
    let mut customer = store::get_customer(&mut connection, id).await?;
    customer.settle(state.clock.now());
    Ok(customer)
}
