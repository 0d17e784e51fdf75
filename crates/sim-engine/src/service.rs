//! The service as the platform starts it.

use service_kit::server::{Context, Service};
use sqlx::{PgPool, migrate::Migrator};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::{api, app, driver::Drivers, settings::SimSettings, state::App};

pub struct SimEngine;

impl Service for SimEngine {
    const NAME: &'static str = crate::NAME;
    const TITLE: &'static str = "Sim-engine";
    const SCHEMA: &'static str = "sim";
    const DEFAULT_PORT: u16 = 8083;

    type Settings = SimSettings;
    type State = App;

    fn migrator() -> Migrator {
        sqlx::migrate!("../../migrations/sim")
    }

    fn contract() -> OpenApi {
        api::routes().into_openapi()
    }

    fn routes(app: App) -> OpenApiRouter {
        api::routes().with_state(app)
    }

    fn with_pool(app: &App, pool: &PgPool) -> App {
        App { pool: pool.clone(), ..app.clone() }
    }

    async fn start(context: &Context, settings: SimSettings) -> anyhow::Result<App> {
        let linux = settings.fleet_dir.map(|folder| {
            let images = settings.fleet_images.unwrap_or_else(|| folder.join("images"));
            (folder, images)
        });
        let app = App {
            pool: context.pool.clone(),
            clock: context.clock.clone(),
            drivers: Drivers::available(linux),
            laboratory: settings.laboratory,
        };
        context.tasks.spawn(app::housekeeping::run(app.clone(), context.shutdown.clone()));
        context.tasks.spawn(app::reconcile::run(app.clone(), context.shutdown.clone()));
        Ok(app)
    }

    fn is_laboratory(app: &App) -> bool {
        app.laboratory
    }

    fn dependencies(_: &SimSettings) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}
