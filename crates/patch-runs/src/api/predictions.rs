//! `/patch/predictions`: forecasts compared with what happened.

use api_types::{patch::PredictionLedger, problem::Problem};
use axum::extract::State;
use serde::Deserialize;
use service_kit::{ApiResult, Json, Query, Viewer, page::PageRequest};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, app::predictions};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_predictions))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// Maximum number of items on the page, 1 to 1000; 100 by default.
    limit: Option<u32>,
    /// `next_page_token` of the previous page.
    page_token: Option<String>,
}

/// List the predictions of runs that have ended, newest first, with their calibration.
#[utoipa::path(get, path = "/patch/predictions", tag = "plans", params(ListParams),
    responses((status = 200, body = PredictionLedger), (status = "4XX", body = Problem)))]
async fn list_predictions(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<ListParams>,
) -> ApiResult<Json<PredictionLedger>> {
    let request = PageRequest::new(params.limit, params.page_token);
    predictions::list_predictions(&app, &request).await.map(Json)
}
