//! Deployments, and the reports of their deployers.

use api_types::{
    page::Page,
    patch::{CustomerDeployment, DeploymentCallback, DeploymentState},
};
use axum::http::HeaderMap;
use domain::{ids::CiId, release::Version};
use serde::Deserialize;
use service_kit::{
    ApiError, ApiResult, Caller, audit,
    page::{PageRequest, page},
    problem_types,
    webhooks::accept_callback,
};
use uuid::Uuid;

use crate::{App, SERVICE, store::deployments as store};

pub(crate) async fn list_deployments(
    app: &App,
    customer: Option<&CiId>,
    version: Option<Version>,
    request: &PageRequest,
) -> ApiResult<Page<CustomerDeployment>> {
    let (limit, before) = (request.limit()?, request.after::<Uuid>()?);
    let mut conn = app.pool.acquire().await?;
    let found = store::list_deployments(&mut conn, customer, version, before, limit + 1).await?;
    Ok(page(found, limit, |deployment| deployment.id))
}

#[derive(Debug, Deserialize)]
struct SignedCallback {
    deployment_id: Uuid,
    #[serde(flatten)]
    callback: DeploymentCallback,
}

/// Records what a deployer reports, if it is the one that was asked, in time. A repeated report, or one after the end, changes
/// nothing.
pub(crate) async fn take_callback(
    app: &App,
    headers: &HeaderMap,
    body: &[u8],
) -> ApiResult<CustomerDeployment> {
    let SignedCallback { deployment_id: id, callback } = serde_json::from_slice(body)
        .map_err(|error| ApiError::malformed(format!("the callback is not valid: {error}")))?;
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    // A stranger learns nothing about deployments: the answer is the same without one.
    let expected = store::find_callback(&mut transaction, id).await?.ok_or_else(|| {
        let reason = "no signature fits the message and the secret that is expected";
        ApiError::new(problem_types::BAD_SIGNATURE, reason)
    })?;
    let key = &app.outside.webhook_key;
    accept_callback(&mut transaction, key, expected.receiver, (headers, body), now).await?;
    if now > expected.deadline {
        let reason = format!("the deadline of deployment `{id}` was {}", expected.deadline);
        return Err(ApiError::new(problem_types::CALLBACK_LATE, reason));
    }
    if matches!(callback.state, DeploymentState::Requested | DeploymentState::Unknown) {
        return Err(ApiError::invalid("/state", "must be `running`, `succeeded` or `failed`"));
    }
    if callback.progress_percent.is_some_and(|percent| !(0..=100).contains(&percent)) {
        return Err(ApiError::invalid("/progress_percent", "must be 0 to 100"));
    }
    let before = store::find_deployment(&mut transaction, id).await?;
    let before = before.ok_or_else(|| ApiError::not_found(format!("deployment `{id}`")))?;
    let is_recorded = store::update_deployment(
        &mut transaction,
        id,
        callback.state,
        callback.progress_percent,
        callback.previous_version,
        callback.detail.as_deref(),
        now,
    )
    .await?;
    if !is_recorded && before.state != callback.state {
        let reason = format!("deployment `{id}` has already ended as {:?}", before.state).to_lowercase();
        return Err(ApiError::new(problem_types::DEPLOYMENT_ENDED, reason));
    }
    let after = store::find_deployment(&mut transaction, id).await?.unwrap_or_else(|| before.clone());
    if is_recorded {
        let deployer = Caller::internal(SERVICE, format!("deployer:{}", after.customer));
        let record = audit::Record::new("take_callback", format!("deployment/{id}"));
        audit::record(&mut transaction, &deployer, record.before(&before).after(&after)).await?;
    }
    transaction.commit().await?;
    Ok(after)
}
