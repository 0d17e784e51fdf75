//! `backup`, on the machine of the platform.

use secrecy::SecretString;
use service_kit::cli;

use crate::arguments::{BackupArguments, GlobalOptions, OtherDatabase};
use crate::connect;
use crate::input;
use crate::platform::{BackupConfig, Manifest, back_up};
use terminal::{CommandResult, Failure};
use terminal::{Printer, row};

pub async fn run(global: &GlobalOptions, arguments: BackupArguments, printer: Printer) -> CommandResult {
    let stop = cli::stop_signal()?;
    let config = BackupConfig {
        data_dir: connect::data_dir(global)?,
        database_url: database_url(&arguments.database)?,
        file: arguments.file,
    };
    // What was begun is removed.
    let manifest = tokio::select! {
        made = back_up(&config) => made?,
        () = stop.cancelled() => return Err(Failure::new("the backup was stopped; no file was written")),
    };
    show(&manifest, printer)
}

pub(super) fn database_url(given: &OtherDatabase) -> Result<Option<SecretString>, Failure> {
    match (&given.database_url, &given.database_url_file) {
        (Some(url), _) => Ok(Some(url.clone())),
        (None, Some(file)) => Ok(Some(SecretString::from(input::read_text(file)?.trim()))),
        (None, None) => Ok(None),
    }
}

/// Prints what a backup is about; with every part for programs.
pub(super) fn show(manifest: &Manifest, printer: Printer) -> CommandResult {
    let bytes: u64 = manifest.parts.iter().map(|part| part.bytes).sum();
    let installation = manifest.installation.map(|id| id.to_string()).unwrap_or_default();
    let made_at = manifest.made_at.format("%Y-%m-%dT%H:%M:%SZ");
    let row = row![installation, made_at, manifest.program, manifest.postgres, manifest.parts.len(), bytes];
    printer.rows_of(manifest, &["installation", "made at", "program", "postgres", "parts", "bytes"], [row])
}
