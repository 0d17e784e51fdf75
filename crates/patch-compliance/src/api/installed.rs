//! `/patch/packages`: packages across the fleet.

use ::advisories::os_key;
use api_types::{page::Page, patch::InstalledOn, problem::Problem};
use axum::extract::State;
use serde::Deserialize;
use service_kit::{ApiError, ApiResult, Json, Path, Query, Viewer, page::PageRequest};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    app::{
        installed::{self, PackageFilter},
        observation::is_plain_line,
    },
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_installed))
}

#[derive(Debug, Deserialize, IntoParams)]
struct PackageParams {
    /// Only versions lower than this one, in the order of the host's package system. An epoch is compared only if it is
    /// given here.
    below: Option<String>,
    /// Only hosts with this OS release, in any spelling.
    os: Option<String>,
}

/// List the hosts that have a package, one row per host with the installed versions.
#[utoipa::path(get, path = "/patch/packages/{name}", tag = "inventory",
    params(("name" = String, Path, description = "name of the installed package"), PackageParams, PageRequest),
    responses((status = 200, body = Page<InstalledOn>), (status = "4XX", body = Problem)))]
async fn list_installed(
    State(app): State<App>,
    _: Viewer,
    Path(name): Path<String>,
    Query(params): Query<PackageParams>,
    page: PageRequest,
) -> ApiResult<Json<Page<InstalledOn>>> {
    if !is_plain_line(&name) {
        return Err(ApiError::invalid("name", "must be 1 to 300 characters without control characters"));
    }
    let filter = PackageFilter { name, below: params.below, os: params.os.as_deref().map(os_key) };
    installed::list_installed(&app, &filter, &page).await.map(Json)
}
