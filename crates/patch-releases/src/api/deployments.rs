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

/// Report the progress or the result of a deployment as its deployer: `{"deployment_id", "state", ...}`, signed as the Standard
/// Webhooks specification says with the secret of the request that it received, until `callback_deadline`. An id is accepted once; a
/// repeated report changes nothing.
#[utoipa::path(post, path = "/patch/callbacks/deployments", tag = "releases",
    params(("webhook-id" = String, Header, description = "id of this message, at most 256 visible characters"),
        ("webhook-timestamp" = i64, Header, description = "seconds since 1970, at most 5 minutes off"),
        ("webhook-signature" = String, Header, description = "v1,<HMAC-SHA256 over id.timestamp.body in base64>")),
    request_body(content = DeploymentCallback, content_type = "application/json"),
    responses((status = 200, body = CustomerDeployment), (status = "4XX", body = Problem)), security(()))]
async fn take_callback(
    State(app): State<App>,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<Json<CustomerDeployment>> {
    deployments::take_callback(&app, &headers, &body).await.map(Json)
}
