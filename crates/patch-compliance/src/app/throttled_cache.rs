//! A value that takes long to work out on a large fleet, and is then worked out seldom.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// What is worked out faster than this is never entry.
const MIN_DURATION: Duration = Duration::from_millis(20);
/// At most this part of the time is spent on working it out.
const INTERVAL_FACTOR: u32 = 200;

struct Entry<T> {
    value: T,
    took: Duration,
    until: Instant,
}

pub(crate) struct ThrottledCache<T>(Mutex<Option<Entry<T>>>);

impl<T> Default for ThrottledCache<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Copy> ThrottledCache<T> {
    /// What was worked out so short a time ago that it is good enough. When it is not, the caller works it out, and
    /// others take the old value for a while longer.
    pub(crate) fn get(&self) -> Option<T> {
        let mut entry = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let known = entry.as_mut()?;
        if Instant::now() < known.until {
            return Some(known.value);
        }
        known.until = Instant::now() + known.took * 10;
        None
    }

    pub(crate) fn put(&self, value: T, took: Duration) {
        let until = Instant::now() + took * INTERVAL_FACTOR;
        let entry = Some(Entry { value, took, until }).filter(|_| took >= MIN_DURATION);
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = entry;
    }
}
