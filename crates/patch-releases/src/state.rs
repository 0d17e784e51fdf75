//! The state of this capability, for handlers, background work and performers.

use std::sync::Arc;

use anyhow::Context as _;
use api_client::{RetryRule, sim_customers::SimCustomersClient};
use secrecy::{ExposeSecret, SecretString};
use service_kit::{Clock, outbound::Receivers, server::Context};
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
    pub(crate) webhook_secret: Option<SecretString>,
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
    ) -> anyhow::Result<Self> {
        let token = context.service_token.expose_secret();
        Ok(Self {
            // A health check is one request: a hidden retry would hide a failure.
            sim_customers: SimCustomersClient::new(sim_engine_url, token).with_retry(RetryRule::NONE),
            receivers,
            webhook_secret: webhook_secret(&settings)?,
            settings,
        })
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
