//! From a deadline to the plan: what must change so that a run is done in time with a given confidence.

use domain::quantity::HostCount;
use planner::{PlanRequest, host_plan};
use serde::{Deserialize, Serialize};

use crate::{
    compare::{estimated, minutes},
    forecast::{DurationModel, done_times},
};

/// Most degrees of parallelism that are tried before the search narrows down.
const MOST_TRIED: usize = 24;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Deadline {
    /// Length of the window: from the first snapshot to the end of verification.
    pub seconds: f64,
    /// Share of runs that must be done in time, 0 to 1.
    pub confidence: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Inverse {
    pub answer: Answer,
    /// The tried values, by rising parallelism: the trade-off between parallelism and window.
    pub tried: Vec<Tried>,
    /// The answer as a sentence.
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Answer {
    /// The request meets the deadline unchanged.
    AsItIs,
    /// Each of the two is enough by itself, and is the smallest that is. At least one is present.
    Change { max_parallel: Option<u32>, window_seconds: Option<f64> },
    /// Neither more parallelism nor any window helps: too many runs halt.
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Tried {
    pub max_parallel: u32,
    pub waves: u32,
    /// Share of runs that are done by the deadline.
    pub done_in_time: f64,
    /// The window that the confidence needs; absent if no window is long enough.
    pub window_seconds: Option<f64>,
}

/// A run is done if it did not halt. Every try draws the same random numbers, so tries differ only by their parallelism.
/// Plans with errors are not considered; `min_up` is never traded.
pub fn meet_deadline(
    request: &PlanRequest,
    deadline: Deadline,
    model: &DurationModel,
    runs: u32,
    seed: u64,
) -> Inverse {
    let total = request.targets.len().max(1);
    let current = request.max_parallel.of(total).clamp(1, total);
    let attempt = |max_parallel: usize| -> Option<Tried> {
        let max_parallel = u32::try_from(max_parallel).ok()?;
        let request = PlanRequest { max_parallel: HostCount::Number(max_parallel), ..request.clone() };
        let plan = host_plan(&estimated(&request, model));
        if plan.errors().next().is_some() {
            return None;
        }
        let done = done_times(&plan, &request.graph, model, runs, seed);
        let in_time = done.partition_point(|seconds| *seconds <= deadline.seconds);
        let needed = (deadline.confidence * done.len() as f64).ceil().max(1.0) as usize;
        let window_seconds = done.get(needed - 1).copied().filter(|seconds| seconds.is_finite());
        let done_in_time = in_time as f64 / done.len() as f64;
        Some(Tried { max_parallel, waves: plan.waves.len() as u32, done_in_time, window_seconds })
    };
    let meets = |tried: &Tried| tried.window_seconds.is_some_and(|seconds| seconds <= deadline.seconds);

    let mut tried: Vec<Tried> = Vec::new();
    let step = (total - current).div_ceil(MOST_TRIED).max(1);
    let mut below = current;
    for max_parallel in (current..total).step_by(step).chain([total]) {
        let Some(found) = attempt(max_parallel) else { continue };
        tried.push(found);
        if !meets(&found) {
            below = max_parallel;
            continue;
        }
        // The smallest that is enough lies between the last that was not and this one.
        let (mut low, mut high) = (below, max_parallel);
        while max_parallel > current && high - low > 1 {
            let middle = low + (high - low) / 2;
            let Some(found) = attempt(middle) else { break };
            tried.push(found);
            if meets(&found) { high = middle } else { low = middle }
        }
        break;
    }
    tried.sort_by_key(|tried| tried.max_parallel);
    tried.dedup_by_key(|tried| tried.max_parallel);
    conclude(tried, current, total, deadline, meets)
}

fn conclude(
    tried: Vec<Tried>,
    current: usize,
    total: usize,
    deadline: Deadline,
    meets: impl Fn(&Tried) -> bool,
) -> Inverse {
    let asked = format!("{} in {:.0} % of runs", minutes(deadline.seconds), deadline.confidence * 100.0);
    let enough = tried.iter().find(|tried| meets(tried));
    let as_it_is = tried.first().filter(|tried| tried.max_parallel as usize == current);
    let window_seconds = as_it_is.and_then(|tried| tried.window_seconds);
    let (answer, reason) = match (enough, window_seconds) {
        (Some(enough), _) if enough.max_parallel as usize == current => (
            Answer::AsItIs,
            format!("done within {asked} without a change: {:.1} % of runs are", enough.done_in_time * 100.0),
        ),
        (None, None) => {
            let reason = match tried.iter().map(|tried| tried.done_in_time).reduce(f64::max) {
                None => "no degree of parallelism makes a plan without errors".to_owned(),
                Some(best) => format!(
                    "nothing up to all {total} hosts at once is done within {asked} (at best {:.1} %), and no window \
                     is long enough, because too many runs halt; what helps is fewer failures, retries, or a higher \
                     error threshold",
                    best * 100.0
                ),
            };
            (Answer::Never, reason)
        }
        (enough, window_seconds) => {
            let parallel = enough
                .map(|enough| format!("max_parallel {} in {} waves", enough.max_parallel, enough.waves));
            let window =
                window_seconds.map(|s| format!("a window of {} at max_parallel {current}", minutes(s)));
            let either = [parallel, window].into_iter().flatten().collect::<Vec<_>>().join(", or ");
            let mut reason = format!("to be done within {asked} it takes {either}");
            if enough.is_none() {
                reason +=
                    &format!("; no parallelism helps, because even {total} at once must keep every min_up");
            }
            (
                Answer::Change { max_parallel: enough.map(|enough| enough.max_parallel), window_seconds },
                reason,
            )
        }
    };
    Inverse { answer, tried, reason }
}
