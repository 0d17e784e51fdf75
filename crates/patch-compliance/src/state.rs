//! The state of this capability, for handlers and workers.

use std::{ops::Deref, sync::Arc};

use api_client::cmdb::CmdbClient;
use secrecy::ExposeSecret;
use service_kit::{Clock, read_pool::ReadPool, server::Context};
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
pub struct App(Arc<Parts>);

pub struct Parts {
    pub pool: PgPool,
    pub reads: ReadPool,
    pub clock: Clock,
    pub settings: Settings,
    pub cmdb: CmdbClient,
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
        Ok(Self(Arc::new(Parts {
            pool: context.pool.clone(),
            reads: ReadPool::new(&context.pool)?,
            clock: context.clock.clone(),
            cmdb: CmdbClient::new(&settings.cmdb_url, context.service_token.expose_secret()),
            settings,
            criteria: CriteriaCache::default(),
            advisory_cache: AdvisoryCache::default(),
            scan_range: ThrottledCache::default(),
            exposures: ThrottledCache::default(),
            import_slots: ImportSlots::default(),
            shutdown: context.shutdown.clone(),
            tasks: context.tasks.clone(),
        })))
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
