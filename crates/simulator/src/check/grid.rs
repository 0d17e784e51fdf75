//! The search where members are alike: a state is how many of the step are being worked on and how many have failed.
//!
//! Of the paths into such a state the shortest leaves the most nodes of the step waiting, so nothing that could happen is
//! lost by keeping only the counts.

use std::collections::{BTreeMap, VecDeque};

use super::{Found, Question};

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    working: usize,
    failed: usize,
}

pub fn search(question: &Question, units: &[usize], states: &mut u64) -> Found {
    let members = question.up.len();
    let up = |state: State| members - state.working - state.failed;
    let start = State { working: 0, failed: 0 };
    // The event that first led into each state: whether it was a failure. Its state before follows from that.
    let mut reached: BTreeMap<State, bool> = BTreeMap::from([(start, false)]);
    let mut open = VecDeque::from([start]);
    while let Some(state) = open.pop_front() {
        *states += 1;
        if up(state) < question.min_up {
            return Found::Path(path(question, units, &reached, state), up(state));
        }
        let may_begin = state.working < units.len().min(question.max_parallel)
            && up(state) > question.must_stay_up.unwrap_or(0);
        let may_fail = state.failed < question.failures && up(state) > 0;
        let begun = may_begin.then_some((State { working: state.working + 1, ..state }, false));
        let failed = may_fail.then_some((State { failed: state.failed + 1, ..state }, true));
        for (next, fails) in begun.into_iter().chain(failed) {
            reached.entry(next).or_insert_with(|| {
                open.push_back(next);
                fails
            });
        }
        // Ends of work, repairs and failures of those that are down anyway lead to states with no fewer members up,
        // which are reached on the way here or on another path.
    }
    Found::Nothing
}

/// Nodes of the step start in their order; others fail, members outside the step first.
fn path(
    question: &Question,
    units: &[usize],
    reached: &BTreeMap<State, bool>,
    end: State,
) -> Vec<(usize, bool)> {
    let mut fails = Vec::new();
    let mut state = end;
    while state != (State { working: 0, failed: 0 }) {
        let failed = reached[&state];
        fails.push(failed);
        if failed { state.failed -= 1 } else { state.working -= 1 }
    }
    let outside = question.up.iter().copied().filter(|member| !units.contains(member));
    let mut failing = outside.chain(units.iter().rev().copied());
    let mut beginning = units.iter().copied();
    fails.reverse();
    fails
        .into_iter()
        .filter_map(|fails| {
            let unit = if fails { failing.next() } else { beginning.next() };
            unit.map(|unit| (unit, fails))
        })
        .collect()
}
