//! The command line of a thin service binary: `serve | migrate | openapi | healthcheck`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use api_types::access::Role;
use chrono::{TimeDelta, Utc};
use clap::{Parser, Subcommand};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    access,
    audit_export::AuditExports,
    clock::Clock,
    config::{DatabaseConfig, ServeConfig},
    connections::raise_file_limit,
    database,
    oidc::Oidc,
    server::{self, Context, Service},
    telemetry::{self, LogFormat},
    tls::Transport,
    webhooks::WebhookKey,
};

#[derive(Debug, Parser)]
#[command(version, about = "A service of the patch manager")]
struct Cli<A: clap::Args> {
    #[command(subcommand)]
    command: Command<A>,
}

#[derive(Debug, Subcommand)]
enum Command<A: clap::Args> {
    /// Serve requests until SIGTERM or ctrl-C.
    Serve {
        #[command(flatten)]
        config: Box<ServeConfig>,
        #[command(flatten)]
        settings: A,
    },
    /// Bring the database to this version and register the given tokens, then exit.
    Migrate {
        #[command(flatten)]
        database: DatabaseConfig,
        /// File with the token for requests between the services.
        #[arg(long, env = "SERVICE_TOKEN_FILE")]
        service_token_file: Option<PathBuf>,
        /// File with a token for the first administrator.
        #[arg(long, env = "ADMIN_TOKEN_FILE")]
        admin_token_file: Option<PathBuf>,
        /// File with a token for the approver `approver`, for a platform that has no approver any more who could confirm a new
        /// one.
        #[arg(long, env = "APPROVER_TOKEN_FILE")]
        approver_token_file: Option<PathBuf>,
    },
    /// Print the OpenAPI document.
    Openapi,
    /// Check whether a running service is ready; exit status 0 if it is.
    Healthcheck {
        /// Its base URL; by default, its default port on this machine.
        #[arg(long)]
        url: Option<String>,
    },
}

/// `main` of a service binary.
pub fn main<S: Service>() -> ExitCode {
    let cli = Cli::<S::Settings>::parse();
    raise_file_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(run::<S>(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

async fn run<S: Service>(command: Command<S::Settings>) -> anyhow::Result<()> {
    match command {
        Command::Serve { config, settings } => serve::<S>(*config, settings).await,
        Command::Migrate { database, service_token_file, admin_token_file, approver_token_file } => {
            let tokens = [
                (service_token_file, access::service_subject("platform"), Role::Service),
                (admin_token_file, "admin".to_owned(), Role::Admin),
                (approver_token_file, "approver".to_owned(), Role::Approver),
            ];
            migrate::<S>(database, tokens).await
        }
        Command::Openapi => {
            println!("{}", server::openapi::<S>().to_pretty_json()?);
            Ok(())
        }
        Command::Healthcheck { url } => {
            let base = url.unwrap_or_else(|| format!("http://127.0.0.1:{}", S::DEFAULT_PORT));
            let answer = reqwest::Client::new()
                .get(format!("{base}/readyz"))
                .timeout(Duration::from_secs(5))
                .send()
                .await?;
            anyhow::ensure!(
                answer.status().is_success(),
                "not ready: {}",
                answer.text().await.unwrap_or_default()
            );
            Ok(())
        }
    }
}

async fn serve<S: Service>(config: ServeConfig, settings: S::Settings) -> anyhow::Result<()> {
    telemetry::start_logging(config.log_format, "info,sqlx=warn");
    let listen = config.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], S::DEFAULT_PORT)));
    let transport = Transport::new(&config.tls)?;
    transport.check(listen)?;
    let scheme = if matches!(transport, Transport::Tls(_)) { "https" } else { "http" };
    let own_url = listen.ip().is_loopback().then(|| format!("{scheme}://{listen}"));
    let oidc = Oidc::new(&config.oidc, own_url.as_deref())?;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}; choose another with --listen"))?;
    let pools = pools::<S>(&config.database)?;
    let context = Context {
        pool: pools.work,
        request_pool: pools.requests,
        clock: Clock::system(),
        service_token: read_token(&config.service_token_file)?,
        webhook_key: WebhookKey::from_file(config.webhooks.webhook_key_file.as_deref())?,
        transport,
        audit_exports: AuditExports::new(&config.audit_export)?,
        oidc,
        limits: config.limits,
        shutdown: stop_signal()?,
        tasks: TaskTracker::new(),
    };
    server::serve::<S>(context, listener, settings).await
}

async fn migrate<S: Service>(
    config: DatabaseConfig,
    tokens: [(Option<PathBuf>, String, Role); 3],
) -> anyhow::Result<()> {
    telemetry::start_logging(LogFormat::Text, "info,sqlx=warn");
    let pool = pools::<S>(&config)?.work;
    database::migrate(&pool, S::SCHEMA, S::migrator())
        .await
        .map_err(|error| anyhow::anyhow!(database::explain(&error)))?;
    for (file, subject, role) in tokens {
        let Some(file) = file else { continue };
        let token = read_token(&file)?;
        let now = Utc::now();
        let mut conn = pool.acquire().await?;
        access::ensure_token(
            &mut conn,
            token.expose_secret(),
            &subject,
            &[role],
            now,
            now + TimeDelta::days(365),
        )
        .await?;
    }
    tracing::info!("schema `{}` is at this version", S::SCHEMA);
    Ok(())
}

fn pools<S: Service>(config: &DatabaseConfig) -> anyhow::Result<database::Pools> {
    let url = database_url(config)?;
    database::Pools::connect(url.expose_secret(), S::NAME, config.database_max_connections).map_err(|_| {
        anyhow::anyhow!("the database URL cannot be read; expected `postgres://user@host/database`")
    })
}

fn database_url(config: &DatabaseConfig) -> anyhow::Result<SecretString> {
    match (&config.database_url, &config.database_url_file) {
        (Some(url), _) => Ok(url.clone()),
        (None, Some(file)) => read_secret(file, "database URL", "postgres"),
        (None, None) => anyhow::bail!("no database is set; use DATABASE_URL or --database-url-file"),
    }
}

fn read_token(file: &Path) -> anyhow::Result<SecretString> {
    read_secret(file, "token", "pm_")
}

/// The only line of a secret's file. Its prefix shows whether it is the right file without revealing the secret.
fn read_secret(file: &Path, what: &str, prefix: &str) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the {what} file `{}`", file.display()))?;
    let secret = text.trim();
    anyhow::ensure!(
        secret.starts_with(prefix),
        "`{}` does not contain a {what} (`{prefix}...`)",
        file.display()
    );
    Ok(SecretString::from(secret))
}

/// A token that is cancelled at SIGTERM or ctrl-C.
pub fn stop_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let token = CancellationToken::new();
    let stopping = token.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        stopping.cancel();
    });
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_file(path: PathBuf) -> DatabaseConfig {
        DatabaseConfig { database_url: None, database_url_file: Some(path), database_max_connections: 2 }
    }

    #[test]
    fn database_url_comes_from_a_file_without_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("database-url");
        std::fs::write(&file, "postgres://patch:hidden@db/patch\n").unwrap();
        let url = database_url(&from_file(file)).unwrap();
        assert_eq!(url.expose_secret(), "postgres://patch:hidden@db/patch");
    }

    #[test]
    fn file_without_a_database_url_is_named_and_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let missing = database_url(&from_file(file.clone())).unwrap_err();
        assert!(format!("{missing:#}").contains(&*file.to_string_lossy()), "{missing:#}");

        std::fs::write(&file, "pm_hidden").unwrap();
        let wrong = database_url(&from_file(file.clone())).unwrap_err().to_string();
        assert!(wrong.contains(&*file.to_string_lossy()) && !wrong.contains("hidden"), "{wrong}");
    }
}
