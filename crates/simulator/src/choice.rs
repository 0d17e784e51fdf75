//! Chooses among several plans: the Pareto front over time, downtime, exposure and halts, and a rule that picks from it.

use domain::strategy::Strategy;

use crate::statistics::Spread;

/// Differences below one percent are noise.
const SIGNIFICANT: f64 = 0.01;
/// This share of the services' time below `min_up` is no reason to choose another plan: the services keep three nines
/// during the run.
const TOLERABLE: f64 = 0.001;

/// The figures of a plan that matter for the choice. Lower is better in every one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    pub strategy: Strategy,
    /// Not forbidden by an error.
    pub allowed: bool,
    pub time_p95: f64,
    pub downtime: f64,
    /// Seconds of all services during the run; `downtime` is a part of it.
    pub service_time: f64,
    pub exposure_p50: f64,
    pub exposure_p95: f64,
    /// Share of halted runs, 0 to 1. What they leave unpatched is not in the exposure: a mean over all runs would say how
    /// often they halt, and nothing else.
    pub halted: f64,
    pub failed: f64,
}

impl Candidate {
    pub fn with_exposure(self, exposure: &Spread) -> Self {
        Self { exposure_p50: exposure.p50, exposure_p95: exposure.p95, ..self }
    }

    fn objectives(&self) -> [f64; 5] {
        [self.time_p95, self.downtime, self.exposure_p50, self.exposure_p95, self.halted]
    }

    pub fn is_as_good_in_all(&self, other: &Self) -> bool {
        self.objectives() == other.objectives()
    }

    /// Time, exposure, halts and failed hosts. Both percentiles of the exposure together weigh as much as the time. Halts
    /// are in percent, so that one in a thousand does not decide.
    fn costs(&self) -> [f64; 4] {
        let exposure = (self.exposure_p50 * self.exposure_p95).sqrt();
        [self.time_p95, exposure, self.halted * 100.0, self.failed]
    }
}

/// For each candidate: whether it is allowed, and no other allowed one is at least as good in all objectives and better in
/// one.
pub fn pareto(candidates: &[Candidate]) -> Vec<bool> {
    let beats = |a: &Candidate, b: &Candidate| {
        let (a, b) = (a.objectives(), b.objectives());
        a.iter().zip(&b).all(|(a, b)| a <= b) && a != b
    };
    let on_front =
        |own: &Candidate| own.allowed && !candidates.iter().any(|other| other.allowed && beats(other, own));
    candidates.iter().map(on_front).collect()
}

/// Candidates of the front with tolerable downtime, and those whose downtime is not significantly above the least.
pub fn calmest(candidates: &[Candidate]) -> Vec<usize> {
    let front = pareto(candidates);
    let front = || (0..candidates.len()).filter(|index| front[*index]);
    let least = front().map(|index| candidates[index].downtime).fold(f64::INFINITY, f64::min);
    let is_calm = |index: &usize| {
        let Candidate { downtime, service_time, .. } = candidates[*index];
        downtime <= least * (1.0 + SIGNIFICANT) + 1.0 || downtime <= service_time * TOLERABLE
    };
    front().filter(is_calm).collect()
}

/// Of the calmest candidates, the one with the least product of its costs, each relative to the best of them. Among those
/// that are not significantly worse, the gentlest strategy is chosen.
pub fn choose(candidates: &[Candidate]) -> Option<usize> {
    let calm = calmest(candidates);
    let mut best = [f64::INFINITY; 4];
    for costs in calm.iter().map(|index| candidates[*index].costs()) {
        best.iter_mut().zip(costs).for_each(|(best, cost)| *best = best.min(cost));
    }
    // One is added to both sides to avoid a division by zero.
    let score = |index: usize| -> f64 {
        let costs = candidates[index].costs();
        costs.iter().zip(&best).map(|(cost, best)| ((cost + 1.0) / (best + 1.0)).ln()).sum()
    };
    let least = calm.iter().map(|index| score(*index)).fold(f64::INFINITY, f64::min);
    let tied = calm.into_iter().filter(|index| score(*index) <= least + SIGNIFICANT);
    tied.min_by_key(|index| candidates[*index].strategy.gentleness())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(time_p95: f64, downtime: f64, exposure: f64) -> Candidate {
        Candidate {
            strategy: Strategy::Rolling,
            allowed: true,
            time_p95,
            downtime,
            service_time: 10.0 * time_p95,
            exposure_p50: exposure,
            exposure_p95: exposure,
            halted: 0.0,
            failed: 0.0,
        }
    }

    #[test]
    fn dominated_and_forbidden_plans_are_not_on_the_front() {
        let forbidden = Candidate { allowed: false, ..candidate(1.0, 0.0, 1.0) };
        let all =
            [candidate(10.0, 0.0, 50.0), candidate(5.0, 90.0, 20.0), candidate(11.0, 0.0, 50.0), forbidden];
        assert_eq!(pareto(&all), [true, true, false, false]);
    }

    #[test]
    fn downtime_weighs_more_than_time() {
        let calm = candidate(10.0, 0.0, 50.0);
        assert_eq!(choose(&[candidate(5.0, 90.0, 20.0), calm]), Some(1));
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn equals_go_to_the_gentlest_in_any_order() {
        let of = |strategy| Candidate { strategy, ..candidate(1000.0, 0.0, 500.0) };
        let (big, rolling, canary) = (of(Strategy::BigBang), of(Strategy::Rolling), of(Strategy::Canary));
        assert_eq!(choose(&[big, rolling, canary]), Some(2));
        assert_eq!(choose(&[canary, big, rolling]), Some(0));
        // A difference below one percent is noise; a larger one is not.
        let faster = Candidate { time_p95: 995.0, exposure_p50: 500.1, ..rolling };
        assert_eq!(choose(&[faster, canary]), Some(1));
        assert_eq!(choose(&[Candidate { time_p95: 950.0, ..rolling }, canary]), Some(0));
    }

    #[test]
    fn rare_halts_do_not_decide_and_frequent_ones_do() {
        let slow = candidate(1000.0, 0.0, 500.0);
        let fast = Candidate { halted: 0.002, ..candidate(700.0, 0.0, 300.0) };
        assert_eq!(choose(&[slow, fast]), Some(1));
        assert_eq!(choose(&[slow, Candidate { halted: 0.3, ..fast }]), Some(0));
        assert_eq!(pareto(&[slow, Candidate { halted: 0.3, ..fast }]), [true, true]);
    }

    #[test]
    fn little_downtime_is_tolerated_for_less_exposure() {
        let never = candidate(2000.0, 0.0, 500.0);
        assert_eq!(choose(&[never, candidate(1990.0, 15.0, 100.0)]), Some(1));
        assert_eq!(choose(&[never, candidate(1990.0, 25.0, 100.0)]), Some(0));
    }
}
