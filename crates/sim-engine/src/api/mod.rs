//! The HTTP interface: handlers extract, call the function of the same name in `app`, and convert.

mod customers;
mod faults;
mod guest;
mod repositories;
mod snapshots;
mod state;
mod transactions;
mod vms;

use axum::{
    extract::{DefaultBodyLimit, Request},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use service_kit::{ApiError, Json, page::PageRequest};
use tracing::Instrument;
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt},
    routes,
};

use crate::state::App;

/// For bodies that contain many machines or a whole repository.
const LARGE_BODY: usize = 32 * 1024 * 1024;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
pub struct PageParams {
    /// Maximum number of items, 1 to 1000. Default 100.
    limit: Option<u32>,
    /// `next_page_token` of the previous page.
    page_token: Option<String>,
}

impl From<PageParams> for PageRequest {
    fn from(params: PageParams) -> Self {
        Self::new(params.limit, params.page_token)
    }
}

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(vms::list_vms, vms::create_vm))
        .routes(routes!(vms::create_vms).layer(DefaultBodyLimit::max(LARGE_BODY)))
        .routes(routes!(vms::get_vm, vms::delete_vm))
        .routes(routes!(vms::set_power))
        .routes(routes!(snapshots::list_snapshots, snapshots::create_snapshot))
        .routes(routes!(snapshots::delete_snapshot))
        .routes(routes!(snapshots::revert_snapshot))
        .routes(routes!(snapshots::rehearse_revert))
        .routes(routes!(guest::get_guest))
        .routes(routes!(transactions::list_transactions, transactions::start_transaction))
        .routes(routes!(transactions::get_transaction))
        .routes(routes!(transactions::put_run_owner))
        .routes(routes!(guest::control_service))
        .routes(routes!(guest::reboot_guest))
        .routes(routes!(state::list_hosts))
        .routes(routes!(state::list_clusters))
        .routes(routes!(state::get_state))
        .routes(routes!(state::get_state_diff))
        .routes(
            routes!(repositories::get_repository, repositories::put_repository)
                .layer(DefaultBodyLimit::max(LARGE_BODY)),
        )
        .routes(routes!(customers::list_customers))
        .routes(routes!(customers::get_customer, customers::put_customer, customers::delete_customer))
        .routes(routes!(customers::put_customer_faults))
        .routes(routes!(customers::start_deployment))
        .routes(routes!(customers::get_deployment))
        .routes(routes!(customers::get_customer_health))
        .routes(routes!(faults::list_faults))
        .routes(routes!(faults::inject_fault, faults::delete_fault))
        .route_layer(middleware::from_fn(complete_writes))
}

/// Completes a write even when its client disconnects: an operation on a real machine must not stop half way, and the
/// same request sent again gets its answer.
async fn complete_writes(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let write = tokio::spawn(next.run(request).in_current_span());
    write.await.unwrap_or_else(|error| ApiError::internal(error).into_response())
}

/// An answer that names the address of what was created or accepted.
fn located<T: Serialize>(status: StatusCode, location: String, body: T) -> impl IntoResponse {
    (status, [(header::LOCATION, location)], Json(body))
}
