//! The patch-manager: composes its capabilities and the console into one service.
//!
//! `patch-compliance`, `patch-runs` and `patch-releases` contain the rules; each depends on those before it. They use CMDB, ITSM
//! and sim-engine over HTTP only and never read another service's tables.

#[allow(unused_qualifications, reason = "`utoipa::path` expands query parameters to qualified names")]
mod api;
mod app;
mod console;
mod service;
mod settings;

pub use patch_compliance::FeedSettings;
pub use service::PatchManager;
pub use settings::Settings;
