//! The four services: each on its own thread, with its own pools and background tasks; all are stopped together.

use std::collections::HashMap;
use std::time::Duration;

use cmdb::Cmdb;
use itsm::Itsm;
use patch_manager::PatchManager;
use secrecy::{ExposeSecret, SecretString};
use service_kit::Clock;
use service_kit::audit_export::AuditExports;
use service_kit::database::{self, Pools};
use service_kit::oidc::Oidc;
use service_kit::server::{self, Context, Service};
use service_kit::tls::Transport;
use service_kit::webhooks::WebhookKey;
use sim_engine::SimEngine;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::PlatformConfig;
use super::addresses::Addresses;
use super::readiness::ask_readiness;
use super::settings;
use terminal::Failure;

/// Enough for a first start to create all tables on a slow disk.
const READY_TIMEOUT: Duration = Duration::from_secs(120);
const ASK_EVERY: Duration = Duration::from_millis(50);
/// Connections per service.
const POOL: u32 = 20;

/// What all four are started with.
struct Common<'a> {
    database_url: &'a SecretString,
    service_token: &'a SecretString,
    webhook_key: WebhookKey,
    audit_exports: AuditExports,
    oidc: Oidc,
    transport: Transport,
    clock: Clock,
    shutdown: CancellationToken,
}

pub struct Services {
    running: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, &'static str>,
    pools: Vec<Pools>,
    shutdown: CancellationToken,
    /// Stops only the patch-manager.
    first: CancellationToken,
    _stop_when_dropped: DropGuard,
}

/// Migrates every schema to this version, one after the other, so that a failure is reported once and by name.
pub async fn migrate_all(database_url: &SecretString) -> Result<(), Failure> {
    migrate::<Cmdb>(database_url).await?;
    migrate::<Itsm>(database_url).await?;
    migrate::<SimEngine>(database_url).await?;
    migrate::<PatchManager>(database_url).await
}

async fn migrate<S: Service>(database_url: &SecretString) -> Result<(), Failure> {
    let pool = database::connect(database_url.expose_secret(), S::NAME, 2)
        .map_err(|_| Failure::new("the database URL is not valid"))?;
    let migrated = database::migrate(&pool, S::SCHEMA, S::migrator()).await;
    pool.close().await;
    migrated.map_err(|error| Failure::new(database::explain(&error)))
}

impl Services {
    /// Starts all four; [`Self::until_ready`] waits for them. `listeners` are in the order of the ports.
    pub fn start(
        listeners: Vec<TcpListener>,
        addresses: &Addresses,
        database_url: &SecretString,
        service_token: &SecretString,
        config: &PlatformConfig,
    ) -> Result<Self, Failure> {
        let shutdown = CancellationToken::new();
        let mut services = Self {
            running: JoinSet::new(),
            names: HashMap::new(),
            pools: Vec::new(),
            first: shutdown.child_token(),
            _stop_when_dropped: shutdown.clone().drop_guard(),
            shutdown,
        };
        let [patch_manager, cmdb, itsm, sim_engine]: [TcpListener; 4] =
            listeners.try_into().map_err(|_| Failure::new("four ports are needed"))?;
        let all = services.shutdown.clone();
        let first = services.first.clone();
        let webhook_key = settings::webhook_key(&config.data_dir)?;
        let audit_exports = settings::audit_exports(&config.data_dir)?;
        let common = |shutdown: &CancellationToken, oidc: Oidc| Common {
            database_url,
            service_token,
            webhook_key: webhook_key.clone(),
            audit_exports: audit_exports.clone(),
            oidc,
            transport: config.transport.clone(),
            clock: config.clock.clone(),
            shutdown: shutdown.child_token(),
        };
        let sim_settings = settings::sim_engine(config)?;
        let patch_settings = settings::patch_manager(addresses, config, &sim_settings)?;
        let itsm_settings = settings::itsm(addresses, &config.data_dir)?;
        // Browsers reach two services. The others have no pages at which people sign in.
        let desk = settings::oidc(&itsm_settings.public_url)?;
        let console = settings::oidc(&patch_settings.runs.public_url)?;
        services.serve::<SimEngine>(common(&all, Oidc::default()), sim_engine, sim_settings)?;
        services.serve::<Cmdb>(common(&all, Oidc::default()), cmdb, settings::cmdb(addresses)?)?;
        services.serve::<Itsm>(common(&all, desk), itsm, itsm_settings)?;
        services.serve::<PatchManager>(common(&first, console), patch_manager, patch_settings)?;
        Ok(services)
    }

    fn serve<S: Service>(
        &mut self,
        common: Common<'_>,
        listener: TcpListener,
        settings: S::Settings,
    ) -> Result<(), Failure> {
        let Common {
            database_url,
            service_token,
            webhook_key,
            audit_exports,
            oidc,
            transport,
            clock,
            shutdown,
        } = common;
        let pools = Pools::connect(database_url.expose_secret(), S::NAME, POOL)
            .map_err(|_| Failure::new("the database URL is not valid"))?;
        let context = Context {
            pool: pools.work.clone(),
            request_pool: pools.requests.clone(),
            clock,
            service_token: service_token.clone(),
            webhook_key,
            audit_exports,
            oidc,
            transport,
            limits: settings::limits()?,
            shutdown,
            tasks: TaskTracker::new(),
        };
        self.pools.push(pools);
        let runtime = Handle::current();
        // The futures of `serve` come from async trait functions and are not known to be `Send`: it gets a thread.
        let task = self
            .running
            .spawn_blocking(move || runtime.block_on(server::serve::<S>(context, listener, settings)));
        self.names.insert(task.id(), S::NAME);
        Ok(())
    }

    pub async fn until_ready(&mut self, addresses: &Addresses) -> Result<(), Failure> {
        let client = reqwest::Client::new();
        let deadline = Instant::now() + READY_TIMEOUT;
        for (service, base) in addresses.each() {
            loop {
                let asked = tokio::select! {
                    asked = ask_readiness(&client, base) => asked,
                    failure = self.failed() => return Err(failure),
                };
                match asked {
                    Ok(()) => break,
                    Err(reason) if Instant::now() >= deadline => {
                        return Err(Failure::new(format!(
                            "{service} was not ready after {} s: {reason}",
                            READY_TIMEOUT.as_secs()
                        )));
                    }
                    Err(_) => tokio::time::sleep(ASK_EVERY).await,
                }
            }
        }
        Ok(())
    }

    /// Waits until a service ends, which it never should by itself.
    pub async fn failed(&mut self) -> Failure {
        let Some(ended) = self.running.join_next_with_id().await else {
            return Failure::new("no service is running");
        };
        let (id, reason) = match ended {
            Ok((id, Ok(()))) => (id, "it ended without an error".to_owned()),
            Ok((id, Err(error))) => (id, format!("{error:#}")),
            Err(error) => (error.id(), "it panicked; its log has the details".to_owned()),
        };
        Failure::new(format!("{} stopped: {reason}", self.names.get(&id).unwrap_or(&"a service")))
    }

    /// Asks all services to stop and waits, but no longer than `timeout`.
    pub async fn stop(mut self, timeout: Duration) {
        // The patch-manager calls the others, so it stops first, while they can still answer.
        self.first.cancel();
        let _ = tokio::time::timeout(timeout / 2, self.running.join_next()).await;
        self.shutdown.cancel();
        let all = async {
            while self.running.join_next().await.is_some() {}
            for pools in &self.pools {
                pools.close().await;
            }
        };
        if tokio::time::timeout(timeout / 2, all).await.is_err() {
            tracing::warn!("a service was still busy and was stopped; its work continues at the next start");
        }
        self.running.detach_all();
    }
}
