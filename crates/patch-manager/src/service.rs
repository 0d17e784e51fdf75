//! The service: its routes as a table, and how it starts.

use std::sync::Arc;

use ansible::{AnsibleRunner, PlaybookRunner, Playbooks};
use anyhow::Context as _;
use api_client::{
    RetryRule, cmdb::CmdbClient, itsm::ItsmClient, sim::SimClient, sim_customers::SimCustomersClient,
};
use leases::{LeaseConfig, Worker};
use secrecy::{ExposeSecret, SecretString};
use service_kit::{
    Clock,
    outbound::Receivers,
    read_pool::ReadPool,
    server::{Context, Service},
};
use sqlx::{PgPool, migrate::Migrator};
use tokio::sync::broadcast;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    api,
    app::{self, advisories::Asked, measures::Measures, seldom::Seldom},
    engine::{self, hub},
    settings::Settings,
    store::compliance::ScanRange,
};

/// Everything a handler or a worker needs. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

pub struct Parts {
    pub(crate) pool: PgPool,
    pub(crate) reads: ReadPool,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) cmdb: CmdbClient,
    pub(crate) itsm: ItsmClient,
    pub(crate) sim: SimClient,
    /// What hosts are measured against, remembered.
    pub(crate) measures: Measures,
    /// Advisories that were asked for, remembered.
    pub(crate) asked: Asked,
    pub(crate) scan_range: Seldom<ScanRange>,
    pub(crate) sim_customers: SimCustomersClient,
    /// What of the outside may be reached.
    pub(crate) outbound: Receivers,
    pub(crate) webhook_secret: Option<SecretString>,
    pub(crate) runner: Arc<dyn PlaybookRunner>,
    /// Owns runs and scans for this process.
    pub(crate) worker: Worker,
    pub(crate) service_token: SecretString,
    /// Which run has changed, for all who wait for that.
    pub(crate) changes: broadcast::Sender<hub::Change>,
    /// The runs this process drives.
    pub(crate) run_tasks: TaskTracker,
    pub(crate) imports: app::feed_imports::Turns,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

pub struct PatchManager;

impl Service for PatchManager {
    const NAME: &'static str = "patch-manager";
    const TITLE: &'static str = "Patch manager";
    const SCHEMA: &'static str = "patch";
    const DEFAULT_PORT: u16 = 8080;
    /// The dashboard's page holds no data: it asks for a token and reads the API with it. Callbacks bear a signature.
    const PUBLIC_PATHS: &'static [&'static str] = &["/", "/dashboard/*", "/patch/callbacks/*"];

    type Settings = Settings;
    type State = App;

    fn migrator() -> Migrator {
        sqlx::migrate!("../../migrations/patch")
    }

    fn routes() -> OpenApiRouter<App> {
        api::routes()
    }

    async fn start(context: &Context, settings: Settings) -> anyhow::Result<App> {
        leases::migrate(&context.pool).await?;
        let token = context.service_token.expose_secret();
        let app = App(Arc::new(Parts {
            pool: context.pool.clone(),
            reads: ReadPool::new(&context.pool)?,
            clock: context.clock.clone(),
            cmdb: CmdbClient::new(&settings.cmdb_url, token),
            itsm: ItsmClient::new(&settings.itsm_url, token),
            sim: SimClient::new(&settings.sim_engine_url, token),
            measures: Measures::default(),
            asked: Asked::default(),
            scan_range: Seldom::default(),
            // A look at a customer's health is one look: whoever does not answer is not asked again behind its back.
            sim_customers: SimCustomersClient::new(&settings.sim_engine_url, token)
                .with_retry(RetryRule::NONE),
            outbound: Receivers::new(&settings.allow_outbound_to)?,
            webhook_secret: webhook_secret(&settings)?,
            runner: Arc::new(runner(&settings)?),
            worker: Worker::start(context.pool.clone(), LeaseConfig::named(Self::NAME)).await?,
            service_token: context.service_token.clone(),
            changes: broadcast::channel(1024).0,
            run_tasks: TaskTracker::new(),
            imports: app::feed_imports::Turns::default(),
            shutdown: context.shutdown.clone(),
            tasks: context.tasks.clone(),
            settings,
        }));
        app::upkeep::start(&app);
        app::feed_folder::start(&app);
        app::scans::start_worker(&app);
        engine::start_worker(&app);
        Ok(app)
    }

    fn dependencies(settings: &Settings) -> Vec<(&'static str, String)> {
        vec![
            ("cmdb", settings.cmdb_url.clone()),
            ("itsm", settings.itsm_url.clone()),
            ("sim-engine", settings.sim_engine_url.clone()),
        ]
    }
}

fn webhook_secret(settings: &Settings) -> anyhow::Result<Option<SecretString>> {
    let Some(file) = &settings.webhook_secret_file else { return Ok(None) };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the webhook secret file `{}`", file.display()))?;
    anyhow::ensure!(
        text.trim().len() >= 16,
        "the secret in `{}` is too short; it needs 16 bytes or more",
        file.display()
    );
    Ok(Some(SecretString::from(text.trim())))
}

fn runner(settings: &Settings) -> anyhow::Result<AnsibleRunner> {
    let playbooks =
        settings.playbooks.as_ref().map_or_else(Playbooks::locate, |folder| Ok(Playbooks::at(folder)))?;
    Ok(match &settings.ansible_playbook {
        Some(program) => AnsibleRunner::new(program, playbooks),
        None => AnsibleRunner::locate()?,
    })
}
