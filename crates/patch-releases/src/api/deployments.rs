//! `/patch/deployments`, and the callbacks of deployers.

use api_types::{
    page::Page,
    patch::{CustomerDeployment, DeploymentCallback},
    problem::Problem,
};
use axum::{body::Bytes, extract::State, http::HeaderMap};
use domain::{ids::CiId, release::Version};
use serde::Deserialize;
use service_kit::{ApiResult, Json, Query, Viewer, page::PageRequest};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, app::deployments};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_deployments)).routes(routes!(take_callback))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct DeploymentParams {
    /// Only to this customer.
    #[param(value_type = Option<String>)]
    customer: Option<CiId>,
    /// Only of this release.
    #[param(value_type = Option<String>)]
    version: Option<Version>,
}

/// List deployments to customers, newest first.
#[utoipa::path(get, path = "/patch/deployments", tag = "releases", params(DeploymentParams, PageRequest),
    responses((status = 200, body = Page<CustomerDeployment>), (status = "4XX", body = Problem)))]
async fn list_deployments(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<DeploymentParams>,
    page: PageRequest,
) -> ApiResult<Json<Page<CustomerDeployment>>> {
    deployments::list_deployments(&app, params.customer.as_ref(), params.version, &page).await.map(Json)
}

/// Report the progress or the result of a deployment as its deployer: `{"deployment_id", "state", ...}`, signed in `X-Signature`
/// like the request it received. A repeated report changes nothing.
#[utoipa::path(post, path = "/patch/callbacks/deployments", tag = "releases",
    params(("X-Signature" = String, Header, description = "a=sha256&s=<HMAC of the body in hexadecimal>")),
    request_body(content = DeploymentCallback, content_type = "application/json"),
    responses((status = 200, body = CustomerDeployment), (status = "4XX", body = Problem)), security(()))]
async fn take_callback(
    State(app): State<App>,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<Json<CustomerDeployment>> {
    let signature = headers.get("x-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
    deployments::take_callback(&app, signature, &body).await.map(Json)
}
