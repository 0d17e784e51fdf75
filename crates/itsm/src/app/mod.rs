//! The rules, each verb in one transaction.

use std::sync::Arc;

use api_client::patch::PatchClient;
use service_kit::Clock;
use sqlx::PgPool;

use crate::delivery::Receivers;

pub mod changes;
mod checks;
pub mod incidents;
pub mod notifications;
pub mod problems;
pub mod templates;

/// What the verbs work with.
#[derive(Clone)]
pub struct App {
    pub pool: PgPool,
    pub clock: Clock,
    pub public_url: Arc<str>,
    pub receivers: Arc<Receivers>,
    pub links: changes::LinkSigner,
    /// Who keeps the freezes.
    pub calendars: Option<PatchClient>,
    /// How long a link may decide.
    pub link_hours: u32,
}

/// What a request that makes something ended with.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub enum Made<T> {
    New(T),
    /// It was there already, under the same name of the caller's.
    Existing(T),
}
