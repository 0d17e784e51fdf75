//! The product's own releases to customers: registered, rolled out tier by tier, watched and rolled back.
//!
//! A rollout is a run of `patch-runs`, whose machine decides it; what is done to customers is done here, in
//! [`CustomerWork`].

#[allow(unused_qualifications, reason = "`utoipa::path` expands query parameters to qualified names")]
mod api;
mod app;
mod settings;
mod state;
mod store;

use utoipa_axum::router::OpenApiRouter;

pub use app::rollout::CustomerWork;
pub use settings::Settings;
pub use state::{App, Outside};

pub(crate) use patch_compliance::SERVICE;

pub fn routes() -> OpenApiRouter<App> {
    api::routes()
}

/// Starts the background work: the health watch over customers.
pub fn start(app: &App) {
    app.runs.tasks.spawn(app::watch::run(app.clone()));
}
