//! The state of this crate's handlers and workers.

use std::{ops::Deref, sync::Arc};

use ansible::{AnsibleRunner, Playbooks};
use api_client::{cmdb::CmdbClient, itsm::ItsmClient, sim::SimClient};
use domain::ids::RunId;
use leases::{LeaseConfig, Worker};
use secrecy::{ExposeSecret, SecretString};
use service_kit::{Clock, server::Context};
use sqlx::PgPool;
use tokio::sync::broadcast;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{SERVICE, app::installation::Watch, settings::Settings};

/// The run that has changed. `None` means that any run may have changed: a notification may have been missed, or a poll is due.
pub(crate) type Change = Option<RunId>;

/// Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub pool: PgPool,
    pub compliance: patch_compliance::App,
    parts: Arc<Parts>,
}

pub struct Parts {
    pub clock: Clock,
    pub settings: Settings,
    pub cmdb: CmdbClient,
    pub itsm: ItsmClient,
    pub(crate) sim: SimClient,
    pub runner: AnsibleRunner,
    /// Owns runs and scans for this process.
    pub(crate) worker: Worker,
    pub(crate) service_token: SecretString,
    /// Sends the id of a run that has changed to every task that waits for it.
    pub(crate) changes: broadcast::Sender<Change>,
    /// Whether the database is the one that was worked with.
    pub(crate) watch: Watch,
    /// The runs that this process owns.
    pub(crate) run_tasks: TaskTracker,
    pub shutdown: CancellationToken,
    pub tasks: TaskTracker,
}

impl App {
    pub async fn new(
        context: &Context,
        compliance: patch_compliance::App,
        settings: Settings,
    ) -> anyhow::Result<Self> {
        leases::migrate(&context.pool).await?;
        let token = context.service_token.expose_secret();
        let parts = Parts {
            clock: context.clock.clone(),
            cmdb: compliance.cmdb.clone(),
            itsm: ItsmClient::new(&settings.itsm_url, token),
            sim: SimClient::new(&settings.sim_engine_url, token),
            runner: runner(&settings)?,
            worker: Worker::start(context.pool.clone(), LeaseConfig::named(SERVICE)).await?,
            service_token: context.service_token.clone(),
            changes: broadcast::channel(1024).0,
            watch: Watch::default(),
            run_tasks: TaskTracker::new(),
            shutdown: context.shutdown.clone(),
            tasks: context.tasks.clone(),
            settings,
        };
        Ok(Self { pool: context.pool.clone(), compliance, parts: Arc::new(parts) })
    }

    /// The same with the connections of another pool.
    pub fn with_pool(&self, pool: &PgPool) -> Self {
        Self { pool: pool.clone(), compliance: self.compliance.with_pool(pool), parts: self.parts.clone() }
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

fn runner(settings: &Settings) -> anyhow::Result<AnsibleRunner> {
    let playbooks =
        settings.playbooks.as_ref().map_or_else(Playbooks::locate, |folder| Ok(Playbooks::at(folder)))?;
    Ok(match &settings.ansible_playbook {
        Some(program) => AnsibleRunner::new(program, playbooks),
        None => AnsibleRunner::locate()?,
    })
}
