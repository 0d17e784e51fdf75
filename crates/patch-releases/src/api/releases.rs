//! `/patch/releases`: registered, planned, rolled out, taken back; and the callbacks of deployers.

use api_types::{
    page::Page,
    patch::{
        CreateRelease, CustomerDeployment, DeployRelease, DeploymentCallback, EmergencyRelease,
        MetricsReport, PlanRelease, Release, ReleasePlan, ReleaseRun, ReleaseStatus, ReleaseTimeline,
        RollBackRelease, SignOff, TickItem, UpdateRelease,
    },
    problem::Problem,
};
use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
};
use domain::release::Version;
use serde::Deserialize;
use service_kit::{
    ApiError, ApiResult, Approver, IdempotencyKey, IfMatch, Json, Operator, Path, Query, Viewer,
    extract::Tagged,
    page::{PageRequest, page},
    problem_types,
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    App,
    app::{releases, rollout::is_signed, views},
    store,
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
        .routes(routes!(take_callback))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// Most items of the page, 1 to 1000; 100 when unsaid.
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

/// List releases, highest version first.
#[utoipa::path(get, path = "/patch/releases", tag = "releases", params(ListParams),
    responses((status = 200, body = Page<Release>), (status = "4XX", body = Problem)))]
async fn list_releases(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<ListParams>,
) -> ApiResult<Json<Page<Release>>> {
    let request = PageRequest::new(params.limit, params.page_token);
    let (limit, below) = (request.limit()?, request.after::<Version>()?);
    let mut conn = app.pool.acquire().await?;
    let found = store::releases::list_releases(&mut conn, below, limit + 1).await?;
    Ok(Json(page(found, limit, |release: &Release| release.version)))
}

/// Register a release: its version, type and urgency, with the checklist of its type.
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
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Tagged(release.revision, release)))
}

/// Read a release.
#[utoipa::path(get, path = "/patch/releases/{version}", tag = "releases", params(("version" = String, Path, description = "version")),
    responses((status = 200, body = Release), (status = "4XX", body = Problem)))]
async fn get_release(
    State(app): State<App>,
    _: Viewer,
    Path(version): Path<Version>,
) -> ApiResult<Tagged<Release>> {
    let mut conn = app.pool.acquire().await?;
    let release = store::releases::get_release(&mut conn, version).await?;
    Ok(Tagged(release.revision, release))
}

/// Change a release's urgency, notes or artefacts; rollouts that were planned keep what they were planned with.
#[utoipa::path(patch, path = "/patch/releases/{version}", tag = "releases", request_body = UpdateRelease,
    params(("version" = String, Path, description = "version"),
        ("If-Match" = Option<String>, Header, description = "ETag as read; 412 when somebody was faster")),
    responses((status = 200, body = Release), (status = "4XX", body = Problem)))]
async fn update_release(
    State(app): State<App>,
    caller: Operator,
    if_match: IfMatch,
    Path(version): Path<Version>,
    Json(request): Json<UpdateRelease>,
) -> ApiResult<Tagged<Release>> {
    let release = releases::update_release(&app, &caller, version, &if_match, request).await?;
    Ok(Tagged(release.revision, release))
}

#[derive(Debug, Deserialize)]
struct ItemPath {
    version: Version,
    item: String,
}

/// Tick an item of the checklist, waive it with a reason, or open it again. Who did so is kept.
#[utoipa::path(put, path = "/patch/releases/{version}/checklist/{item}", tag = "releases", request_body = TickItem,
    params(("version" = String, Path, description = "version"), ("item" = String, Path, description = "name or number of the item")),
    responses((status = 200, body = Release), (status = "4XX", body = Problem)))]
async fn tick_item(
    State(app): State<App>,
    caller: Operator,
    Path(path): Path<ItemPath>,
    Json(request): Json<TickItem>,
) -> ApiResult<Tagged<Release>> {
    let release = releases::tick_item(&app, &caller, path.version, &path.item, &request).await?;
    Ok(Tagged(release.revision, release))
}

/// Tell what would be done for whom and when, played in virtual time. Nothing is stored.
#[utoipa::path(post, path = "/patch/releases/{version}/plan", tag = "releases", request_body = PlanRelease,
    params(("version" = String, Path, description = "version")),
    responses((status = 200, body = ReleasePlan), (status = "4XX", body = Problem)))]
async fn plan_release(
    State(app): State<App>,
    _: Viewer,
    Path(version): Path<Version>,
    Json(request): Json<PlanRelease>,
) -> ApiResult<Json<ReleasePlan>> {
    releases::plan(&app, version, &request).await.map(Json)
}

/// Perform the checks of the validation phase alone.
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
    releases::validate(&app, &caller, version, &key).await.map(accepted)
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
    releases::deploy(&app, &caller, version, &request, &key).await.map(accepted)
}

/// Roll a release out to all tiers at once after validation and demo, on an emergency approver's word.
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
    releases::emergency(&app, &caller, version, &request, &key).await.map(accepted)
}

/// Take a release back from customers, within its rollback window.
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
    let runs = releases::roll_back(&app, &caller, version, &request, &key).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(runs)))
}

/// Sign off that the next tier starts although the evidence falls short, once its time limit has passed.
#[utoipa::path(post, path = "/patch/releases/{version}/sign-off", tag = "releases", request_body = SignOff,
    params(("version" = String, Path, description = "version")),
    responses((status = 200, body = Release), (status = "4XX", body = Problem)))]
async fn sign_off_release(
    State(app): State<App>,
    caller: Approver,
    Path(version): Path<Version>,
    Json(request): Json<SignOff>,
) -> ApiResult<Json<Release>> {
    releases::sign_off(&app, &caller, version, &request).await.map(Json)
}

/// Read everything about a release at this moment: runs, waves, checks, customers, and what is waited for.
#[utoipa::path(get, path = "/patch/releases/{version}/status", tag = "releases", params(("version" = String, Path, description = "version")),
    responses((status = 200, body = ReleaseStatus), (status = "4XX", body = Problem)))]
async fn get_release_status(
    State(app): State<App>,
    _: Viewer,
    Path(version): Path<Version>,
) -> ApiResult<Json<ReleaseStatus>> {
    views::get_status(&app, version).await.map(Json)
}

/// Read what happened to a release, minute by minute.
#[utoipa::path(get, path = "/patch/releases/{version}/timeline", tag = "releases", params(("version" = String, Path, description = "version")),
    responses((status = 200, body = ReleaseTimeline), (status = "4XX", body = Problem)))]
async fn get_release_timeline(
    State(app): State<App>,
    _: Viewer,
    Path(version): Path<Version>,
) -> ApiResult<Json<ReleaseTimeline>> {
    views::get_timeline(&app, version).await.map(Json)
}

/// Read the success metrics of one release.
#[utoipa::path(get, path = "/patch/releases/{version}/metrics", tag = "releases", params(("version" = String, Path, description = "version")),
    responses((status = 200, body = MetricsReport), (status = "4XX", body = Problem)))]
async fn get_release_metrics(
    State(app): State<App>,
    _: Viewer,
    Path(version): Path<Version>,
) -> ApiResult<Json<MetricsReport>> {
    views::get_metrics(&app, Some(version)).await.map(Json)
}

/// Read the success metrics of the last year: of all releases, by release, by quarter, by tier.
#[utoipa::path(get, path = "/patch/release-metrics", tag = "releases",
    responses((status = 200, body = MetricsReport), (status = "4XX", body = Problem)))]
async fn get_metrics(State(app): State<App>, _: Viewer) -> ApiResult<Json<MetricsReport>> {
    views::get_metrics(&app, None).await.map(Json)
}

#[derive(Debug, Deserialize)]
struct SignedCallback {
    deployment_id: Uuid,
    #[serde(flatten)]
    callback: DeploymentCallback,
}

/// A deployer tells how a deployment goes: `{"deployment_id", "state", ...}`, signed in `X-Signature` like the request it
/// got. Said twice it changes nothing.
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
    let is_ours =
        app.outside.webhook_secret.as_ref().is_some_and(|secret| is_signed(secret, &body, signature));
    if !is_ours {
        return Err(ApiError::new(
            problem_types::BAD_SIGNATURE,
            "the body is not signed with the webhook secret",
        ));
    }
    let signed: SignedCallback = serde_json::from_slice(&body)
        .map_err(|error| ApiError::malformed(format!("the callback cannot be read: {error}")))?;
    views::take_callback(&app, signed.deployment_id, &signed.callback).await.map(Json)
}

fn accepted(run: ReleaseRun) -> impl IntoResponse {
    (StatusCode::ACCEPTED, [(header::LOCATION, format!("/patch/runs/{}", run.run.id))], Json(run))
}
