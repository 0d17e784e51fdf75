//! `/patch/calendars`: freezes, as fields and as iCalendar.

use api_types::{
    access::Proposal,
    page::Page,
    patch::{AskFreezes, Calendar, CreateCalendar, FreezeConflicts},
    problem::Problem,
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use service_kit::{
    ApiResult, IdempotencyKey, Json, Operator, Path, Query, Viewer, extract::Created, page::PageRequest,
    second_person::respond,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{App, app::calendars};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_calendars, create_calendar))
        .routes(routes!(find_freezes))
        .routes(routes!(get_calendar, delete_calendar))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum CalendarFormat {
    Json,
    Ical,
}

/// The parameter wins over the header Accept.
fn wants_ical(format: Option<CalendarFormat>, headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    format.map_or(accept.contains("text/calendar"), |format| format == CalendarFormat::Ical)
}

fn ical(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/calendar; charset=utf-8")], text).into_response()
}

/// Add a freeze, as a start and an end or as iCalendar text. While it lasts, no run starts on the CIs in its scope.
/// 202 with a proposal for an allowance that gives more time to CIs which have another one: a second person must confirm it.
#[utoipa::path(post, path = "/patch/calendars", tag = "calendars", request_body = CreateCalendar,
    params(("Idempotency-Key" = Option<String>, Header, description = "the same key and body create one calendar")),
    responses((status = 201, body = Calendar), (status = 202, body = Proposal), (status = "4XX", body = Problem)))]
async fn create_calendar(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Json(request): Json<CreateCalendar>,
) -> ApiResult<Response> {
    let outcome = calendars::create_calendar(&app, &caller, &key, request).await?;
    Ok(respond(outcome, |calendar| Created(format!("/patch/calendars/{}", calendar.id), Json(calendar))))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// `ical` returns all calendars as one iCalendar, like `Accept: text/calendar`.
    #[param(inline)]
    format: Option<CalendarFormat>,
    /// Maximum number of items on the page, 1 to 1000; 100 by default.
    limit: Option<u32>,
    /// `next_page_token` of the previous page.
    page_token: Option<String>,
}

/// List calendars, oldest first.
#[utoipa::path(get, path = "/patch/calendars", tag = "calendars", params(ListParams),
    responses((status = 200, content((Page<Calendar> = "application/json"), (String = "text/calendar"))), (status = "4XX", body = Problem)))]
async fn list_calendars(
    State(app): State<App>,
    _: Viewer,
    headers: HeaderMap,
    Query(params): Query<ListParams>,
) -> ApiResult<Response> {
    if wants_ical(params.format, &headers) {
        return calendars::export_ical(&app).await.map(ical);
    }
    let request = PageRequest::new(params.limit, params.page_token);
    Ok(Json(calendars::list_calendars(&app, &request).await?).into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct GetParams {
    /// `ical` returns it as iCalendar, like `Accept: text/calendar`.
    #[param(inline)]
    format: Option<CalendarFormat>,
}

/// Read a calendar.
#[utoipa::path(get, path = "/patch/calendars/{id}", tag = "calendars",
    params(("id" = Uuid, Path, description = "calendar"), GetParams),
    responses((status = 200, content((Calendar = "application/json"), (String = "text/calendar"))), (status = "4XX", body = Problem)))]
async fn get_calendar(
    State(app): State<App>,
    _: Viewer,
    headers: HeaderMap,
    Path(id): Path<Uuid>,
    Query(params): Query<GetParams>,
) -> ApiResult<Response> {
    let calendar = calendars::get_calendar(&app, id).await?;
    if wants_ical(params.format, &headers) {
        calendars::ical(&calendar, app.clock.now()).map(ical)
    } else {
        Ok(Json(calendar).into_response())
    }
}

/// Remove a calendar and its freezes. 202 with a proposal unless all of them have ended: a second person must confirm it.
#[utoipa::path(delete, path = "/patch/calendars/{id}", tag = "calendars", params(("id" = Uuid, Path, description = "calendar")),
    responses((status = 202, body = Proposal), (status = 204), (status = "4XX", body = Problem)))]
async fn delete_calendar(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<Uuid>,
) -> ApiResult<Response> {
    let outcome = calendars::delete_calendar(&app, &caller, id).await?;
    Ok(respond(outcome, |()| StatusCode::NO_CONTENT))
}

/// Find the freezes of CIs in a time span. Changes nothing.
#[utoipa::path(post, path = "/patch/calendars/conflicts", tag = "calendars", request_body = AskFreezes,
    responses((status = 200, body = FreezeConflicts), (status = "4XX", body = Problem)))]
async fn find_freezes(
    State(app): State<App>,
    _: Viewer,
    Json(request): Json<AskFreezes>,
) -> ApiResult<Json<FreezeConflicts>> {
    calendars::find_freezes(&app, &request).await.map(Json)
}
