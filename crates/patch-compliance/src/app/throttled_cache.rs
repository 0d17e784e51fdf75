//! A value that takes long to work out on a large fleet, and is then worked out seldom.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// What is worked out faster than this is never remembered.
const FAST: Duration = Duration::from_millis(20);
/// At most this part of the time is spent on working it out.
const SHARE: u32 = 200;

struct Remembered<T> {
    value: T,
    took: Duration,
    until: Instant,
}

pub(crate) struct Seldom<T>(Mutex<Option<Remembered<T>>>);

impl<T> Default for Seldom<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Copy> Seldom<T> {
    /// What was worked out so short a time ago that it is good enough. When it is not, the caller works it out, and
    /// others take the old value for a while longer.
    pub(crate) fn recall(&self) -> Option<T> {
        let mut remembered = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let known = remembered.as_mut()?;
        if Instant::now() < known.until {
            return Some(known.value);
        }
        known.until = Instant::now() + known.took * 10;
        None
    }

    pub(crate) fn remember(&self, value: T, took: Duration) {
        let until = Instant::now() + took * SHARE;
        let remembered = Some(Remembered { value, took, until }).filter(|_| took >= FAST);
        *self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = remembered;
    }
}
