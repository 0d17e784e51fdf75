//! `/patch/compliance/timeliness` and `/patch/service-levels`: due dates, and whether they are met.

use api_types::{
    access::Proposal,
    patch::{ServiceLevels, TimelinessReport},
    problem::Problem,
};
use axum::{extract::State, response::Response};
use serde::Deserialize;
use service_kit::{Admin, ApiResult, Json, Query, Viewer, second_person::respond};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, app::sla};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(get_timeliness))
        .routes(routes!(get_service_levels, set_service_levels))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct TimelinessParams {
    /// Months of installed fixes to count, including this one: 1 to 120; 12 by default.
    months: Option<u32>,
}

/// What is overdue, how long fixes took and how long hosts are exposed: by policy, environment, OS, tier, owner, cluster.
#[utoipa::path(get, path = "/patch/compliance/timeliness", tag = "compliance", params(TimelinessParams),
    responses((status = 200, body = TimelinessReport), (status = "4XX", body = Problem)))]
async fn get_timeliness(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<TimelinessParams>,
) -> ApiResult<Json<TimelinessReport>> {
    sla::get_timeliness(&app, params.months.unwrap_or(12)).await.map(Json)
}

/// Days from publication to due date.
#[utoipa::path(get, path = "/patch/service-levels", tag = "compliance",
    responses((status = 200, body = ServiceLevels), (status = "4XX", body = Problem)))]
async fn get_service_levels(State(app): State<App>, _: Viewer) -> ApiResult<Json<ServiceLevels>> {
    sla::get_service_levels(&app).await.map(Json)
}

/// Change the days from publication to due date; every due date changes with them. 202 with a proposal if any time becomes longer:
/// a second person must confirm it.
#[utoipa::path(put, path = "/patch/service-levels", tag = "compliance", request_body = ServiceLevels,
    responses((status = 200, body = ServiceLevels), (status = 202, body = Proposal), (status = "4XX", body = Problem)))]
async fn set_service_levels(
    State(app): State<App>,
    caller: Admin,
    Json(levels): Json<ServiceLevels>,
) -> ApiResult<Response> {
    let outcome = sla::set_service_levels(&app, &caller, levels).await?;
    Ok(respond(outcome, Json))
}
