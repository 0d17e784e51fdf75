//! The whole platform in this process: data folder, private PostgreSQL, and the four services, which use the same HTTP
//! interfaces between them as everywhere else.

mod addresses;
mod authority;
mod backup;
mod data_dir;
mod database;
mod logging;
mod readiness;
mod services;
mod settings;
mod tokens;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use service_kit::Clock;
use service_kit::tls::Transport;

use terminal::Failure;

pub use addresses::Addresses;
pub use authority::Authority;
pub use backup::{BackupConfig, Manifest, RestoreConfig, back_up, restore};
pub use data_dir::default_data_dir;
pub use logging::start_logging;
pub use readiness::ask_readiness;

use data_dir::DataDir;
use database::Database;
use services::Services;

/// Time for the services to stop; together with the database, a stop takes less than ten seconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(7);

#[derive(Debug, Clone)]
pub struct PlatformConfig {
    pub data_dir: PathBuf,
    /// The first of four consecutive ports.
    pub port_base: u16,
    pub bind: IpAddr,
    /// What the listeners speak.
    pub transport: Transport,
    /// PostgreSQL to use instead of the private one.
    pub database_url: Option<SecretString>,
    /// Folder for a fleet of real hosts; by default that of the environment.
    pub fleet_dir: Option<PathBuf>,
    /// Whether people may create, delete and break machines of the sim-engine.
    pub laboratory: bool,
    /// Clock of the services: the system clock, except in a demo.
    pub clock: Clock,
    /// Folder of the checks of release policies, if the environment names none.
    pub release_checks: Option<PathBuf>,
}

/// Makes the authority of a platform that is not running, and its certificate; starts this program again if its clients do not trust
/// the authority yet.
pub fn secure(data_dir: &Path, has_server: bool, bind: IpAddr) -> Result<Transport, Failure> {
    let data_dir = DataDir::open(data_dir, has_server)?;
    let authority = Authority::of(data_dir.path());
    authority.ensure(bind)?;
    drop(data_dir);
    authority.restart_trusting()?;
    authority.transport()
}

/// A running platform. Dropping it stops the services; [`Platform::stop`] waits for them.
pub struct Platform {
    pub addresses: Addresses,
    pub admin_token: SecretString,
    /// Whether the admin token was created or renewed at this start.
    pub admin_token_is_new: bool,
    data_dir: DataDir,
    services: Services,
    database: Database,
}

impl Platform {
    /// Starts everything and returns when all four services are ready.
    pub async fn start(config: &PlatformConfig) -> Result<Self, Failure> {
        addresses::check_plain(config.bind, &config.transport)?;
        let is_private = config.database_url.is_none();
        let data_dir = DataDir::open(&config.data_dir, is_private)?;
        // Bind the ports before anything that takes time or changes files.
        let listeners = addresses::bind(config.bind, config.port_base).await?;
        let addresses =
            Addresses::new(config.bind, config.port_base, matches!(config.transport, Transport::Tls(_)));
        let database =
            Database::open(config.database_url.as_ref(), &data_dir.path().join("postgres")).await?;
        services::migrate_all(database.url()).await?;
        let admin = tokens::admin(data_dir.path())?;
        let service = tokens::service(data_dir.path())?;
        tokens::register(database.url(), &admin, &service).await?;
        let mut services = Services::start(listeners, &addresses, database.url(), &service.secret, config)?;
        services.until_ready(&addresses).await?;
        Ok(Self {
            addresses,
            admin_token: admin.secret,
            admin_token_is_new: admin.is_new,
            data_dir,
            services,
            database,
        })
    }

    /// The file of the admin token.
    pub fn admin_token_file(&self) -> PathBuf {
        tokens::admin_file(self.data_dir.path())
    }

    /// Waits until a service ends unexpectedly, and returns the reason.
    pub async fn failed(&mut self) -> Failure {
        self.services.failed().await
    }

    /// Stops the services, then the private PostgreSQL. Open work continues at the next start.
    pub async fn stop(self) {
        self.services.stop(STOP_TIMEOUT).await;
        self.database.stop().await;
    }
}
