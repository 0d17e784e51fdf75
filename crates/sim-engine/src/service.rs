//! How the sim-engine is put together.

use std::path::PathBuf;

use service_kit::{
    Clock,
    server::{Context, Service},
};
use sqlx::{PgPool, migrate::Migrator};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::{api, app, driver::Drivers};

pub struct SimEngine;

#[derive(Debug, Clone, Default, clap::Args)]
pub struct SimSettings {
    /// Folder of a fleet of real hosts on this machine, for the driver `linux`; it needs root. Without it there is no such
    /// driver.
    #[arg(long, env = "PATCH_FLEET_DIR")]
    pub fleet_dir: Option<PathBuf>,

    /// Folder of the images those hosts are made from, made once where it has none; fleets may share it. `images` in the
    /// fleet's folder when unsaid.
    #[arg(long, env = "PATCH_FLEET_IMAGES")]
    pub fleet_images: Option<PathBuf>,
}

#[derive(Clone)]
pub struct SimState {
    pub pool: PgPool,
    pub clock: Clock,
    pub drivers: Drivers,
}

impl Service for SimEngine {
    const NAME: &'static str = "sim-engine";
    const TITLE: &'static str = "Sim-engine";
    const SCHEMA: &'static str = "sim";
    const DEFAULT_PORT: u16 = 8083;

    type Settings = SimSettings;
    type State = SimState;

    fn migrator() -> Migrator {
        sqlx::migrate!("../../migrations/sim")
    }

    fn contract() -> OpenApi {
        api::routes().into_openapi()
    }

    fn routes(state: SimState) -> OpenApiRouter {
        api::routes().with_state(state)
    }

    async fn start(context: &Context, settings: SimSettings) -> anyhow::Result<SimState> {
        let linux = settings.fleet_dir.map(|folder| {
            let images = settings.fleet_images.unwrap_or_else(|| folder.join("images"));
            (folder, images)
        });
        let state = SimState {
            pool: context.pool.clone(),
            clock: context.clock.clone(),
            drivers: Drivers::available(linux),
        };
        context.tasks.spawn(app::upkeep::run(state.clone(), context.shutdown.clone()));
        context.tasks.spawn(app::watch::run(state.clone(), context.shutdown.clone()));
        Ok(state)
    }

    fn dependencies(_: &SimSettings) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}
