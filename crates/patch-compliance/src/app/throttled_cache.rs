//! A value that takes long to compute on a large fleet, and is then computed less often.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// Values that are computed faster than this are not cached.
const MIN_DURATION: Duration = Duration::from_millis(20);
/// A value is kept for this many times the time it took.
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

impl<T: Clone> ThrottledCache<T> {
    /// The cached value, if it is recent enough. Otherwise the caller computes it, and other callers get the old value
    /// for a while.
    pub(crate) fn get(&self) -> Option<T> {
        let mut entry = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let known = entry.as_mut()?;
        if Instant::now() < known.until {
            return Some(known.value.clone());
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
