//! The queue of events: in order of time, and at the same time in the order of insertion.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Fewer events than this are put in order all at once.
const FEW: usize = 256;
/// Of more, about the first quarter is sorted; this many are sampled to find where it ends.
const SAMPLE: usize = 64;

/// An event is a number below 2^32 at a time.
///
/// Most events are inserted long before they happen, so they stay unsorted until their time is near. An event then costs a
/// few sequential passes over memory, where a heap of tens of thousands would cost random accesses.
#[derive(Default)]
pub struct Agenda {
    /// From the horizon on, unsorted.
    later: Vec<u128>,
    /// Before the horizon, latest first.
    sooner: Vec<u128>,
    /// Before the horizon, inserted after `sooner` was sorted.
    between: BinaryHeap<Reverse<u128>>,
    horizon: u64,
    sequence: u32,
}

impl Agenda {
    #[inline]
    pub fn push(&mut self, time: u64, event: u32) {
        // Time, sequence and event in one number compare correctly without branches.
        let entry = u128::from(time) << 64 | u128::from(self.sequence) << 32 | u128::from(event);
        self.sequence += 1;
        if time < self.horizon { self.between.push(Reverse(entry)) } else { self.later.push(entry) }
    }

    #[inline]
    pub fn pop(&mut self) -> Option<(u64, u32)> {
        if self.sooner.is_empty() && self.between.is_empty() {
            self.move_horizon();
        }
        let next = match (self.sooner.last(), self.between.peek()) {
            (Some(sooner), Some(Reverse(between))) if between < sooner => {
                self.between.pop().map(|next| next.0)
            }
            (None, _) => self.between.pop().map(|next| next.0),
            (Some(_), _) => self.sooner.pop(),
        }?;
        Some((time(next), next as u32))
    }

    /// Clears everything and keeps its memory.
    pub fn clear(&mut self) {
        self.later.clear();
        self.sooner.clear();
        self.between.clear();
        (self.horizon, self.sequence) = (0, 0);
    }

    fn move_horizon(&mut self) {
        if self.later.len() < FEW {
            std::mem::swap(&mut self.later, &mut self.sooner);
        } else {
            let mut sample = [0; SAMPLE];
            let spread = self.later.iter().step_by(self.later.len() / SAMPLE);
            sample.iter_mut().zip(spread).for_each(|(to, from)| *to = *from);
            let (_, last, _) = sample.select_nth_unstable(SAMPLE / 4);
            let mut index = 0;
            while index < self.later.len() {
                if self.later[index] <= *last {
                    self.sooner.push(self.later.swap_remove(index))
                } else {
                    index += 1
                }
            }
        }
        self.sooner.sort_unstable_by(|a, b| b.cmp(a));
        // What comes at the very time of the latest may come before it is taken, and is after it by its sequence.
        self.horizon = self.sooner.first().map_or(0, |latest| time(*latest));
    }
}

fn time(entry: u128) -> u64 {
    (entry >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::Agenda;

    #[test]
    fn events_come_by_time_and_at_one_time_in_their_order() {
        let mut agenda = Agenda::default();
        // Many are there from the start, and each that happens inserts another, some for the same instant.
        let mut open: Vec<(u64, u32)> =
            (0..600).map(|event| (u64::from(event * 7919 % 500), event)).collect();
        open.iter().for_each(|(time, event)| agenda.push(*time, *event));
        for event in 600..2000 {
            open.sort_unstable();
            let expected = open.remove(0);
            assert_eq!(agenda.pop(), Some(expected));
            let next = (expected.0 + u64::from(event * 31 % 97), event);
            agenda.push(next.0, next.1);
            open.push(next);
        }
        open.sort_unstable();
        assert_eq!(std::iter::from_fn(|| agenda.pop()).collect::<Vec<_>>(), open);
    }
}
