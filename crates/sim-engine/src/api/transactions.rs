use std::time::Duration;

use api_types::{
    page::Page,
    problem::Problem,
    sim::{StartTransaction, Transaction, TransactionState},
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use domain::ids::CiId;
use serde::Deserialize;
use service_kit::{ApiError, ApiResult, Json, Operator, Path, Query, Viewer};

use super::params::PageParams;
use crate::{app, service::SimState};

/// Longest `wait` that may be asked for.
const MOST_WAIT_SECONDS: u32 = 30;
/// Longest that is really waited: an answer must begin before the server's own timeout of 30 seconds.
const LONGEST_WAIT: Duration = Duration::from_secs(27);

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub struct StartParams {
    /// Seconds to wait for the end, 0 to 30; the answer comes after 27 at the latest.
    wait: Option<u32>,
}

/// Start a package transaction in a guest, or get the one that has this id: 200 when it has ended, 202 while it runs.
#[utoipa::path(post, path = "/sim/vms/{id}/guest/transactions", tag = "guest", request_body = StartTransaction,
    params(("id" = CiId, Path, description = "VM"), StartParams),
    responses((status = 200, body = Transaction), (status = 202, body = Transaction), (status = "4XX", body = Problem),
        (status = 503, body = Problem)))]
pub async fn start_transaction(
    State(state): State<SimState>,
    caller: Operator,
    Path(id): Path<CiId>,
    Query(params): Query<StartParams>,
    Json(request): Json<StartTransaction>,
) -> ApiResult<impl IntoResponse> {
    let wait = params.wait.unwrap_or_default();
    if wait > MOST_WAIT_SECONDS {
        return Err(ApiError::invalid("wait", format!("must be 0 to {MOST_WAIT_SECONDS}, not {wait}")));
    }
    let wait = LONGEST_WAIT.min(Duration::from_secs(wait.into()));
    let started = app::transactions::start_transaction(&state, &caller, &id, &request).await?;
    let transaction = app::transactions::await_transaction(&state, &id, started, wait).await?;
    let status = match transaction.state {
        TransactionState::Running => StatusCode::ACCEPTED,
        TransactionState::Completed | TransactionState::Failed => StatusCode::OK,
    };
    let location = format!("/sim/vms/{id}/guest/transactions/{}", segment(&transaction.transaction_id));
    Ok((status, [(header::LOCATION, location)], Json(transaction)))
}

/// The package history of a guest, newest first.
#[utoipa::path(get, path = "/sim/vms/{id}/guest/transactions", tag = "guest",
    params(("id" = CiId, Path, description = "VM"), PageParams),
    responses((status = 200, body = Page<Transaction>), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
pub async fn list_transactions(
    State(state): State<SimState>,
    _: Viewer,
    Path(id): Path<CiId>,
    Query(params): Query<PageParams>,
) -> ApiResult<Json<Page<Transaction>>> {
    Ok(Json(app::transactions::list_transactions(&state, &id, &params.into()).await?))
}

/// Read a package transaction.
#[utoipa::path(get, path = "/sim/vms/{id}/guest/transactions/{transaction_id}", tag = "guest",
    params(("id" = CiId, Path, description = "VM"), ("transaction_id" = String, Path, description = "transaction")),
    responses((status = 200, body = Transaction), (status = "4XX", body = Problem), (status = 503, body = Problem)))]
pub async fn get_transaction(
    State(state): State<SimState>,
    _: Viewer,
    Path((id, transaction_id)): Path<(CiId, String)>,
) -> ApiResult<Json<Transaction>> {
    Ok(Json(app::transactions::get_transaction(&state, &id, &transaction_id).await?))
}

/// One segment of an address, whatever characters the id has.
fn segment(text: &str) -> String {
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':');
    text.bytes().fold(String::new(), |segment, byte| match is_plain(byte) {
        true => segment + char::from(byte).encode_utf8(&mut [0; 4]),
        false => segment + &format!("%{byte:02X}"),
    })
}
