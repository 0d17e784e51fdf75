//! `/patch/diagnosis`.

use api_types::{patch::Diagnosis, problem::Problem};
use axum::extract::State;
use service_kit::{ApiResult, Json, Viewer};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, app::diagnosis};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(get_diagnosis))
}

/// Get what the service sees of its machine and its database: clocks, room, Ansible, keys for hosts.
///
/// What cannot be found out within a few seconds is null, with the reason. The answer is of one replica.
#[utoipa::path(get, path = "/patch/diagnosis", tag = "diagnosis",
    responses((status = 200, body = Diagnosis), (status = "4XX", body = Problem)))]
async fn get_diagnosis(State(app): State<App>, _: Viewer) -> ApiResult<Json<Diagnosis>> {
    diagnosis::get_diagnosis(&app).await.map(Json)
}
