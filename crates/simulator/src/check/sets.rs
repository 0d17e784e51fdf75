//! The search where units differ, because a host takes several members with it: a state is the set of units that are down.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Found, MOST_STATES, Question};

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    working: BTreeSet<usize>,
    failed: BTreeSet<usize>,
}

type Reached = BTreeMap<State, Option<(State, usize, bool)>>;

pub fn search(question: &Question, units: &[usize], states: &mut u64) -> Found {
    let start = State { working: BTreeSet::new(), failed: BTreeSet::new() };
    let mut reached: Reached = BTreeMap::from([(start.clone(), None)]);
    let mut open = VecDeque::from([start]);
    let limit = *states + MOST_STATES;
    while let Some(state) = open.pop_front() {
        *states += 1;
        if *states > limit {
            return Found::TooMuch;
        }
        let up = up(question, &state);
        if up < question.min_up {
            return Found::Path(path(&reached, state), up);
        }
        let may_begin = state.working.len() < question.max_parallel;
        let waiting = units.iter().filter(|unit| may_begin && is_idle(&state, unit));
        let may_fail = state.failed.len() < question.failures;
        let healthy = question.loss.keys().filter(|unit| may_fail && is_idle(&state, unit));
        let events = waiting.map(|unit| (*unit, false)).chain(healthy.map(|unit| (*unit, true)));
        for (unit, fails) in events.collect::<Vec<_>>() {
            let mut next = state.clone();
            if fails {
                next.failed.insert(unit)
            } else {
                next.working.insert(unit)
            };
            if reached.contains_key(&next)
                || (!fails && question.must_stay_up.is_some_and(|least| self::up(question, &next) < least))
            {
                continue;
            }
            reached.insert(next.clone(), Some((state.clone(), unit, fails)));
            open.push_back(next);
        }
    }
    Found::Nothing
}

fn is_idle(state: &State, unit: &usize) -> bool {
    !state.working.contains(unit) && !state.failed.contains(unit)
}

fn up(question: &Question, state: &State) -> usize {
    let down: BTreeSet<&usize> =
        state.working.iter().chain(&state.failed).flat_map(|unit| &question.loss[unit]).collect();
    question.up.len() - down.len()
}

fn path(reached: &Reached, end: State) -> Vec<(usize, bool)> {
    let mut path = Vec::new();
    let mut state = &end;
    while let Some(Some((before, unit, fails))) = reached.get(state) {
        path.push((*unit, *fails));
        state = before;
    }
    path.reverse();
    path
}
