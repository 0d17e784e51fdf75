//! The service as the platform starts it: settings, routes, background work.

use api_client::Client;
use secrecy::ExposeSecret;
use service_kit::server::{Context, Service};
use sqlx::migrate::Migrator;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    api,
    app::{App, sweep},
};

/// Settings of the CMDB beside those every service has.
#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Where the sim-engine listens; asked when a synchronisation is started.
    #[arg(long, env = "SIM_ENGINE_URL", default_value = "http://127.0.0.1:8083")]
    pub sim_engine_url: String,
}

/// The CMDB.
#[derive(Debug, Clone, Copy)]
pub struct Cmdb;

impl Service for Cmdb {
    const NAME: &'static str = "cmdb";
    const TITLE: &'static str = "CMDB";
    const SCHEMA: &'static str = "cmdb";
    const DEFAULT_PORT: u16 = 8081;

    type Settings = Settings;
    type State = App;

    fn migrator() -> Migrator {
        sqlx::migrate!("../../migrations/cmdb")
    }

    fn routes() -> OpenApiRouter<App> {
        api::routes()
    }

    async fn start(context: &Context, settings: Settings) -> anyhow::Result<App> {
        let app = App {
            pool: context.pool.clone(),
            clock: context.clock.clone(),
            sim: Client::new("sim-engine", &settings.sim_engine_url, context.service_token.expose_secret()),
            tasks: context.tasks.clone(),
            shutdown: context.shutdown.clone(),
        };
        context.tasks.spawn(sweep::run(app.clone()));
        Ok(app)
    }

    /// None: without the sim-engine all but a synchronisation works, and the inventory must not go away with it.
    fn dependencies(_: &Settings) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}
