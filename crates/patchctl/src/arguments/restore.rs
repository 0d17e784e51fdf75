use std::path::PathBuf;

use clap::{Args, Subcommand};
use secrecy::SecretString;

/// PostgreSQL to use instead of the private one of the data folder.
#[derive(Debug, Args)]
pub struct OtherDatabase {
    /// PostgreSQL of the platform, if it is not the private one. Prefer the environment variable: other users of the machine cannot
    /// read it.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<SecretString>,

    /// File that contains the database URL.
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "FILE", conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The file contains keys and tokens: keep it like them. Only you can read it.

Examples:
  patchctl backup /backup/patch-2026-03-03.tar
  DATABASE_URL=postgres://patch@db.example.com/patch patchctl backup /backup/patch.tar --data-dir /srv/patch")]
pub struct BackupArguments {
    /// New file for the backup.
    pub file: PathBuf,

    #[command(flatten)]
    pub database: OtherDatabase,
}

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  patchctl restore /backup/patch-2026-03-03.tar --data-dir /srv/patch
  patchctl restore /backup/patch-2026-03-03.tar --replace
  patchctl restore status
  patchctl restore confirm --reason \"restored the backup of 3 March after the disk failed\""
)]
pub struct RestoreArguments {
    #[command(subcommand)]
    pub command: Option<RestoreCommand>,

    /// Backup to restore, made by `patchctl backup`. The platform must be stopped.
    #[arg(required = true)]
    pub file: Option<PathBuf>,

    /// Replace the platform that is in the data folder and in the database.
    #[arg(long)]
    pub replace: bool,

    #[command(flatten)]
    pub database: OtherDatabase,
}

#[derive(Debug, Subcommand)]
pub enum RestoreCommand {
    /// Show whether the database was restored or copied, and which runs wait. Exit status 3 until it is confirmed.
    Status,
    /// Confirm that this platform may work with this database. Runs stay paused until you resume or cancel each; a resumed run scans
    /// its hosts first. Make sure that no other platform works with a copy of it.
    Confirm {
        /// Why, for the audit log.
        #[arg(long)]
        reason: String,
    },
}
