//! Time as an argument: the system's clock in production, a settable one in tests.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};

/// Tells the time to a service. Clones of a fixed clock share its hand.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<Mutex<DateTime<Utc>>>>);

impl Clock {
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands until it is moved.
    pub fn fixed(at: DateTime<Utc>) -> Self {
        Self(Some(Arc::new(Mutex::new(at))))
    }

    /// The time, in whole microseconds: the precision PostgreSQL keeps, so a time read back equals the time written.
    pub fn now(&self) -> DateTime<Utc> {
        let now = match &self.0 {
            Some(hand) => *hand.lock().unwrap_or_else(|poisoned| poisoned.into_inner()),
            None => Utc::now(),
        };
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }

    /// Moves a fixed clock; the system's clock goes by itself.
    pub fn advance(&self, by: TimeDelta) {
        if let Some(hand) = &self.0 {
            *hand.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) += by;
        }
    }
}
