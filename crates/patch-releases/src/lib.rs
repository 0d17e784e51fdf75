//! Releases of the product to customers: registered, rolled out tier by tier, watched and rolled back.
//!
//! A rollout is a run of `patch-runs`, whose machine decides what to do; [`CustomerWork`] performs it on customers.

#[allow(unused_qualifications, reason = "`utoipa::path` expands query parameters to qualified names")]
mod api;
mod app;
mod settings;
mod state;
mod store;

use utoipa_axum::router::OpenApiRouter;

pub use app::{customer_work::CustomerWork, search::search_customers};
pub use settings::Settings;
pub use state::{App, Outside};

pub(crate) use patch_compliance::SERVICE;

pub fn routes() -> OpenApiRouter<App> {
    api::routes()
}

/// Starts the health watch over customers in the background.
pub fn start(app: &App) {
    app.runs.tasks.spawn(app::health_watch::run(app.clone()));
}
