//! The names of the strategies: in which order and how many at once.

use crate::named::named_enum;

named_enum! {
    #[derive(Default)]
    Strategy, "a strategy" {
        /// All at once.
        BigBang => "bigbang",
        /// One after the other.
        #[default]
        Rolling => "rolling",
        /// In batches of `max_parallel`.
        BatchRolling => "batch_rolling",
        /// One of each service first, then the rest.
        Canary => "canary",
        /// A whole second set, then a switch.
        BlueGreen => "bluegreen",
        /// Dependencies before their dependents.
        DepGreedy => "dep_greedy",
        /// By risk, incompatible hosts together.
        Hybrid => "hybrid",
    }
}
