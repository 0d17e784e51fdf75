//! The patch-manager: its capabilities composed into one service, and the page.
//!
//! `patch-compliance`, `patch-runs` and `patch-releases` hold the rules, each on those before it. They reach CMDB, ITSM and
//! sim-engine over HTTP only and never read another service's tables.

mod page;
mod service;
mod settings;

pub use patch_compliance::FeedSettings;
pub use service::PatchManager;
pub use settings::Settings;
