//! Which hosts are missing which fixes: inventory, package sets, matching, policies, exceptions, roll-ups and feeds.
//!
//! The lowest capability of the patch-manager. It reads the CMDB and the advisories, and it never starts work on a host:
//! it does not know about runs.

#[allow(unused_qualifications, reason = "`utoipa::path` expands query parameters to qualified names")]
mod api;
pub mod app;
mod settings;
mod state;
mod store;
mod upstream_error;

use sqlx::migrate::Migrator;
use utoipa_axum::router::OpenApiRouter;

pub use settings::{FeedSettings, Settings};
pub use state::App;
pub use upstream_error::upstream_error;

/// The service that all capabilities belong to; its name in audit records and events.
pub const SERVICE: &str = "patch-manager";
/// The schema that all capabilities share.
pub const SCHEMA: &str = "patch";

/// The migrations of the schema, for all capabilities.
pub fn migrator() -> Migrator {
    sqlx::migrate!("../../migrations/patch")
}

pub fn routes() -> OpenApiRouter<App> {
    api::routes()
}

/// Starts the background work: housekeeping, the watched folder of feeds, and feeds that are fetched.
pub fn start(app: &App) {
    app::housekeeping::start(app);
    app::installed::start(app);
    app::feed_folder::start(app);
    app::feed_fetcher::start(app);
}
