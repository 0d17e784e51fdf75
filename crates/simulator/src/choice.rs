//! Chooses among several plans: the Pareto front over time, downtime and exposure, and a rule that picks from it.

/// Differences below one percent are noise.
const SIGNIFICANT: f64 = 0.01;
/// This share of the services' time below `min_up` is no reason to choose another plan: the services keep three nines
/// during the run.
const TOLERABLE: f64 = 0.001;

/// The figures of a plan that matter for the choice. Lower is better in every one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Not forbidden by an error.
    pub allowed: bool,
    pub time_p95: f64,
    pub downtime: f64,
    /// Seconds of all services during the run; `downtime` is a part of it.
    pub service_time: f64,
    pub exposure: f64,
    pub failed: f64,
}

impl Candidate {
    fn objectives(&self) -> [f64; 3] {
        [self.time_p95, self.downtime, self.exposure]
    }

    pub fn is_as_good_in_all(&self, other: &Self) -> bool {
        self.objectives() == other.objectives()
    }
}

/// For each candidate: whether it is allowed, and no other allowed one is at least as good in all three objectives and
/// better in one.
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

/// Of the calmest candidates, the one with the least product of time, exposure and expected failed hosts, each relative to
/// the best of them. Ties go to the first.
pub fn choose(candidates: &[Candidate]) -> Option<usize> {
    let calm = calmest(candidates);
    let costs = |index: usize| {
        let Candidate { time_p95, exposure, failed, .. } = candidates[index];
        [time_p95, exposure, failed]
    };
    let mut best = [f64::INFINITY; 3];
    for costs in calm.iter().map(|index| costs(*index)) {
        (0..3).for_each(|n| best[n] = best[n].min(costs[n]));
    }
    // One is added to both sides to avoid a division by zero.
    let score = |index: usize| -> f64 {
        costs(index).iter().zip(&best).map(|(cost, best)| ((cost + 1.0) / (best + 1.0)).ln()).sum()
    };
    let mut chosen: Option<usize> = None;
    for index in calm {
        if chosen.is_none_or(|chosen| score(index) < score(chosen) - SIGNIFICANT * SIGNIFICANT) {
            chosen = Some(index);
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(time_p95: f64, downtime: f64, exposure: f64) -> Candidate {
        Candidate { allowed: true, time_p95, downtime, service_time: 10.0 * time_p95, exposure, failed: 0.0 }
    }

    #[test]
    fn dominated_and_forbidden_plans_are_not_on_the_front() {
        let forbidden = Candidate { allowed: false, ..candidate(1.0, 0.0, 1.0) };
        let all =
            [candidate(10.0, 0.0, 50.0), candidate(5.0, 90.0, 20.0), candidate(11.0, 0.0, 50.0), forbidden];
        assert_eq!(pareto(&all), [true, true, false, false]);
    }

    #[test]
    fn downtime_weighs_more_than_time_and_equals_go_to_the_first() {
        let calm = candidate(10.0, 0.0, 50.0);
        assert_eq!(choose(&[candidate(5.0, 90.0, 20.0), calm, calm]), Some(1));
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn little_downtime_is_tolerated_for_less_exposure() {
        let never = candidate(2000.0, 0.0, 500.0);
        assert_eq!(choose(&[never, candidate(1990.0, 15.0, 100.0)]), Some(1));
        assert_eq!(choose(&[never, candidate(1990.0, 25.0, 100.0)]), Some(0));
    }
}
