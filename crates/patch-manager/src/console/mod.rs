//! The console: its files, which contain no data, and the way to the other services for the browser.

mod files;
mod gateway;

use axum::{Router, extract::DefaultBodyLimit, routing::any};
use utoipa_axum::router::OpenApiRouter;

pub(crate) use self::gateway::Gateway;

/// The longest body that one of the services accepts. Each enforces a limit of its own for each path.
const BODY_LIMIT: usize = 32 * 1024 * 1024;

/// Served without a token.
pub(crate) fn pages() -> OpenApiRouter {
    OpenApiRouter::from(files::routes())
}

pub(crate) fn services(gateway: Gateway) -> OpenApiRouter {
    let services = Router::new()
        .route("/cmdb/{*path}", any(gateway::pass_on))
        .route("/itsm/{*path}", any(gateway::pass_on))
        .route("/sim/{*path}", any(gateway::pass_on))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(gateway);
    OpenApiRouter::from(services)
}
