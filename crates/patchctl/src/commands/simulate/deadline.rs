//! From a deadline back: which strategies meet it, and what it takes for the others.

use domain::strategy::Strategy;
use planner::NodePlan;
use serde::Serialize;
use simulator::native::{MonteCarlo, NativeOptions, Sampling, ScenarioComparison, Simulation};

use super::Question;

const CONFIDENCE: f64 = 0.95;

#[derive(Debug, Serialize)]
pub struct DeadlineAnswer {
    pub seconds: f64,
    /// Share of runs that must have patched everything by then.
    pub confidence: f64,
    pub strategies: Vec<StrategyAnswer>,
}

#[derive(Debug, Serialize)]
pub struct StrategyAnswer {
    pub strategy: Strategy,
    /// Share of runs that have patched everything by the deadline.
    pub done_in_time: f64,
    #[serde(flatten)]
    pub verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    Meets,
    /// It would with so many nodes at once, and with none fewer.
    NeedsParallel {
        max_parallel: u32,
    },
    /// Enough runs patch everything, but later; more nodes at once do not help.
    NeedsTime,
    /// No deadline is late enough: too many runs leave nodes unpatched.
    Never,
}

/// `more` is called before each further sampling.
pub fn answer(
    question: &Question,
    seconds: f64,
    options: &NativeOptions,
    sampling: &Sampling,
    comparison: &ScenarioComparison,
    more: &dyn Fn(),
) -> DeadlineAnswer {
    let confidence = question.confidence.unwrap_or(CONFIDENCE);
    let in_time = |result: &MonteCarlo| result.done_in_time.map_or(0.0, |share| share.value);
    let meets = |plan: &NodePlan, max_parallel: u32| {
        more();
        let options = NativeOptions { max_parallel: Some(max_parallel), ..options.clone() };
        in_time(&Simulation::new(&question.scenario, &options).monte_carlo(plan, sampling)) >= confidence
    };
    let verdict = |plan: &NodePlan, result: &MonteCarlo| {
        if in_time(result) >= confidence {
            return Verdict::Meets;
        }
        let needed = options.max_parallel.and_then(|current| {
            let widest = plan.steps.iter().map(|step| step.size()).max()? as u32;
            smallest(current, widest, |max_parallel| meets(plan, max_parallel))
        });
        match needed {
            Some(max_parallel) => Verdict::NeedsParallel { max_parallel },
            None if result.fully_patched.value >= confidence => Verdict::NeedsTime,
            None => Verdict::Never,
        }
    };
    let answers = comparison.outcomes.iter().filter_map(|outcome| {
        let (plan, result) = (outcome.plan.as_ref()?, outcome.result.as_ref()?);
        let (strategy, done_in_time) = (outcome.strategy, in_time(result));
        Some(StrategyAnswer { strategy, done_in_time, verdict: verdict(plan, result) })
    });
    DeadlineAnswer { seconds, confidence, strategies: answers.collect() }
}

/// The smallest number above `failing` that meets, if `highest` does: with more places nodes begin earlier.
fn smallest(failing: u32, highest: u32, meets: impl Fn(u32) -> bool) -> Option<u32> {
    if highest <= failing || !meets(highest) {
        return None;
    }
    let (mut low, mut high) = (failing, highest);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if meets(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

impl DeadlineAnswer {
    /// A line for each strategy.
    pub fn lines(&self) -> Vec<String> {
        let line = |answer: &StrategyAnswer| {
            let then = match answer.verdict {
                Verdict::Meets => "meets the deadline".to_owned(),
                Verdict::NeedsParallel { max_parallel } => {
                    format!("would meet it with --max-parallel {max_parallel}")
                }
                Verdict::NeedsTime => "is too slow for it; it takes a later deadline".to_owned(),
                Verdict::Never => "meets no deadline: too many runs leave nodes unpatched".to_owned(),
            };
            format!(
                "{}: {then} (done in time in {:.1} % of runs)",
                answer.strategy,
                answer.done_in_time * 100.0
            )
        };
        self.strategies.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smallest_number_that_meets_is_found() {
        assert_eq!(smallest(1, 64, |number| number >= 23), Some(23));
        assert_eq!(smallest(1, 64, |_| true), Some(2));
        assert_eq!(smallest(1, 64, |_| false), None);
        assert_eq!(smallest(64, 8, |_| true), None);
    }
}
