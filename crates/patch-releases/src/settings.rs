//! Settings of releases.

use std::path::PathBuf;

#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// Folder of the programs and playbooks that release policies may use as checks; they run as this service.
    #[arg(long, env = "PATCH_RELEASE_CHECKS")]
    pub release_checks: Option<PathBuf>,
}
