//! `/itsm/incidents`.

use api_types::{
    itsm::{CreateIncident, Incident, ResolveIncident, UpdateIncident},
    page::Page,
    problem::Problem,
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use service_kit::{
    ApiResult, IdempotencyKey, IfMatch, Json, Operator, Path, Query, Viewer,
    extract::{Created, Tagged},
    page::PageRequest,
};

use crate::{
    app::{Made, incidents},
    state::App,
    store::incidents::IncidentFilter,
};

/// List incidents, newest first.
#[utoipa::path(get, path = "/itsm/incidents", tag = "incidents", params(IncidentFilter, PageRequest),
    responses((status = 200, body = Page<Incident>), (status = "4XX", body = Problem)))]
pub async fn list_incidents(
    State(app): State<App>,
    _: Viewer,
    Query(filter): Query<IncidentFilter>,
    page: PageRequest,
) -> ApiResult<Json<Page<Incident>>> {
    incidents::list_incidents(&app, filter, page).await.map(Json)
}

/// Open an incident; 200 with the existing one if its `correlation_id` is known.
#[utoipa::path(post, path = "/itsm/incidents", tag = "incidents", request_body = CreateIncident,
    responses((status = 201, body = Incident), (status = 200, body = Incident), (status = "4XX", body = Problem)))]
pub async fn create_incident(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Json(request): Json<CreateIncident>,
) -> ApiResult<Response> {
    Ok(match incidents::create_incident(&app, &caller, &key, request).await? {
        Made::New(incident) => {
            Created(format!("/itsm/incidents/{}", incident.id), Tagged::of(incident)).into_response()
        }
        Made::Existing(incident) => Tagged::of(incident).into_response(),
    })
}

/// Read an incident.
#[utoipa::path(get, path = "/itsm/incidents/{id}", tag = "incidents",
    params(("id" = String, Path, description = "incident")),
    responses((status = 200, body = Incident), (status = "4XX", body = Problem)))]
pub async fn get_incident(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<String>,
) -> ApiResult<Tagged<Incident>> {
    incidents::get_incident(&app, &id).await.map(Tagged::of)
}

/// Edit an incident, link it to a problem, or open a resolved one again by naming its state.
#[utoipa::path(patch, path = "/itsm/incidents/{id}", tag = "incidents", request_body = UpdateIncident,
    params(("id" = String, Path, description = "incident")),
    responses((status = 200, body = Incident), (status = "4XX", body = Problem)))]
pub async fn update_incident(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<String>,
    if_match: IfMatch,
    Json(request): Json<UpdateIncident>,
) -> ApiResult<Tagged<Incident>> {
    incidents::update_incident(&app, &caller, &id, &if_match, request).await.map(Tagged::of)
}

/// Resolve an incident.
#[utoipa::path(post, path = "/itsm/incidents/{id}/resolve", tag = "incidents", request_body = ResolveIncident,
    params(("id" = String, Path, description = "incident")),
    responses((status = 200, body = Incident), (status = "4XX", body = Problem)))]
pub async fn resolve_incident(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<String>,
    if_match: IfMatch,
    key: IdempotencyKey,
    Json(request): Json<ResolveIncident>,
) -> ApiResult<Tagged<Incident>> {
    incidents::resolve_incident(&app, &caller, &id, &if_match, &key, request).await.map(Tagged::of)
}
