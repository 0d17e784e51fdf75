//! How often somebody may do something: a steady rate, of which some seconds' worth may come at once.
//!
//! A layer such as `tower_governor` decides before a request is answered. Here the answer decides as well: only a sign-in that
//! fails counts, and writes are counted by the token's id, which is known only after its look-up.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

use api_types::problem_types;

use crate::error::{ApiError, ApiResult};

const BURST: Duration = Duration::from_secs(10);
/// Most keys that are remembered. When all of them are active, new ones are not limited.
const MOST_KEYS: usize = 50_000;

/// The generic cell rate algorithm, for each key. The stored time is when the key's budget is whole again.
pub(crate) struct RateLimit<K> {
    interval: Option<Duration>,
    whole_at: Mutex<HashMap<K, Instant>>,
}

impl<K: Hash + Eq> RateLimit<K> {
    /// 0: no limit.
    pub fn per_second(rate: u32) -> Self {
        let interval = (rate > 0).then(|| Duration::from_secs(1) / rate);
        Self { interval, whole_at: Mutex::default() }
    }

    /// Counts one, or returns how long to wait.
    pub fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let Some(interval) = self.interval else { return Ok(()) };
        let mut whole_at = self.lock();
        let at = whole_at.get(&key).copied().unwrap_or(now).max(now);
        wait(at, now)?;
        if whole_at.len() >= MOST_KEYS && !whole_at.contains_key(&key) {
            whole_at.retain(|_, at| *at > now);
            if whole_at.len() >= MOST_KEYS {
                return Ok(());
            }
        }
        whole_at.insert(key, at + interval);
        Ok(())
    }

    /// How long the key must wait, without counting one.
    pub fn peek(&self, key: &K, now: Instant) -> Result<(), Duration> {
        self.lock().get(key).map_or(Ok(()), |at| wait(*at, now))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Instant>> {
        self.whole_at.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn wait(whole_at: Instant, now: Instant) -> Result<(), Duration> {
    match whole_at.saturating_duration_since(now).checked_sub(BURST) {
        Some(wait) if !wait.is_zero() => Err(wait),
        _ => Ok(()),
    }
}

/// An address as a key: who has an IPv6 address usually has its whole /64.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// 429 with the time to wait.
pub(crate) fn limited(limited: Result<(), Duration>, what: &str) -> ApiResult<()> {
    limited.map_err(|wait| {
        let seconds = wait.as_secs() + 1;
        let detail = format!("{what}; try again in {seconds} s");
        ApiError::new(problem_types::TOO_MANY_REQUESTS, detail).retry_after(seconds)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_passes_then_the_steady_rate() {
        let limit = RateLimit::per_second(5);
        let start = Instant::now();
        let passed = (0..100).filter(|_| limit.take("a", start).is_ok()).count();
        assert_eq!(passed, 51, "ten seconds' worth and the one that uses the rest up");
        assert!(limit.peek(&"a", start).is_err() && limit.peek(&"b", start).is_ok());
        let wait = limit.take("a", start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(200));
        assert!(limit.take("a", start + wait).is_ok());
        assert!(limit.take("a", start + wait).is_err());
        assert!(limit.take("b", start).is_ok(), "another key has its own budget");
        let later = start + Duration::from_secs(60);
        assert_eq!((0..100).filter(|_| limit.take("a", later).is_ok()).count(), 51);
    }

    #[test]
    fn zero_is_no_limit() {
        let limit = RateLimit::per_second(0);
        assert!((0..10_000).all(|_| limit.take("a", Instant::now()).is_ok()));
    }

    #[test]
    fn addresses_of_one_network_are_one_key() {
        let network = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
