//! The platform's log: standard error, or a file.

use std::fs::OpenOptions;
use std::io::{IsTerminal, stderr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;

use service_kit::telemetry::LogFormat;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use terminal::Failure;

const FILTER: &str = "info,sqlx=warn";

/// Starts the log, filtered by RUST_LOG. A file is appended to, and other users cannot read it.
pub fn start_logging(format: LogFormat, file: Option<&Path>) -> Result<(), Failure> {
    let colours = file.is_none() && stderr().is_terminal();
    let writer = match file {
        None => BoxMakeWriter::new(stderr),
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
            let file = file.map_err(|error| {
                Failure::new(format!(
                    "cannot write the log `{}`: {error}; choose another --log-file",
                    path.display()
                ))
            })?;
            BoxMakeWriter::new(Mutex::new(file))
        }
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(FILTER));
    let registry = tracing_subscriber::registry().with(filter);
    // An existing subscriber keeps the log.
    let _ = match format {
        LogFormat::Text => {
            registry.with(fmt::layer().with_ansi(colours).with_target(false).with_writer(writer)).try_init()
        }
        LogFormat::Json => registry.with(fmt::layer().json().with_writer(writer)).try_init(),
    };
    Ok(())
}
