//! Limits the imports of one process.

use tokio::sync::Semaphore;

/// Maximum number of waiting imports, per process.
pub(crate) const MAX_WAITING: usize = 32;

/// Lets one import at a time use a connection: waiting imports would each block one.
pub struct ImportSlots {
    pub running: Semaphore,
    pub waiting: Semaphore,
}

impl Default for ImportSlots {
    fn default() -> Self {
        Self { running: Semaphore::new(1), waiting: Semaphore::new(MAX_WAITING) }
    }
}
