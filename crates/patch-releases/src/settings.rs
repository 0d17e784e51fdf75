//! Settings of releases.

use std::path::PathBuf;

#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// Folder of the programs and playbooks that release policies may name as checks; they run as this service.
    #[arg(long, env = "PATCH_RELEASE_CHECKS")]
    pub release_checks: Option<PathBuf>,

    /// File that holds the secret with which webhooks to deployers, and their callbacks, are signed; 16 bytes or more.
    #[arg(long, env = "PATCH_WEBHOOK_SECRET_FILE")]
    pub webhook_secret_file: Option<PathBuf>,

    /// Customers' endpoints and deployers that may be reached although they are on a private network or an unusual port:
    /// `host` or `host:port`, comma-separated.
    #[arg(long, env = "PATCH_ALLOW_OUTBOUND_TO", value_delimiter = ',')]
    pub allow_outbound_to: Vec<String>,
}
