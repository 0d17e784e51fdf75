//! Settings of the patch-manager: those of its capabilities.

#[derive(Debug, Clone, Default, clap::Args)]
pub struct Settings {
    #[command(flatten)]
    pub compliance: patch_compliance::Settings,

    #[command(flatten)]
    pub runs: patch_runs::Settings,

    #[command(flatten)]
    pub releases: patch_releases::Settings,
}
