//! `/patch/runs`: start, control, follow.

use std::{convert::Infallible, time::Duration};

use api_types::{
    page::Page,
    patch::{CloudEvent, Remediate, RunDetail, RunReport, RunSummary, StartRun, Steer},
    problem::Problem,
};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use domain::ids::{CiId, RunId};
use futures::Stream;
use serde::Deserialize;
use service_kit::{
    ApiError, ApiResult, IdempotencyKey, Json, Operator, Path, Query, Viewer, page::PageRequest,
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::run_text;
use crate::{
    App,
    app::{
        following_runs, run_stream,
        runs::{self, Order, RunFilter},
    },
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_runs, start_run))
        .routes(routes!(get_run))
        .routes(routes!(list_run_events))
        .routes(routes!(get_run_logs))
        .routes(routes!(get_run_report))
        .routes(routes!(cancel_run))
        .routes(routes!(pause_run))
        .routes(routes!(resume_run))
        .routes(routes!(retry_failed))
        .routes(routes!(roll_back_run))
        .routes(routes!(skip_host))
        .routes(routes!(remediate_advisory))
}

/// Start a run for a policy, for the remediation of an advisory, or for selected CIs.
#[utoipa::path(post, path = "/patch/runs", tag = "runs", request_body = StartRun,
    params(("Idempotency-Key" = Option<String>, Header, description = "the same key and body start one run")),
    responses((status = 202, body = RunSummary), (status = "4XX", body = Problem)))]
async fn start_run(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Json(request): Json<StartRun>,
) -> ApiResult<impl IntoResponse> {
    runs::start_run(&app, &caller, &request, &key).await.map(accepted)
}

/// Remediate an advisory in one run: scan, staging tests, rolling deployment, verification.
#[utoipa::path(post, path = "/patch/advisories/{cve_id}/remediate", tag = "runs", request_body = Remediate,
    params(("cve_id" = String, Path, description = "CVE or advisory id"),
        ("Idempotency-Key" = Option<String>, Header, description = "the same key and body start one run")),
    responses((status = 202, body = RunSummary), (status = "4XX", body = Problem)))]
async fn remediate_advisory(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Path(cve_id): Path<String>,
    Json(request): Json<Remediate>,
) -> ApiResult<impl IntoResponse> {
    let request = StartRun {
        policy_id: request.policy_id,
        advisory: Some(cve_id),
        strategy: request.strategy,
        change_id: request.change_id,
        dry_run: request.dry_run,
        emergency: request.emergency,
        ..StartRun::default()
    };
    runs::start_run(&app, &caller, &request, &key).await.map(accepted)
}

fn accepted(run: RunSummary) -> impl IntoResponse {
    (StatusCode::ACCEPTED, [(header::LOCATION, format!("/patch/runs/{}", run.id))], Json(run))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// Only runs of this policy.
    policy_id: Option<String>,
    /// Only runs in this state, such as `executing` or `succeeded`.
    state: Option<String>,
    /// Only remediations of this advisory or CVE.
    advisory: Option<String>,
    /// `true`: only runs that have not ended; `false`: only runs that have ended.
    open: Option<bool>,
    /// Maximum number of items on the page, 1 to 1000; 100 by default.
    limit: Option<u32>,
    /// `next_page_token` of the previous page.
    page_token: Option<String>,
}

/// List runs, newest first.
#[utoipa::path(get, path = "/patch/runs", tag = "runs", params(ListParams),
    responses((status = 200, body = Page<RunSummary>), (status = "4XX", body = Problem)))]
async fn list_runs(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<ListParams>,
) -> ApiResult<Json<Page<RunSummary>>> {
    let request = PageRequest::new(params.limit, params.page_token);
    let filter = RunFilter {
        policy_id: params.policy_id,
        state: params.state,
        advisory: params.advisory,
        open: params.open,
    };
    runs::list_runs(&app, &filter, &request).await.map(Json)
}

/// Read a run: its state, what it waits for, how many hosts are in each state, its tests and its prediction. Its `plan`, `waves`,
/// `hosts` and `logs` have paths of their own.
#[utoipa::path(get, path = "/patch/runs/{id}", tag = "runs", params(("id" = Uuid, Path, description = "run")),
    responses((status = 200, body = RunDetail), (status = "4XX", body = Problem)))]
async fn get_run(State(app): State<App>, _: Viewer, Path(id): Path<RunId>) -> ApiResult<Json<RunDetail>> {
    runs::get_run(&app, id).await.map(Json)
}

/// Follow the events of a run as server-sent events. `Last-Event-ID` resumes after that event.
#[utoipa::path(get, path = "/patch/runs/{id}/events", tag = "runs",
    params(("id" = Uuid, Path, description = "run"),
        ("Last-Event-ID" = Option<String>, Header, description = "id of the last event that was received")),
    responses((status = 200, body = CloudEvent, content_type = "text/event-stream"), (status = "4XX", body = Problem)))]
async fn list_run_events(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<RunId>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let after = match headers.get("last-event-id") {
        None => 0,
        Some(value) => value.to_str().ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
            ApiError::malformed("the header `Last-Event-ID` must be the id of an event of this run")
        })?,
    };
    let events = run_stream::list_run_events(app, id, after).await?;
    Ok(Sse::new(to_sse(events))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(10)))
        .into_response())
}

fn to_sse(events: impl Stream<Item = CloudEvent>) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    use futures::StreamExt;
    events.map(|event| {
        let data = serde_json::to_string(&event).unwrap_or_default();
        Ok(sse::Event::default().id(&event.id).event(&event.event_type).data(data))
    })
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct LogParams {
    /// Output format; see the description of the operation.
    format: Option<String>,
    /// Only the last lines, as many as this; 1 to 1000.
    #[param(minimum = 1, maximum = 1000)]
    tail: Option<u32>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct FormatParams {
    /// Output format; see the description of the operation.
    format: Option<String>,
}

/// Stream the log of a run, oldest line first: `format=text` (default) or `ndjson`.
#[utoipa::path(get, path = "/patch/runs/{id}/logs", tag = "runs", params(("id" = Uuid, Path, description = "run"), LogParams),
    responses((status = 200, body = String, content_type = "text/plain"), (status = "4XX", body = Problem)))]
async fn get_run_logs(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<RunId>,
    Query(params): Query<LogParams>,
) -> ApiResult<Response> {
    let as_text = match params.format.as_deref() {
        None | Some("text") => true,
        Some("ndjson") => false,
        Some(other) => {
            return Err(ApiError::invalid("format", format!("must be `text` or `ndjson`, not `{other}`")));
        }
    };
    let lines = run_stream::get_run_logs(app, id, params.tail).await?;
    Ok(run_text::log_response(lines, as_text))
}

/// Read the report of a run: `format=json` (default), `markdown` or `csv`.
#[utoipa::path(get, path = "/patch/runs/{id}/report", tag = "runs", params(("id" = Uuid, Path, description = "run"), FormatParams),
    responses((status = 200, body = RunReport), (status = "4XX", body = Problem)))]
async fn get_run_report(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<RunId>,
    Query(params): Query<FormatParams>,
) -> ApiResult<Response> {
    let report = runs::get_run_report(&app, id).await?;
    match params.format.as_deref() {
        None | Some("json") => Ok(Json(report).into_response()),
        Some("markdown") => {
            Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], run_text::markdown(&report))
                .into_response())
        }
        Some("csv") => {
            Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], run_text::csv(&report)).into_response())
        }
        Some(other) => {
            Err(ApiError::invalid("format", format!("must be `json`, `markdown` or `csv`, not `{other}`")))
        }
    }
}

/// Cancel a run: no further host is started; hosts in progress finish their package transaction and end in a known state.
#[utoipa::path(post, path = "/patch/runs/{id}/cancel", tag = "runs", request_body = Steer,
    params(("id" = Uuid, Path, description = "run")),
    responses((status = 202, body = RunSummary), (status = "4XX", body = Problem)))]
async fn cancel_run(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<RunId>,
    Json(steer): Json<Steer>,
) -> ApiResult<impl IntoResponse> {
    runs::steer_run(&app, &caller, id, Order::Cancel, &steer.reason).await.map(accepted)
}

/// Pause a run before its next batch.
#[utoipa::path(post, path = "/patch/runs/{id}/pause", tag = "runs", request_body = Steer,
    params(("id" = Uuid, Path, description = "run")),
    responses((status = 202, body = RunSummary), (status = "4XX", body = Problem)))]
async fn pause_run(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<RunId>,
    Json(steer): Json<Steer>,
) -> ApiResult<impl IntoResponse> {
    runs::steer_run(&app, &caller, id, Order::Pause, &steer.reason).await.map(accepted)
}

/// Resume a paused run. Checks that were inconclusive run again.
#[utoipa::path(post, path = "/patch/runs/{id}/resume", tag = "runs", request_body = Steer,
    params(("id" = Uuid, Path, description = "run")),
    responses((status = 202, body = RunSummary), (status = "4XX", body = Problem)))]
async fn resume_run(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<RunId>,
    Json(steer): Json<Steer>,
) -> ApiResult<impl IntoResponse> {
    runs::steer_run(&app, &caller, id, Order::Resume, &steer.reason).await.map(accepted)
}

/// Skip a host of an open run: it is not started, or not tried again after it failed. Its update must not have begun, and it must
/// not be the last host of a staging or pilot wave.
#[utoipa::path(post, path = "/patch/runs/{id}/hosts/{ci_id}/skip", tag = "runs", request_body = Steer,
    params(("id" = Uuid, Path, description = "run"), ("ci_id" = String, Path, description = "host")),
    responses((status = 202, body = RunSummary), (status = "4XX", body = Problem)))]
async fn skip_host(
    State(app): State<App>,
    caller: Operator,
    Path((id, host)): Path<(RunId, CiId)>,
    Json(steer): Json<Steer>,
) -> ApiResult<impl IntoResponse> {
    runs::steer_run(&app, &caller, id, Order::SkipHost(host), &steer.reason).await.map(accepted)
}

/// Retry failed hosts: within a paused run, or in a new run if the run has ended.
#[utoipa::path(post, path = "/patch/runs/{id}/retry-failed", tag = "runs", request_body = Steer,
    params(("id" = Uuid, Path, description = "run")),
    responses((status = 202, body = RunSummary), (status = "4XX", body = Problem)))]
async fn retry_failed(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Path(id): Path<RunId>,
    Json(steer): Json<Steer>,
) -> ApiResult<impl IntoResponse> {
    following_runs::retry_failed(&app, &caller, id, &steer.reason, &key).await.map(accepted)
}

/// Roll every changed host back to its snapshot: within an open run, or in a new run if the run has ended.
#[utoipa::path(post, path = "/patch/runs/{id}/rollback", tag = "runs", request_body = Steer,
    params(("id" = Uuid, Path, description = "run")),
    responses((status = 202, body = RunSummary), (status = "4XX", body = Problem)))]
async fn roll_back_run(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Path(id): Path<RunId>,
    Json(steer): Json<Steer>,
) -> ApiResult<impl IntoResponse> {
    following_runs::roll_back_run(&app, &caller, id, &steer.reason, &key).await.map(accepted)
}
