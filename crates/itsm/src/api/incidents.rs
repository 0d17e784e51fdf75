//! `/itsm/incidents`.

use api_types::{
    itsm::{CreateIncident, Incident, IncidentState, ResolveIncident, Severity, UpdateIncident},
    page::Page,
    problem::Problem,
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use domain::ids::{ChangeId, CiId};
use serde::Deserialize;
use service_kit::{
    ApiResult, IdempotencyKey, IfMatch, Json, Operator, Path, Query, Viewer, extract::Tagged,
    page::PageRequest,
};
use utoipa::IntoParams;

use super::created;
use crate::{
    app::{App, Made, incidents},
    store::incidents::IncidentFilter,
};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct IncidentParams {
    /// Only incidents in this state.
    state: Option<IncidentState>,
    /// Only incidents of this severity.
    severity: Option<Severity>,
    /// Only incidents of this CI.
    #[param(value_type = Option<String>)]
    ci: Option<CiId>,
    /// Only incidents of this change.
    #[param(value_type = Option<String>)]
    change_id: Option<ChangeId>,
    /// Only incidents that point to this problem.
    problem_id: Option<String>,
    /// The incident with this name of its reporter's.
    correlation_id: Option<String>,
    /// Most items of the page, 1 to 1000; 100 when unsaid.
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

/// List incidents, newest first.
#[utoipa::path(get, path = "/itsm/incidents", tag = "incidents", params(IncidentParams),
    responses((status = 200, body = Page<Incident>), (status = "4XX", body = Problem)))]
pub async fn list_incidents(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<IncidentParams>,
) -> ApiResult<Json<Page<Incident>>> {
    let IncidentParams { state, severity, ci, change_id, problem_id, correlation_id, limit, page_token } =
        params;
    let filter = IncidentFilter { state, severity, ci, change_id, problem_id, correlation_id };
    incidents::list_incidents(&app, filter, PageRequest::new(limit, page_token)).await.map(Json)
}

/// Open an incident; 200 with the one there is when its `correlation_id` is known.
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
            created(format!("/itsm/incidents/{}", incident.id), incident.version, incident)
        }
        Made::Existing(incident) => Tagged(incident.version, incident).into_response(),
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
    let incident = incidents::get_incident(&app, &id).await?;
    Ok(Tagged(incident.version, incident))
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
    let incident = incidents::update_incident(&app, &caller, &id, &if_match, request).await?;
    Ok(Tagged(incident.version, incident))
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
    let incident = incidents::resolve_incident(&app, &caller, &id, &if_match, &key, request).await?;
    Ok(Tagged(incident.version, incident))
}
