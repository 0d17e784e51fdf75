//! The state of this capability, for handlers, background work and performers.

use std::sync::Arc;

use api_client::{RetryRule, sim_customers::SimCustomersClient};
use secrecy::ExposeSecret;
use service_kit::{
    Clock,
    outbound::Receivers,
    server::Context,
    webhooks::{Sender, WebhookKey},
};
use sqlx::PgPool;

use crate::settings::Settings;

/// Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub runs: patch_runs::App,
    pub pool: PgPool,
    pub clock: Clock,
    pub(crate) outside: Arc<Outside>,
}

/// Access to systems outside the platform.
pub struct Outside {
    pub(crate) settings: Settings,
    pub(crate) sim_customers: SimCustomersClient,
    /// The addresses that are allowed.
    pub(crate) receivers: Arc<Receivers>,
    pub(crate) webhook_key: WebhookKey,
}

impl App {
    pub fn new(runs: &patch_runs::App, outside: &Arc<Outside>) -> Self {
        Self {
            runs: runs.clone(),
            pool: runs.pool.clone(),
            clock: runs.clock.clone(),
            outside: outside.clone(),
        }
    }

    /// Sends webhooks to deployers and checks.
    pub(crate) fn webhooks(&self) -> Sender {
        let Outside { webhook_key, receivers, .. } = &*self.outside;
        Sender::new(self.pool.clone(), self.clock.clone(), webhook_key.clone(), receivers.clone())
    }

    /// The same with the connections of `runs`.
    pub fn with_runs(&self, runs: &patch_runs::App) -> Self {
        Self::new(runs, &self.outside)
    }
}

impl Outside {
    pub fn new(
        context: &Context,
        sim_engine_url: &str,
        receivers: Arc<Receivers>,
        settings: Settings,
    ) -> Self {
        let token = context.service_token.expose_secret();
        Self {
            // A health check is one request: a hidden retry would hide a failure.
            sim_customers: SimCustomersClient::new(sim_engine_url, token).with_retry(RetryRule::NONE),
            receivers,
            webhook_key: context.webhook_key.clone(),
            settings,
        }
    }
}
