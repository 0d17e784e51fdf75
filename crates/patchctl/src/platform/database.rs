//! The database of the platform: that of the operator, or a private one that is restarted when it crashes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use local_postgres::{LocalPostgres, LocalPostgresConfig};
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use tokio::task::JoinHandle;

use terminal::Failure;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the private server is checked and restarted if it crashed.
const WATCH_EVERY: Duration = Duration::from_secs(1);
/// Four services with ten connections each, five for quick reads, those that wait for notifications, and room for `psql`.
const MAX_CONNECTIONS: &str = "120";

pub struct Database {
    url: SecretString,
    private: Option<(Arc<LocalPostgres>, JoinHandle<()>)>,
}

impl Database {
    /// Uses the database at `url`, or starts the private one in `folder`, and waits until it accepts connections.
    pub async fn open(url: Option<&SecretString>, folder: &Path) -> Result<Self, Failure> {
        let database = match url {
            Some(url) => Self { url: url.clone(), private: None },
            None => Self::start_private(folder).await?,
        };
        drop(connect(&database.url).await?);
        Ok(database)
    }

    pub fn url(&self) -> &SecretString {
        &self.url
    }

    /// Stops the private server; the server of an operator keeps running.
    pub async fn stop(self) {
        if let Some((server, watcher)) = self.private {
            watcher.abort();
            if tokio::task::spawn_blocking(move || server.stop_server()).await.is_err() {
                tracing::warn!("the private PostgreSQL did not stop cleanly; it recovers at the next start");
            }
        }
    }

    async fn start_private(folder: &Path) -> Result<Self, Failure> {
        let mut config = LocalPostgresConfig::new(folder);
        config.settings.insert("max_connections".to_owned(), MAX_CONNECTIONS.to_owned());
        let started = tokio::task::spawn_blocking(move || LocalPostgres::start(config)).await;
        let server = started.map_err(|_| Failure::new("the private PostgreSQL could not be started"))??;
        let (url, server) = (SecretString::from(server.maintenance_url()), Arc::new(server));
        let watcher = tokio::spawn(keep_running(server.clone()));
        Ok(Self { url, private: Some((server, watcher)) })
    }
}

/// Opens a single connection; the error has the reason of the failure.
pub async fn connect(url: &SecretString) -> Result<PgConnection, Failure> {
    let options: PgConnectOptions = url.expose_secret().parse().map_err(|_| {
        Failure::new("the database URL is not valid; write it like `postgres://user@host:5432/database`")
    })?;
    let place = format!(
        "`{}` on {}:{}",
        options.get_database().unwrap_or(options.get_username()),
        options.get_socket().map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string()),
        options.get_port()
    );
    let refused = |reason: String| {
        Failure::new(format!(
            "the database {place} cannot be reached ({reason}); start it, or correct --database-url or DATABASE_URL"
        ))
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(sqlx::Error::Io(error))) => Err(refused(error.to_string())),
        Ok(Err(sqlx::Error::Database(error))) => Err(refused(error.message().to_owned())),
        Ok(Err(error)) => Err(refused(error.to_string())),
        Err(_) => Err(refused(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
    }
}

/// Restarts the private server whenever it has ended; the services wait for it.
async fn keep_running(server: Arc<LocalPostgres>) {
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        if server.is_running() {
            continue;
        }
        tracing::warn!("the private PostgreSQL has ended; restarting it");
        let restarted = server.clone();
        match tokio::task::spawn_blocking(move || restarted.start_server()).await {
            Ok(Ok(())) => tracing::info!("the private PostgreSQL runs again"),
            Ok(Err(error)) => tracing::error!("the private PostgreSQL does not start: {error}"),
            Err(_) => return,
        }
    }
}
