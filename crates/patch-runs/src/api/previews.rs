//! `/patch/policies/{id}/preview`.

use api_types::{patch::PolicyPreview, problem::Problem};
use axum::extract::State;
use domain::ids::PolicyId;
use service_kit::{ApiResult, Json, Path, Viewer};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, app::previews};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(preview_policy))
}

/// Preview a policy: current targets, next occurrences and the freezes that block them, conflicts with other policies, and which
/// policy takes precedence.
#[utoipa::path(get, path = "/patch/policies/{id}/preview", tag = "policies", params(("id" = String, Path, description = "policy")),
    responses((status = 200, body = PolicyPreview), (status = "4XX", body = Problem)))]
async fn preview_policy(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<PolicyId>,
) -> ApiResult<Json<PolicyPreview>> {
    previews::preview_policy(&app, &id).await.map(Json)
}
