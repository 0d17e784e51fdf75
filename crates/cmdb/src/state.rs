//! What every handler and background task works with.

use api_client::Client;
use service_kit::Clock;
use sqlx::PgPool;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub pool: PgPool,
    pub clock: Clock,
    /// The sim-engine, which knows the actual state of machines.
    pub sim: Client,
    pub tasks: TaskTracker,
    pub shutdown: CancellationToken,
}
