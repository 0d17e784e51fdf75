//! The HTTP interface: handlers extract, call the verb of the same name in `app`, and convert.

mod faults;
mod guest;
mod params;
mod repositories;
mod snapshots;
mod state;
mod transactions;
mod vms;

use std::future::Future;

use axum::extract::DefaultBodyLimit;
use service_kit::{ApiError, ApiResult};
use utoipa_axum::{
    router::{OpenApiRouter, UtoipaMethodRouterExt},
    routes,
};

use crate::service::SimState;

/// Bodies that carry many machines or a whole repository.
const LARGE_BODY: usize = 32 * 1024 * 1024;

/// Lets an operation come to its end even when whoever asked for it has gone: what it does to a real machine cannot be left
/// half way, and the same request sent again gets its answer.
async fn to_the_end<T: Send + 'static>(
    operation: impl Future<Output = ApiResult<T>> + Send + 'static,
) -> ApiResult<T> {
    tokio::spawn(operation).await.map_err(ApiError::internal)?
}

pub fn routes() -> OpenApiRouter<SimState> {
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
        .routes(routes!(faults::list_faults))
        .routes(routes!(faults::inject_fault, faults::delete_fault))
}
