//! What every handler works with.

use std::sync::Arc;

use api_client::patch::PatchClient;
use service_kit::{Clock, outbound::Receivers};
use sqlx::PgPool;

use crate::app::changes::LinkSigner;

/// Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub pool: PgPool,
    pub clock: Clock,
    pub public_url: Arc<str>,
    pub receivers: Arc<Receivers>,
    pub links: LinkSigner,
    /// The patch-manager, which keeps the freezes.
    pub calendars: Option<PatchClient>,
    /// People sign in at an identity provider: a link alone does not decide.
    pub needs_sign_in: bool,
    /// Lifetime of an approval link.
    pub link_hours: u32,
}
