//! Time as an argument: the system's clock in production, a settable one in tests and demonstrations.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;

/// How far the clocks of two machines may be apart where one must check an instant of the other.
pub const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// The clock of a service. Clones of a fixed clock share its time.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// `None` for the system's clock.
    hand: Option<Arc<Hand>>,
    /// How far the system's clock is set ahead.
    skew: TimeDelta,
}

#[derive(Debug)]
struct Hand {
    at: Mutex<DateTime<Utc>>,
    moved: Notify,
}

/// A sleeper checks the clock this often: it may have been set, or the machine may have been suspended.
const CHECK_EVERY: Duration = Duration::from_secs(1);

impl Clock {
    pub fn system() -> Self {
        Self::default()
    }

    /// The clock of a machine that is this far ahead of the others, or behind them.
    pub fn skewed(skew: TimeDelta) -> Self {
        Self { hand: None, skew }
    }

    /// A clock that stays at a time until it is moved.
    pub fn fixed(at: DateTime<Utc>) -> Self {
        let hand = Hand { at: Mutex::new(at), moved: Notify::new() };
        Self { hand: Some(Arc::new(hand)), skew: TimeDelta::zero() }
    }

    /// The time, in whole microseconds: the precision of PostgreSQL, so a time read back equals the time written.
    pub fn now(&self) -> DateTime<Utc> {
        let now = match &self.hand {
            Some(hand) => *hand.at.lock().unwrap_or_else(|poisoned| poisoned.into_inner()),
            None => Utc::now() + self.skew,
        };
        DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now)
    }

    /// Moves a fixed clock, also backwards, and wakes its sleepers. Has no effect on the system's clock.
    pub fn advance(&self, by: TimeDelta) {
        if let Some(hand) = &self.hand {
            *hand.at.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) += by;
            hand.moved.notify_waiters();
        }
    }

    /// Sleeps until the clock shows `until`.
    pub async fn sleep_until(&self, until: DateTime<Utc>) {
        loop {
            let left = || (until - self.now()).to_std().unwrap_or_default();
            match &self.hand {
                None if left().is_zero() => return,
                None => tokio::time::sleep(left().min(CHECK_EVERY)).await,
                Some(hand) => {
                    let mut moved = pin!(hand.moved.notified());
                    // Listens before it checks, so that no move between the two is missed.
                    moved.as_mut().enable();
                    if left().is_zero() {
                        return;
                    }
                    tokio::time::timeout(CHECK_EVERY, moved).await.ok();
                }
            }
        }
    }
}
