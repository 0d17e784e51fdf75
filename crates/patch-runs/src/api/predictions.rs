//! `/patch/predictions`: forecasts held against what happened.

use api_types::{patch::PredictionLedger, problem::Problem};
use axum::extract::State;
use serde::Deserialize;
use service_kit::{
    ApiResult, Json, Query, Viewer,
    page::{PageRequest, page},
};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{App, app::predictions};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list_predictions))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// Most items of the page, 1 to 1000; 100 when unsaid.
    limit: Option<u32>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

/// List predictions that have their outcome, newest first, with their calibration.
#[utoipa::path(get, path = "/patch/predictions", tag = "plans", params(ListParams),
    responses((status = 200, body = PredictionLedger), (status = "4XX", body = Problem)))]
async fn list_predictions(
    State(app): State<App>,
    _: Viewer,
    Query(params): Query<ListParams>,
) -> ApiResult<Json<PredictionLedger>> {
    let request = PageRequest::new(params.limit, params.page_token);
    let (limit, after) = (request.limit()?, request.after::<Uuid>()?);
    let (found, calibration) = predictions::list_predictions(&app, after, limit + 1).await?;
    Ok(Json(predictions::ledger(page(found, limit, |one| one.run_id.0), calibration)))
}
