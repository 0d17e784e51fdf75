//! `/patch/releases`: registered, planned, rolled out, rolled back.

use api_types::{
    page::Page,
    patch::{
        CreateRelease, DeployRelease, EmergencyRelease, MetricsReport, PlanRelease, Release, ReleasePlan,
        ReleaseRun, ReleaseStatus, ReleaseTimeline, RollBackRelease, SignOff, TickItem, UpdateRelease,
    },
    problem::Problem,
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use domain::release::Version;
use serde::Deserialize;
use service_kit::{
    ApiResult, Approver, IdempotencyKey, IfMatch, Json, Operator, Path, Viewer,
    extract::{Created, Tagged},
    page::PageRequest,
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    app::{metrics, releases, rollouts, status, timeline},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_releases, create_release))
        .routes(routes!(get_release, update_release))
        .routes(routes!(tick_item))
        .routes(routes!(plan_release))
        .routes(routes!(validate_release))
        .routes(routes!(deploy_release))
        .routes(routes!(deploy_emergency_release))
        .routes(routes!(roll_back_release))
        .routes(routes!(sign_off_release))
        .routes(routes!(get_release_status))
        .routes(routes!(get_release_timeline))
        .routes(routes!(get_release_metrics))
        .routes(routes!(get_metrics))
}

/// List releases, highest version first.
#[utoipa::path(get, path = "/patch/releases", tag = "releases", params(PageRequest),
    responses((status = 200, body = Page<Release>), (status = "4XX", body = Problem)))]
async fn list_releases(
    State(app): State<App>,
    _: Viewer,
    page: PageRequest,
) -> ApiResult<Json<Page<Release>>> {
    releases::list_releases(&app, &page).await.map(Json)
}

/// Register a release with its version, type, urgency and the checklist of its type.
#[utoipa::path(post, path = "/patch/releases", tag = "releases", request_body = CreateRelease,
    params(("Idempotency-Key" = Option<String>, Header, description = "the same key and body create one release")),
    responses((status = 201, body = Release), (status = "4XX", body = Problem)))]
async fn create_release(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Json(request): Json<CreateRelease>,
) -> ApiResult<impl IntoResponse> {
    let release = releases::create_release(&app, &caller, &key, request).await?;
    let location = format!("/patch/releases/{}", release.version);
    Ok(Created(location, Tagged::of(release)))
}

/// Read a release.
#[utoipa::path(get, path = "/patch/releases/{version}", tag = "releases", params(("version" = String, Path, description = "version")),
    responses((status = 200, body = Release), (status = "4XX", body = Problem)))]
async fn get_release(
    State(app): State<App>,
    _: Viewer,
    Path(version): Path<Version>,
) -> ApiResult<Tagged<Release>> {
    releases::get_release(&app, version).await.map(Tagged::of)
}

/// Change a release's urgency, notes or artefacts. Rollouts that are already planned keep the old ones.
#[utoipa::path(patch, path = "/patch/releases/{version}", tag = "releases", request_body = UpdateRelease,
    params(("version" = String, Path, description = "version"),
        ("If-Match" = Option<String>, Header, description = "ETag as read; 412 if the release has changed since")),
    responses((status = 200, body = Release), (status = "4XX", body = Problem)))]
async fn update_release(
    State(app): State<App>,
    caller: Operator,
    if_match: IfMatch,
    Path(version): Path<Version>,
    Json(request): Json<UpdateRelease>,
) -> ApiResult<Tagged<Release>> {
    releases::update_release(&app, &caller, version, &if_match, request).await.map(Tagged::of)
}

#[derive(Debug, Deserialize)]
struct ItemPath {
    version: Version,
    item: String,
}

/// Tick an item of the checklist, waive it with a reason, or open it again. The caller is recorded.
#[utoipa::path(put, path = "/patch/releases/{version}/checklist/{item}", tag = "releases", request_body = TickItem,
    params(("version" = String, Path, description = "version"), ("item" = String, Path, description = "name or number of the item")),
    responses((status = 200, body = Release), (status = "4XX", body = Problem)))]
async fn tick_item(
    State(app): State<App>,
    caller: Operator,
    Path(path): Path<ItemPath>,
    Json(request): Json<TickItem>,
) -> ApiResult<Tagged<Release>> {
    releases::tick_item(&app, &caller, path.version, &path.item, &request).await.map(Tagged::of)
}

/// Simulate the rollout in virtual time: what would be done for which customer, and when. Nothing is stored.
#[utoipa::path(post, path = "/patch/releases/{version}/plan", tag = "releases", request_body = PlanRelease,
    params(("version" = String, Path, description = "version")),
    responses((status = 200, body = ReleasePlan), (status = "4XX", body = Problem)))]
async fn plan_release(
    State(app): State<App>,
    _: Viewer,
    Path(version): Path<Version>,
    Json(request): Json<PlanRelease>,
) -> ApiResult<Json<ReleasePlan>> {
    rollouts::plan_release(&app, version, &request).await.map(Json)
}

/// Perform only the checks of the validation phase.
#[utoipa::path(post, path = "/patch/releases/{version}/validate", tag = "releases",
    params(("version" = String, Path, description = "version"),
        ("Idempotency-Key" = Option<String>, Header, description = "the same key starts one validation")),
    responses((status = 202, body = ReleaseRun), (status = "4XX", body = Problem)))]
async fn validate_release(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Path(version): Path<Version>,
) -> ApiResult<impl IntoResponse> {
    rollouts::validate_release(&app, &caller, version, &key).await.map(accepted)
}

/// Roll a release out: validation, demo, then tier by tier.
#[utoipa::path(post, path = "/patch/releases/{version}/deploy", tag = "releases", request_body = DeployRelease,
    params(("version" = String, Path, description = "version"),
        ("Idempotency-Key" = Option<String>, Header, description = "the same key and body start one rollout")),
    responses((status = 202, body = ReleaseRun), (status = "4XX", body = Problem)))]
async fn deploy_release(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Path(version): Path<Version>,
    Json(request): Json<DeployRelease>,
) -> ApiResult<impl IntoResponse> {
    rollouts::deploy_release(&app, &caller, version, &request, &key).await.map(accepted)
}

/// Roll a release out to all tiers at once after validation and demo, with the approval of an emergency approver.
#[utoipa::path(post, path = "/patch/releases/{version}/emergency", tag = "releases", request_body = EmergencyRelease,
    params(("version" = String, Path, description = "version"),
        ("Idempotency-Key" = Option<String>, Header, description = "the same key and body start one rollout")),
    responses((status = 202, body = ReleaseRun), (status = "4XX", body = Problem)))]
async fn deploy_emergency_release(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Path(version): Path<Version>,
    Json(request): Json<EmergencyRelease>,
) -> ApiResult<impl IntoResponse> {
    rollouts::deploy_emergency_release(&app, &caller, version, &request, &key).await.map(accepted)
}

/// Roll a release back at customers, within its rollback window.
#[utoipa::path(post, path = "/patch/releases/{version}/rollback", tag = "releases", request_body = RollBackRelease,
    params(("version" = String, Path, description = "version"),
        ("Idempotency-Key" = Option<String>, Header, description = "the same key and body start one rollback")),
    responses((status = 202, body = [ReleaseRun]), (status = "4XX", body = Problem)))]
async fn roll_back_release(
    State(app): State<App>,
    caller: Operator,
    key: IdempotencyKey,
    Path(version): Path<Version>,
    Json(request): Json<RollBackRelease>,
) -> ApiResult<impl IntoResponse> {
    let runs = rollouts::roll_back_release(&app, &caller, version, &request, &key).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(runs)))
}

/// Allow the next tier to start without enough evidence, after its time limit has passed.
#[utoipa::path(post, path = "/patch/releases/{version}/sign-off", tag = "releases", request_body = SignOff,
    params(("version" = String, Path, description = "version")),
    responses((status = 200, body = Release), (status = "4XX", body = Problem)))]
async fn sign_off_release(
    State(app): State<App>,
    caller: Approver,
    Path(version): Path<Version>,
    Json(request): Json<SignOff>,
) -> ApiResult<Json<Release>> {
    releases::sign_off_release(&app, &caller, version, &request).await.map(Json)
}

/// Read the current state of a release: runs, waves, checks, customers, and what each run waits for.
#[utoipa::path(get, path = "/patch/releases/{version}/status", tag = "releases", params(("version" = String, Path, description = "version")),
    responses((status = 200, body = ReleaseStatus), (status = "4XX", body = Problem)))]
async fn get_release_status(
    State(app): State<App>,
    _: Viewer,
    Path(version): Path<Version>,
) -> ApiResult<Json<ReleaseStatus>> {
    status::get_release_status(&app, version).await.map(Json)
}

/// Read what happened to a release, minute by minute.
#[utoipa::path(get, path = "/patch/releases/{version}/timeline", tag = "releases", params(("version" = String, Path, description = "version")),
    responses((status = 200, body = ReleaseTimeline), (status = "4XX", body = Problem)))]
async fn get_release_timeline(
    State(app): State<App>,
    _: Viewer,
    Path(version): Path<Version>,
) -> ApiResult<Json<ReleaseTimeline>> {
    timeline::get_release_timeline(&app, version).await.map(Json)
}

/// Read the success metrics of one release.
#[utoipa::path(get, path = "/patch/releases/{version}/metrics", tag = "releases", params(("version" = String, Path, description = "version")),
    responses((status = 200, body = MetricsReport), (status = "4XX", body = Problem)))]
async fn get_release_metrics(
    State(app): State<App>,
    _: Viewer,
    Path(version): Path<Version>,
) -> ApiResult<Json<MetricsReport>> {
    metrics::get_metrics(&app, Some(version)).await.map(Json)
}

/// Read the success metrics of the last year: of all releases, by release, by quarter, by tier.
#[utoipa::path(get, path = "/patch/release-metrics", tag = "releases",
    responses((status = 200, body = MetricsReport), (status = "4XX", body = Problem)))]
async fn get_metrics(State(app): State<App>, _: Viewer) -> ApiResult<Json<MetricsReport>> {
    metrics::get_metrics(&app, None).await.map(Json)
}

fn accepted(run: ReleaseRun) -> impl IntoResponse {
    (StatusCode::ACCEPTED, [(header::LOCATION, format!("/patch/runs/{}", run.run.id))], Json(run))
}
