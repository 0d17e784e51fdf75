use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchctl --server https://patch.example.org login
  patchctl --server https://patch.example.org login --name production
  patchctl whoami
  patchctl logout")]
pub struct LoginArguments {
    /// Name of the context; by default the host and port of the platform.
    #[arg(long)]
    pub name: Option<String>,
    /// File with the certificate in PEM of the authority of a private identity provider.
    #[arg(long, value_name = "FILE")]
    pub provider_ca: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  patchctl context list
  patchctl context use production
  patchctl --context staging compliance")]
pub enum ContextCommand {
    /// List the platforms that you have signed in to, and which one commands use.
    List,
    /// Make a platform the one that commands use when they name none.
    Use { name: String },
}
