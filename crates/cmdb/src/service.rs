//! How the service is started.

use api_client::Client;
use secrecy::ExposeSecret;
use service_kit::server::{Context, Service};
use sqlx::{PgPool, migrate::Migrator};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::{api, app::housekeeping, settings::Settings, state::App};

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

    fn contract() -> OpenApi {
        api::routes().into_openapi()
    }

    fn routes(state: App) -> OpenApiRouter {
        api::routes().with_state(state)
    }

    fn with_pool(app: &App, pool: &PgPool) -> App {
        App { pool: pool.clone(), ..app.clone() }
    }

    async fn start(context: &Context, settings: Settings) -> anyhow::Result<App> {
        let app = App {
            pool: context.pool.clone(),
            clock: context.clock.clone(),
            sim: Client::new("sim-engine", &settings.sim_engine_url, context.service_token.expose_secret()),
            tasks: context.tasks.clone(),
            shutdown: context.shutdown.clone(),
        };
        context.tasks.spawn(housekeeping::run(app.clone()));
        Ok(app)
    }

    /// None: without the sim-engine everything except synchronisation works.
    fn dependencies(_: &Settings) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}
