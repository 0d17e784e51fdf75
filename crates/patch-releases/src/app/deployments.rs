//! Deployments, and the reports of their deployers.

use api_types::{
    page::Page,
    patch::{CustomerDeployment, DeploymentCallback, DeploymentState},
};
use domain::{ids::CiId, release::Version};
use serde::Deserialize;
use service_kit::{
    ApiError, ApiResult, Caller, audit,
    page::{PageRequest, page},
    problem_types,
};
use uuid::Uuid;

use super::signed_requests::is_signed;
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

/// Records what a deployer reports. A repeated report, or one after the end, changes nothing.
pub(crate) async fn take_callback(app: &App, signature: &str, body: &[u8]) -> ApiResult<CustomerDeployment> {
    let secret = app.outside.webhook_secret.as_ref();
    if !secret.is_some_and(|secret| is_signed(secret, body, signature)) {
        let reason = "the body is not signed with the webhook secret";
        return Err(ApiError::new(problem_types::BAD_SIGNATURE, reason));
    }
    let SignedCallback { deployment_id: id, callback } = serde_json::from_slice(body)
        .map_err(|error| ApiError::malformed(format!("the callback is not valid: {error}")))?;
    if matches!(callback.state, DeploymentState::Requested | DeploymentState::Unknown) {
        return Err(ApiError::invalid("/state", "must be `running`, `succeeded` or `failed`"));
    }
    if callback.progress_percent.is_some_and(|percent| !(0..=100).contains(&percent)) {
        return Err(ApiError::invalid("/progress_percent", "must be 0 to 100"));
    }
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
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
