//! `/patch/policies/{id}/preview`.

use api_types::{
    patch::{PolicyPreview, PreviewPolicy},
    problem::Problem,
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::ids::PolicyId;
use service_kit::{ApiError, ApiResult, IdempotencyKey, Json, Operator, Path, Viewer};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, app::previews};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(preview_policy, preflight_policy))
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

/// Preview a policy, and check its hosts if `preflight` is set: a dry run starts, which the header Location names. It changes no
/// host and opens no change. With `changes`, the answer shows which missing fixes a change of the policy would add to the baselines
/// of its hosts and remove from them, and changes nothing.
#[utoipa::path(post, path = "/patch/policies/{id}/preview", tag = "policies", request_body = PreviewPolicy,
    params(("id" = String, Path, description = "policy"),
        ("Idempotency-Key" = Option<String>, Header, description = "the same key and body start one run")),
    responses((status = 200, body = PolicyPreview), (status = 202, body = PolicyPreview), (status = "4XX", body = Problem)))]
async fn preflight_policy(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Path(id): Path<PolicyId>,
    Json(request): Json<PreviewPolicy>,
) -> ApiResult<Response> {
    if let Some(changes) = request.changes {
        if request.preflight {
            let reason = "cannot be sent with `preflight`, which checks the policy as it is stored; leave one of them out";
            return Err(ApiError::invalid("/changes", reason));
        }
        return previews::preview_changes(&app, &id, changes)
            .await
            .map(|preview| Json(preview).into_response());
    }
    if !request.preflight {
        return previews::preview_policy(&app, &id).await.map(|preview| Json(preview).into_response());
    }
    let preview = previews::preflight_policy(&app, &caller, &key, &id).await?;
    let location = preview.preflight_run.map(|run| format!("/patch/runs/{run}")).unwrap_or_default();
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(preview)).into_response())
}
