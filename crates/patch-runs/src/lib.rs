//! Plans, calendars, predictions, scans, host access and the run engine.
//!
//! Depends on `patch-compliance`, which knows which updates hosts are missing. A run works on subjects: on hosts in this
//! crate, on customers through [`engine::SubjectWork`], which the crate above implements.

#[allow(unused_qualifications, reason = "`utoipa::path` expands query parameters to qualified names")]
mod api;
pub mod app;
pub mod engine;
mod settings;
mod state;
mod store;
mod vault;

use std::sync::Arc;

use engine::SubjectWork;
use utoipa_axum::router::OpenApiRouter;

pub use settings::Settings;
pub use state::App;
pub use vault::VaultSettings;

pub(crate) use patch_compliance::{SERVICE, upstream_error};

pub fn routes() -> OpenApiRouter<App> {
    api::routes()
}

/// Starts the background work: scans, the run engine, the scheduler and the housekeeping of files.
pub fn start(app: &App, customers: Arc<dyn SubjectWork>) {
    app::scans::start_worker(app);
    app::run_files::start(app);
    engine::start_worker(app, customers);
}
