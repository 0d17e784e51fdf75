//! How the service is started.

use std::sync::Arc;

use api_client::patch::PatchClient;
use leases::{LeaseConfig, Worker};
use secrecy::ExposeSecret;
use service_kit::{
    outbound::Receivers,
    server::{Context, Service},
};
use sqlx::{PgPool, migrate::Migrator};
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    api,
    app::changes::LinkSigner,
    delivery::{self, DeliveryWorker},
    settings::Settings,
    state::App,
};

/// The ITSM service.
pub struct Itsm;

impl Service for Itsm {
    const NAME: &'static str = crate::NAME;
    const TITLE: &'static str = "Patch manager: ITSM";
    const SCHEMA: &'static str = "itsm";
    const DEFAULT_PORT: u16 = 8082;
    /// The approval page holds nothing but the means to ask for more with a token.
    const PUBLIC_PATHS: &'static [&'static str] = &["/approve/*"];
    /// Runs wait for decisions about changes.
    const ORDERS: &'static [&'static str] = &["/itsm/changes", "/approve/"];

    type Settings = Settings;
    type State = App;

    fn migrator() -> Migrator {
        sqlx::migrate!("../../migrations/itsm")
    }

    fn contract() -> OpenApi {
        api::routes().into_openapi()
    }

    fn routes(state: App) -> OpenApiRouter {
        api::routes().with_state(state)
    }

    fn with_pool(app: &App, pool: &PgPool) -> App {
        App { pool: pool.clone(), ..app.clone() }
    }

    async fn start(context: &Context, settings: Settings) -> anyhow::Result<App> {
        let public_url = settings.checked_public_url()?.into();
        let links = LinkSigner::from_file(settings.approval_key_file.as_deref())?;
        let receivers = Arc::new(Receivers::new(&settings.allow_webhook_to)?);
        let app = App {
            pool: context.pool.clone(),
            clock: context.clock.clone(),
            public_url,
            receivers: receivers.clone(),
            calendars: settings
                .patch_manager_url
                .as_deref()
                .map(|url| PatchClient::new(url, context.service_token.expose_secret())),
            links: links.clone(),
            needs_sign_in: context.oidc.is_configured(),
            link_hours: settings.approval_link_hours,
        };
        let delivery = DeliveryWorker::new(context, &settings, receivers, links)?;
        leases::migrate(&context.pool).await?;
        let worker = Worker::start(context.pool.clone(), LeaseConfig::named("itsm")).await?;
        context.tasks.spawn(delivery::deliver_until(context.shutdown.clone(), worker, delivery));
        Ok(app)
    }

    fn dependencies(_: &Settings) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}
