use std::time::Duration;

use api_types::{
    page::Page,
    problem::Problem,
    sim::{PutRunOwner, RunOwner, StartTransaction, Transaction, TransactionState},
};
use axum::{extract::State, http::StatusCode, response::IntoResponse};
use domain::ids::CiId;
use serde::Deserialize;
use service_kit::{ApiError, ApiResult, Json, Operator, Path, Query, Viewer};

use super::{PageParams, located};
use crate::{app, state::App};

/// Maximum of the parameter `wait`.
const MAX_WAIT_SECONDS: u32 = 30;
/// Maximum that is really waited: an answer must begin before the server's own timeout of 30 seconds.
const MAX_WAIT: Duration = Duration::from_secs(27);

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub struct StartParams {
    /// Seconds to wait for the end, 0 to 30. The answer comes after 27 seconds at most.
    wait: Option<u32>,
}

/// Start a package transaction in a guest, or read the one with this id: 200 when it has ended, 202 while it runs.
#[utoipa::path(post, path = "/sim/vms/{id}/guest/transactions", tag = "guest", request_body = StartTransaction,
    params(("id" = CiId, Path, description = "VM"), StartParams),
    responses((status = 200, body = Transaction), (status = 202, body = Transaction), (status = "4XX", body = Problem),
        (status = 503, body = Problem)))]
pub async fn start_transaction(
    State(app): State<App>,
    caller: Operator,
    Path(id): Path<CiId>,
    Query(params): Query<StartParams>,
    Json(request): Json<StartTransaction>,
) -> ApiResult<impl IntoResponse> {
    let wait = params.wait.unwrap_or_default();
    if wait > MAX_WAIT_SECONDS {
        return Err(ApiError::invalid("wait", format!("must be 0 to {MAX_WAIT_SECONDS}, not {wait}")));
    }
    let wait = MAX_WAIT.min(Duration::from_secs(wait.into()));
    let started = app::transactions::start_transaction(&app, &caller, &id, &request).await?;
    let transaction = app::transactions::await_transaction(&app, &id, started, wait).await?;
    let status = match transaction.state {
        TransactionState::Running => StatusCode::ACCEPTED,
        TransactionState::Completed | TransactionState::Failed => StatusCode::OK,
    };
    let location = format!("/sim/vms/{id}/guest/transactions/{}", path_segment(&transaction.transaction_id));
    Ok(located(status, location, transaction))
}

/// List the package transactions of a guest, newest first.
#[utoipa::path(get, path = "/sim/vms/{id}/guest/transactions", tag = "guest",
    params(("id" = CiId, Path, description = "VM"), PageParams),
    responses((status = 200, body = Page<Transaction>), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
pub async fn list_transactions(
    State(app): State<App>,
    _: Viewer,
    Path(id): Path<CiId>,
    Query(page): Query<PageParams>,
) -> ApiResult<Json<Page<Transaction>>> {
    app::transactions::list_transactions(&app, &id, &page.into()).await.map(Json)
}

/// Read a package transaction.
#[utoipa::path(get, path = "/sim/vms/{id}/guest/transactions/{transaction_id}", tag = "guest",
    params(("id" = CiId, Path, description = "VM"), ("transaction_id" = String, Path, description = "transaction")),
    responses((status = 200, body = Transaction), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
pub async fn get_transaction(
    State(app): State<App>,
    _: Viewer,
    Path((id, transaction_id)): Path<(CiId, String)>,
) -> ApiResult<Json<Transaction>> {
    app::transactions::get_transaction(&app, &id, &transaction_id).await.map(Json)
}

/// Register the owner of a run, so that the guest refuses package transactions of its earlier owners: 409 `run-superseded`.
#[utoipa::path(put, path = "/sim/vms/{id}/guest/runs/{run_id}", tag = "guest", request_body = PutRunOwner,
    params(("id" = CiId, Path, description = "VM"), ("run_id" = String, Path, description = "run")),
    responses((status = 200, body = RunOwner), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
pub async fn put_run_owner(
    State(app): State<App>,
    caller: Operator,
    Path((id, run_id)): Path<(CiId, String)>,
    Json(request): Json<PutRunOwner>,
) -> ApiResult<Json<RunOwner>> {
    let owner = RunOwner { run_id, epoch: request.epoch };
    app::run_owners::put_run_owner(&app, &caller, &id, owner).await.map(Json)
}

/// Percent-encodes a text as one segment of a path.
fn path_segment(text: &str) -> String {
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':');
    let encode = |byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(encode).collect()
}
