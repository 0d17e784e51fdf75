//! The open connections of the process, and which of them makes room for a new one.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Arc, LazyLock, Mutex, MutexGuard},
};

use tokio_util::sync::CancellationToken;

use super::{file_limit::file_limit, phase::Phase};
use crate::limits::Limits;

/// Of all services of the process: they share its files.
pub(super) static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    // The other half is for the database, logs, work files and child processes.
    Registry::new(usize::try_from(file_limit() / 2).unwrap_or(usize::MAX))
});

pub(super) struct Registry {
    most: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    last: u64,
    entries: BTreeMap<u64, Entry>,
    of_listener: HashMap<u16, usize>,
    of_address: HashMap<(u16, IpAddr), usize>,
}

struct Entry {
    listener: u16,
    address: IpAddr,
    phase: Arc<Phase>,
    evict: CancellationToken,
}

/// One connection's place; free again when it is dropped.
pub(super) struct Place {
    number: u64,
    evict: CancellationToken,
    open: Arc<Mutex<Open>>,
}

impl Registry {
    fn new(most: usize) -> Self {
        Self { most, open: Arc::default() }
    }

    /// A place for a connection; `None` if all that could make room are being answered.
    pub fn admit(&self, listener: u16, address: IpAddr, limits: &Limits, phase: Arc<Phase>) -> Option<Place> {
        let mut open = lock(&self.open);
        let most = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
        let of_address = open.of_address.get(&(listener, address)).copied().unwrap_or_default();
        let of_listener = open.of_listener.get(&listener).copied().unwrap_or_default();
        let has_room = if of_address >= most(limits.max_connections_per_address) {
            open.evict(|entry| entry.listener == listener && entry.address == address)
        } else if of_listener >= most(limits.max_connections) {
            open.evict(|entry| entry.listener == listener)
        } else {
            open.entries.len() < self.most || open.evict(|_| true)
        };
        has_room.then(|| {
            open.last += 1;
            let (number, evict) = (open.last, CancellationToken::new());
            open.insert(number, Entry { listener, address, phase, evict: evict.clone() });
            Place { number, evict, open: self.open.clone() }
        })
    }

    /// Closes a connection, if one can be closed.
    pub fn make_room(&self) {
        lock(&self.open).evict(|_| true);
    }
}

impl Open {
    fn insert(&mut self, number: u64, entry: Entry) {
        *self.of_listener.entry(entry.listener).or_default() += 1;
        *self.of_address.entry((entry.listener, entry.address)).or_default() += 1;
        self.entries.insert(number, entry);
    }

    fn remove(&mut self, number: u64) -> Option<Entry> {
        let entry = self.entries.remove(&number)?;
        subtract_one(&mut self.of_listener, entry.listener);
        subtract_one(&mut self.of_address, (entry.listener, entry.address));
        Some(entry)
    }

    fn evict(&mut self, may_be: impl Fn(&Entry) -> bool) -> bool {
        let waiting = self.entries.iter().filter(|(_, entry)| may_be(entry));
        let waiting = waiting.filter_map(|(number, entry)| Some((entry.phase.waits()?, *number)));
        let Some((_, number)) = waiting.min() else { return false };
        if let Some(entry) = self.remove(number) {
            entry.evict.cancel();
        }
        true
    }
}

impl Place {
    /// Returns if the connection must close for another one.
    pub async fn evicted(&self) {
        self.evict.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.open).remove(self.number);
    }
}

fn subtract_one<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ATTACKER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn limits(max_connections: u32, max_connections_per_address: u32) -> Limits {
        Limits { max_connections, max_connections_per_address, ..Limits::default() }
    }

    /// Whether the connection must close.
    fn is_evicted(place: &Place) -> bool {
        place.evict.is_cancelled()
    }

    #[tokio::test]
    async fn oldest_connection_without_a_whole_request_makes_room() {
        let registry = Registry::new(100);
        let limits = limits(3, 3);
        let admit = |phase| registry.admit(1, ATTACKER, &limits, phase);
        let (busy, served) = (Arc::new(Phase::new()), Arc::new(Phase::new()));
        let busy_place = admit(busy.clone()).unwrap();
        let answering = Phase::begin(&busy);
        let served_place = admit(served.clone()).unwrap();
        drop(Phase::begin(&served));
        let half_place = admit(Arc::new(Phase::new())).unwrap();
        let next = admit(Arc::new(Phase::new())).unwrap();
        assert!(is_evicted(&half_place), "one that never sent a request goes first");
        let last = admit(Arc::new(Phase::new())).unwrap();
        assert!(is_evicted(&next) && !is_evicted(&last));
        assert!(!is_evicted(&served_place) && !is_evicted(&busy_place));
        drop((answering, last));
    }

    #[tokio::test]
    async fn connections_that_are_answered_are_never_closed_for_others() {
        let registry = Registry::new(2);
        let phases = [(); 2].map(|()| Arc::new(Phase::new()));
        let places =
            phases.each_ref().map(|phase| registry.admit(1, ATTACKER, &Limits::default(), phase.clone()));
        let answering = phases.each_ref().map(Phase::begin);
        assert!(registry.admit(2, CLIENT, &Limits::default(), Arc::new(Phase::new())).is_none());
        drop(answering);
        assert!(registry.admit(2, CLIENT, &Limits::default(), Arc::new(Phase::new())).is_some());
        drop(places);
        assert!(lock(&registry.open).entries.is_empty() && lock(&registry.open).of_address.is_empty());
    }

    #[tokio::test]
    async fn address_at_its_limit_closes_its_own_connections() {
        let registry = Registry::new(100);
        let limits = limits(100, 4);
        let client = registry.admit(1, CLIENT, &limits, Arc::new(Phase::new())).unwrap();
        let attacks: Vec<Place> =
            (0..50).filter_map(|_| registry.admit(1, ATTACKER, &limits, Arc::new(Phase::new()))).collect();
        assert!(!is_evicted(&client));
        assert_eq!(attacks.iter().filter(|place| !is_evicted(place)).count(), 4);
    }
}
