//! Which strategies meet a deadline, and what the others need to meet it.

use std::fmt;

use domain::strategy::Strategy;
use planner::NodePlan;
use serde::Serialize;
use simulator::native::{MonteCarlo, NativeOptions, Sampling, ScenarioComparison, Simulation, Window};

use super::Question;

const CONFIDENCE: f64 = 0.95;
/// The search for longer windows goes in steps of a minute.
const GRAIN_SECONDS: u64 = 60;

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

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    Meets,
    /// It would meet it after this change, which is the smallest.
    Needs(Change),
    /// No change of parallelism and windows is enough; this is the result of the largest change.
    None {
        best: Best,
    },
}

/// Each change that is enough by itself, or both if only both together are enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Change {
    pub max_parallel: Option<u32>,
    /// How much later each window closes, though not after the next one opens.
    pub windows_longer_seconds: Option<u64>,
    pub together: bool,
}

/// With every node of a step at once, and windows that close no earlier than the next one opens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Best {
    pub done_in_time: f64,
    /// The earliest deadline that enough runs meet; `None` when too many runs leave nodes unpatched.
    pub deadline_seconds: Option<f64>,
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
    let answers = comparison.outcomes.iter().filter_map(|outcome| {
        let (plan, result) = (outcome.plan.as_ref()?, outcome.result.as_ref()?);
        let search = Search { question, options, sampling, plan, seconds, confidence, more };
        let (strategy, done_in_time) = (outcome.strategy, in_time(result));
        let verdict = if done_in_time >= confidence { Verdict::Meets } else { search.verdict() };
        Some(StrategyAnswer { strategy, done_in_time, verdict })
    });
    DeadlineAnswer { seconds, confidence, strategies: answers.collect() }
}

fn in_time(result: &MonteCarlo) -> f64 {
    result.done_in_time.map_or(0.0, |share| share.value)
}

/// The search for one plan that misses the deadline. All tries use the same random streams, so only the change differs.
struct Search<'a> {
    question: &'a Question,
    options: &'a NativeOptions,
    sampling: &'a Sampling<'a>,
    plan: &'a NodePlan,
    seconds: f64,
    confidence: f64,
    more: &'a dyn Fn(),
}

impl Search<'_> {
    fn verdict(&self) -> Verdict {
        let current = self.options.max_parallel;
        let widest = self.plan.steps.iter().map(|step| step.size() as u32).max().unwrap_or(1);
        let parallel = current.filter(|current| *current < widest).map(|current| (current, widest));
        // Once a window closes after the deadline, closing even later does not help.
        let longest =
            (!self.options.windows.is_empty()).then(|| (self.seconds / GRAIN_SECONDS as f64).ceil() as u32);
        let seconds = |grains: u32| u64::from(grains) * GRAIN_SECONDS;

        let places =
            parallel.and_then(|(low, high)| smallest(low, high, |places| self.meets(Some(places), 0)));
        let grains =
            longest.and_then(|longest| smallest(0, longest, |grains| self.meets(current, seconds(grains))));
        if places.is_some() || grains.is_some() {
            let windows_longer_seconds = grains.map(seconds);
            return Verdict::Needs(Change { max_parallel: places, windows_longer_seconds, together: false });
        }
        if let (Some((low, high)), Some(longest)) = (parallel, longest)
            && let Some(grains) = smallest(0, longest, |grains| self.meets(Some(high), seconds(grains)))
        {
            let places = smallest(low, high, |places| self.meets(Some(places), seconds(grains)));
            return Verdict::Needs(Change {
                max_parallel: places,
                windows_longer_seconds: Some(seconds(grains)),
                together: true,
            });
        }
        let result =
            self.play(parallel.map_or(current, |(_, high)| Some(high)), seconds(longest.unwrap_or(0)));
        let deadline_seconds = result.deadline_met_by(self.confidence);
        Verdict::None { best: Best { done_in_time: in_time(&result), deadline_seconds } }
    }

    fn meets(&self, max_parallel: Option<u32>, longer: u64) -> bool {
        in_time(&self.play(max_parallel, longer)) >= self.confidence
    }

    fn play(&self, max_parallel: Option<u32>, longer: u64) -> MonteCarlo {
        (self.more)();
        let windows = longer_windows(&self.options.windows, longer);
        let options = NativeOptions { max_parallel, windows, ..self.options.clone() };
        Simulation::new(&self.question.scenario, &options).monte_carlo(self.plan, self.sampling)
    }
}

/// Each window closes later, at the latest when the next one opens; windows that touch become one.
fn longer_windows(windows: &[Window], seconds: u64) -> Vec<Window> {
    let mut longer: Vec<Window> = Vec::new();
    for (index, window) in windows.iter().enumerate() {
        let next = windows.get(index + 1).map_or(u64::MAX, |next| next.opens);
        let closes = window.closes.saturating_add(seconds).min(next);
        match longer.last_mut() {
            Some(last) if last.closes == window.opens && seconds > 0 => last.closes = closes,
            _ => longer.push(Window { opens: window.opens, closes }),
        }
    }
    longer
}

/// The smallest number above `failing` that meets the deadline, if `highest` does: more places let nodes start earlier.
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
    /// One line for each strategy.
    pub fn lines(&self) -> Vec<String> {
        let line = |answer: &StrategyAnswer| {
            let then = match answer.verdict {
                Verdict::Meets => "meets the deadline".to_owned(),
                Verdict::Needs(change) => format!("would meet it with {change}"),
                Verdict::None { best } => {
                    format!("cannot meet it with more parallelism or longer windows: {best}")
                }
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

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.max_parallel.map(|places| format!("--max-parallel {places}"));
        let windows =
            self.windows_longer_seconds.map(|seconds| format!("windows that close {seconds} s later"));
        let either: Vec<String> = [places, windows].into_iter().flatten().collect();
        f.write_str(&either.join(if self.together { " and " } else { ", or with " }))
    }
}

impl fmt::Display for Best {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "with the maximum of both, {:.1} % of runs do, and ", self.done_in_time * 100.0)?;
        match self.deadline_seconds {
            Some(seconds) => write!(f, "the earliest possible deadline is {:.0} s", seconds.ceil()),
            None => f.write_str("no deadline is possible, because too many runs leave nodes unpatched"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_grow_until_the_next_opens() {
        let windows = [(0, 100), (300, 400)].map(|(opens, closes)| Window { opens, closes });
        let spans = |seconds| {
            longer_windows(&windows, seconds).iter().map(|w| (w.opens, w.closes)).collect::<Vec<_>>()
        };
        assert_eq!(spans(0), [(0, 100), (300, 400)]);
        assert_eq!(spans(60), [(0, 160), (300, 460)]);
        assert_eq!(spans(240), [(0, 640)]);
    }

    #[test]
    fn smallest_number_that_meets_is_found() {
        assert_eq!(smallest(1, 64, |number| number >= 23), Some(23));
        assert_eq!(smallest(1, 64, |_| true), Some(2));
        assert_eq!(smallest(1, 64, |_| false), None);
        assert_eq!(smallest(64, 8, |_| true), None);
    }
}
