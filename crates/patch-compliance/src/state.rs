//! The state of this capability, for handlers and workers.

use std::{ops::Deref, sync::Arc};

use api_client::cmdb::CmdbClient;
use secrecy::ExposeSecret;
use service_kit::{Clock, outbound::Receivers, read_pool::ReadPool, server::Context};
use sqlx::PgPool;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    app::{
        advisory_cache::AdvisoryCache, criteria_cache::CriteriaCache, exposure::ScopeExposures,
        import_slots::ImportSlots, throttled_cache::ThrottledCache,
    },
    settings::Settings,
    store::compliance::ScanRange,
};

/// Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub pool: PgPool,
    parts: Arc<Parts>,
}

pub struct Parts {
    pub reads: ReadPool,
    pub clock: Clock,
    pub settings: Settings,
    pub cmdb: CmdbClient,
    /// Where requests to the outside may go.
    pub outbound: Arc<Receivers>,
    /// Where messages may go.
    pub webhooks: Receivers,
    /// The criteria of compliance.
    pub(crate) criteria: CriteriaCache,
    /// Recently requested advisories.
    pub(crate) advisory_cache: AdvisoryCache,
    pub(crate) scan_range: ThrottledCache<ScanRange>,
    pub(crate) exposures: ThrottledCache<ScopeExposures>,
    pub(crate) import_slots: ImportSlots,
    pub shutdown: CancellationToken,
    pub tasks: TaskTracker,
}

impl App {
    pub fn new(context: &Context, settings: Settings) -> anyhow::Result<Self> {
        settings.feeds.check()?;
        let parts = Parts {
            reads: ReadPool::new(&context.request_pool)?,
            clock: context.clock.clone(),
            cmdb: CmdbClient::new(&settings.cmdb_url, context.service_token.expose_secret()),
            outbound: Arc::new(Receivers::new(&settings.allow_outbound_to)?),
            webhooks: Receivers::new(&settings.allow_webhook_to)?,
            settings,
            criteria: CriteriaCache::default(),
            advisory_cache: AdvisoryCache::default(),
            scan_range: ThrottledCache::default(),
            exposures: ThrottledCache::default(),
            import_slots: ImportSlots::default(),
            shutdown: context.shutdown.clone(),
            tasks: context.tasks.clone(),
        };
        Ok(Self { pool: context.pool.clone(), parts: Arc::new(parts) })
    }

    /// The same with the connections of another pool.
    pub fn with_pool(&self, pool: &PgPool) -> Self {
        Self { pool: pool.clone(), parts: self.parts.clone() }
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}
