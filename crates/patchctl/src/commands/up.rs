//! `up`: runs the platform until it receives a stop signal.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use service_kit::{Clock, cli, tls::Transport};

use crate::arguments::{GlobalOptions, UpArguments};
use crate::connect;
use crate::input;
use crate::platform::{Authority, Platform, PlatformConfig, secure, start_logging};
use terminal::{CommandResult, Failure, OK};
use terminal::{is_terminal, note, print};

pub async fn run(global: &GlobalOptions, arguments: UpArguments) -> CommandResult {
    start_logging(arguments.log_format, arguments.log_file.as_deref())?;
    let stop = cli::stop_signal()?;
    let data_dir = connect::data_dir(global)?;
    let database_url = database_url(&arguments)?;
    let transport = transport(&arguments, &data_dir, database_url.is_none())?;
    let config = PlatformConfig {
        data_dir,
        port_base: global.port_base,
        bind: arguments.bind,
        transport,
        database_url,
        fleet_dir: None,
        laboratory: arguments.laboratory,
        clock: Clock::system(),
        release_checks: None,
    };
    let mut platform = tokio::select! {
        started = Platform::start(&config) => started?,
        () = stop.cancelled() => return OK,
    };
    announce(&platform)?;
    let failure = tokio::select! {
        failure = platform.failed() => Some(failure),
        () = stop.cancelled() => None,
    };
    platform.stop().await;
    failure.map_or(OK, Err)
}

/// A platform that was started with TLS once speaks it from then on.
fn transport(arguments: &UpArguments, data_dir: &Path, has_server: bool) -> Result<Transport, Failure> {
    if arguments.tls || Authority::of(data_dir).exists() {
        return secure(data_dir, has_server, arguments.bind);
    }
    Ok(if arguments.allow_plain_http { Transport::PlainEverywhere } else { Transport::PlainOnLoopback })
}

fn database_url(arguments: &UpArguments) -> Result<Option<SecretString>, Failure> {
    match (&arguments.database_url, &arguments.database_url_file) {
        (Some(url), _) => Ok(Some(url.clone())),
        (None, Some(file)) => Ok(Some(SecretString::from(input::read_text(file)?.trim()))),
        (None, None) => Ok(None),
    }
}

/// Prints the addresses and `ready` on standard output, and the rest, which is for people, on standard error.
fn announce(platform: &Platform) -> Result<(), Failure> {
    for (service, address) in platform.addresses.each() {
        print(&format!("{service:<14} {address}"))?;
    }
    note(&format!("the admin token is in {}", platform.admin_token_file().display()));
    // Printed once, and only on a terminal: anything else may be a log.
    if platform.admin_token_is_new && is_terminal() {
        note(&format!("admin token: {}", platform.admin_token.expose_secret()));
    }
    print("ready")
}
