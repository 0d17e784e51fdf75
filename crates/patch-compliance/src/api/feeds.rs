//! `/patch/feeds`: feeds that the platform fetches itself.

use api_types::{
    page::Page,
    patch::{Feed, FeedPreset, PutFeed},
    problem::Problem,
};
use axum::{extract::State, http::StatusCode};
use service_kit::{Admin, ApiResult, Json, Operator, Path, Viewer, page::PageRequest};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, app::fetched_feeds};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list_feeds))
        .routes(routes!(list_feed_presets))
        .routes(routes!(get_feed, put_feed, delete_feed))
        .routes(routes!(fetch_feed))
}

/// List the feeds that are fetched, by their ids.
#[utoipa::path(get, path = "/patch/feeds", tag = "advisories", params(PageRequest),
    responses((status = 200, body = Page<Feed>), (status = "4XX", body = Problem)))]
async fn list_feeds(State(app): State<App>, _: Viewer, page: PageRequest) -> ApiResult<Json<Page<Feed>>> {
    fetched_feeds::list_feeds(&app, &page).await.map(Json)
}

/// List the presets: names of publishers' addresses.
#[utoipa::path(get, path = "/patch/feeds/presets", tag = "advisories",
    responses((status = 200, body = Vec<FeedPreset>), (status = "4XX", body = Problem)))]
async fn list_feed_presets(_: Viewer) -> Json<Vec<FeedPreset>> {
    Json(fetched_feeds::presets().to_vec())
}

/// Read a feed.
#[utoipa::path(get, path = "/patch/feeds/{id}", tag = "advisories", params(("id" = String, Path, description = "feed")),
    responses((status = 200, body = Feed), (status = "4XX", body = Problem)))]
async fn get_feed(State(app): State<App>, _: Viewer, Path(id): Path<String>) -> ApiResult<Json<Feed>> {
    fetched_feeds::get_feed(&app, &id).await.map(Json)
}

/// Add a feed, or change it. It is fetched at once, and then every `every_minutes`; a feed that is not the newest for longer than
/// `late_after_hours` opens an incident.
#[utoipa::path(put, path = "/patch/feeds/{id}", tag = "advisories", request_body = PutFeed,
    params(("id" = String, Path, description = "feed: 1 to 64 of `a-z 0-9 . : _ -`")),
    responses((status = 200, body = Feed), (status = "4XX", body = Problem)))]
async fn put_feed(
    State(app): State<App>,
    caller: Admin,
    Path(id): Path<String>,
    Json(request): Json<PutFeed>,
) -> ApiResult<Json<Feed>> {
    fetched_feeds::put_feed(&app, &caller, &id, request).await.map(Json)
}

/// Stop fetching a feed. What was imported stays.
#[utoipa::path(delete, path = "/patch/feeds/{id}", tag = "advisories", params(("id" = String, Path, description = "feed")),
    responses((status = 204), (status = "4XX", body = Problem)))]
async fn delete_feed(State(app): State<App>, caller: Admin, Path(id): Path<String>) -> ApiResult<StatusCode> {
    fetched_feeds::delete_feed(&app, &caller, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Fetch a feed now instead of at its next time.
#[utoipa::path(post, path = "/patch/feeds/{id}/fetch", tag = "advisories", params(("id" = String, Path, description = "feed")),
    responses((status = 200, body = Feed), (status = "4XX", body = Problem)))]
async fn fetch_feed(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<String>,
) -> ApiResult<Json<Feed>> {
    fetched_feeds::fetch_feed(&app, &caller, &id).await.map(Json)
}
