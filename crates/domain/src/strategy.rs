//! The names of the strategies: in which order and how many at once.

use crate::named::named_enum;

named_enum! {
    #[derive(Default)]
    Strategy, "a strategy" {
        /// All at once, whatever the budgets say. A plan of hosts that breaks a budget is refused.
        BigBang => "bigbang",
        /// As many at once as the budgets allow, the most critical first.
        #[default]
        Rolling => "rolling",
        /// One service after the other, in batches of `max_unavailable`.
        BatchRolling => "batch_rolling",
        /// One of each service first, then the rest.
        Canary => "canary",
        /// A whole second set, then a switch. Only for scenarios: no driver replaces hosts.
        BlueGreen => "bluegreen",
        /// Dependencies before their dependents.
        DepGreedy => "dep_greedy",
        /// By risk, incompatible hosts together.
        Hybrid => "hybrid",
    }
}

/// From the strategy that does the least harm with a bad update to the one that does the most: how much is down or
/// changed before the first sign of trouble can stop the rest.
const GENTLEST_FIRST: [Strategy; 7] = [
    // One member of each service, then a pause.
    Strategy::Canary,
    // One service, and of it one batch.
    Strategy::BatchRolling,
    // A pause after each wave.
    Strategy::Hybrid,
    // No host before those it depends on.
    Strategy::DepGreedy,
    Strategy::Rolling,
    // Everything changes at one switch, but the first set is still there.
    Strategy::BlueGreen,
    Strategy::BigBang,
];

impl Strategy {
    /// Its place among all strategies, the gentlest first. Equally good plans are decided by it.
    pub fn gentleness(self) -> usize {
        GENTLEST_FIRST.iter().position(|strategy| *strategy == self).unwrap_or(GENTLEST_FIRST.len())
    }

    /// Why hosts cannot be patched by this strategy, and what to use instead.
    pub fn refusal_for_hosts(self) -> Option<&'static str> {
        (self == Self::BlueGreen).then_some(
            "`bluegreen` needs a second set of machines, and no driver replaces hosts; use `canary` or `rolling`",
        )
    }

    /// The strategies that hosts can be patched by.
    pub fn for_hosts() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|strategy| strategy.refusal_for_hosts().is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strategy_has_a_place_of_its_own() {
        let mut places = Strategy::ALL.map(Strategy::gentleness);
        places.sort_unstable();
        assert_eq!(places, [0, 1, 2, 3, 4, 5, 6]);
        assert!(Strategy::Canary.gentleness() < Strategy::Rolling.gentleness());
        assert!(Strategy::Rolling.gentleness() < Strategy::BigBang.gentleness());
    }

    #[test]
    fn hosts_have_every_strategy_but_the_one_that_replaces_them() {
        assert_eq!(Strategy::for_hosts().count(), 6);
        assert!(Strategy::BlueGreen.refusal_for_hosts().is_some_and(|reason| reason.contains("`canary`")));
    }
}
