//! The rules of the CMDB. Each verb owns its transaction: change, history and audit record are one.

pub mod changes;
pub mod cis;
pub mod graph;
pub mod impact;
pub mod import;
pub mod inventory;
pub mod maintenance;
pub mod patch_state;
mod record;
pub mod relationships;
mod rules;
pub mod sweep;
pub mod sync;

use api_client::Client;
use service_kit::Clock;
use sqlx::PgPool;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What every verb works with.
#[derive(Clone)]
pub struct App {
    pub pool: PgPool,
    pub clock: Clock,
    /// The sim-engine, which knows the actual state of machines.
    pub sim: Client,
    pub tasks: TaskTracker,
    pub shutdown: CancellationToken,
}
