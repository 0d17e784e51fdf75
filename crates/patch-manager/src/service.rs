//! The service: its capabilities, their merged routes, and its start.

use std::sync::Arc;

use patch_releases::{CustomerWork, Outside};
use service_kit::server::{Context, Service};
use sqlx::{PgPool, migrate::Migrator};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    api,
    console::{self, Gateway},
    settings::Settings,
};

/// The state of each capability.
#[derive(Clone)]
pub struct App {
    pub(crate) compliance: patch_compliance::App,
    pub(crate) runs: patch_runs::App,
    pub(crate) releases: patch_releases::App,
    gateway: Gateway,
}

pub struct PatchManager;

impl Service for PatchManager {
    const NAME: &'static str = patch_compliance::SERVICE;
    const TITLE: &'static str = "Patch manager";
    const SCHEMA: &'static str = patch_compliance::SCHEMA;
    const DEFAULT_PORT: u16 = 8080;
    /// The files of the console contain no data: the page reads the API in the session of its user. Callbacks are signed.
    const PUBLIC_PATHS: &'static [&'static str] =
        &["/", "/console", "/console/*", "/dashboard/*", "/patch/callbacks/*"];
    const ORDERS: &'static [&'static str] =
        &["/patch/runs", "/patch/advisories/{cve_id}/remediate", "/patch/releases", "/patch/callbacks/"];

    type Settings = Settings;
    type State = App;

    fn migrator() -> Migrator {
        patch_compliance::migrator()
    }

    fn contract() -> OpenApi {
        let mut contract = patch_compliance::routes().into_openapi();
        contract.merge(patch_runs::routes().into_openapi());
        contract.merge(patch_releases::routes().into_openapi());
        contract.merge(api::routes().into_openapi());
        contract
    }

    fn routes(app: App) -> OpenApiRouter {
        OpenApiRouter::new()
            .merge(api::routes().with_state(app.clone()))
            .merge(patch_compliance::routes().with_state(app.compliance))
            .merge(patch_runs::routes().with_state(app.runs))
            .merge(patch_releases::routes().with_state(app.releases))
            .merge(console::services(app.gateway))
            .merge(console::pages())
    }

    fn with_pool(app: &App, pool: &PgPool) -> App {
        let runs = app.runs.with_pool(pool);
        App {
            compliance: runs.compliance.clone(),
            releases: app.releases.with_runs(&runs),
            runs,
            gateway: app.gateway.clone(),
        }
    }

    async fn start(context: &Context, settings: Settings) -> anyhow::Result<App> {
        let gateway = Gateway::new(
            &settings.compliance.cmdb_url,
            &settings.runs.itsm_url,
            &settings.runs.sim_engine_url,
        )?;
        let compliance = patch_compliance::App::new(context, settings.compliance)?;
        let (sim_engine_url, receivers) = (&settings.runs.sim_engine_url, compliance.outbound.clone());
        let outside = Arc::new(Outside::new(context, sim_engine_url, receivers, settings.releases));
        let runs = patch_runs::App::new(context, compliance.clone(), settings.runs).await?;
        let releases = patch_releases::App::new(&runs, &outside);
        patch_compliance::start(&compliance);
        patch_runs::start(&runs, Arc::new(CustomerWork(outside)));
        patch_releases::start(&releases);
        Ok(App { compliance, runs, releases, gateway })
    }

    fn dependencies(settings: &Settings) -> Vec<(&'static str, String)> {
        vec![
            ("cmdb", settings.compliance.cmdb_url.clone()),
            ("itsm", settings.runs.itsm_url.clone()),
            ("sim-engine", settings.runs.sim_engine_url.clone()),
        ]
    }
}
