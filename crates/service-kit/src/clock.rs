//! Time as an argument: the system's clock in production, a settable one in tests and demonstrations.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;

/// Tells the time to a service. Clones of a fixed clock share its hand.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<Hand>>);

#[derive(Debug)]
struct Hand {
    at: Mutex<DateTime<Utc>>,
    moved: Notify,
}

/// A clock may be set, or the machine be asleep: nobody sleeps longer than this without a look at it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Clock {
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands until it is moved.
    pub fn fixed(at: DateTime<Utc>) -> Self {
        Self(Some(Arc::new(Hand { at: Mutex::new(at), moved: Notify::new() })))
    }

    /// The time, in whole microseconds: the precision PostgreSQL keeps, so a time read back equals the time written.
    pub fn now(&self) -> DateTime<Utc> {
        let now = match &self.0 {
            Some(hand) => *hand.at.lock().unwrap_or_else(|poisoned| poisoned.into_inner()),
            None => Utc::now(),
        };
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }

    /// Moves a fixed clock, backwards too, and wakes those who sleep by it; the system's clock goes by itself.
    pub fn advance(&self, by: TimeDelta) {
        if let Some(hand) = &self.0 {
            *hand.at.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) += by;
            hand.moved.notify_waiters();
        }
    }

    /// Sleeps until the clock shows `until`.
    pub async fn sleep_until(&self, until: DateTime<Utc>) {
        loop {
            let left = || (until - self.now()).to_std().unwrap_or_default();
            match &self.0 {
                None if left().is_zero() => return,
                None => tokio::time::sleep(left().min(LOOK_EVERY)).await,
                Some(hand) => {
                    let mut moved = pin!(hand.moved.notified());
                    // Listened for before the look, so that no move between the two is missed.
                    moved.as_mut().enable();
                    if left().is_zero() {
                        return;
                    }
                    tokio::time::timeout(LOOK_EVERY, moved).await.ok();
                }
            }
        }
    }
}
