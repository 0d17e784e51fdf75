//! How the sim-engine is put together.

use service_kit::{
    Clock,
    server::{Context, Service},
};
use sqlx::{PgPool, migrate::Migrator};
use utoipa_axum::router::OpenApiRouter;

use crate::{api, app, driver::Drivers};

pub struct SimEngine;

#[derive(Debug, Clone, Default, clap::Args)]
pub struct SimSettings {}

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

    fn routes() -> OpenApiRouter<SimState> {
        api::routes()
    }

    async fn start(context: &Context, _: SimSettings) -> anyhow::Result<SimState> {
        let state = SimState {
            pool: context.pool.clone(),
            clock: context.clock.clone(),
            drivers: Drivers::available(),
        };
        context.tasks.spawn(app::upkeep::run(state.clone(), context.shutdown.clone()));
        Ok(state)
    }

    fn dependencies(_: &SimSettings) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}
