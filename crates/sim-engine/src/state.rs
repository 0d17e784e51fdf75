use service_kit::Clock;
use sqlx::PgPool;

use crate::driver::Drivers;

/// The state of the service. Cheap to clone.
#[derive(Clone)]
pub struct App {
    pub pool: PgPool,
    pub clock: Clock,
    pub drivers: Drivers,
    /// Whether people may create, delete and break machines.
    pub laboratory: bool,
}
