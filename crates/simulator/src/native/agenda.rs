//! What happens when: events in order of time, at one time in the order in which they were put down.

use std::{cmp::Reverse, collections::BinaryHeap};

/// So many events put down at once are sorted at once, which is cheaper than one by one.
const MANY: usize = 64;

/// An event is a number below 2^32 at a time.
#[derive(Default)]
pub struct Agenda {
    /// Put down since the last look.
    fresh: Vec<u128>,
    /// Latest first.
    sorted: Vec<u128>,
    heap: BinaryHeap<Reverse<u128>>,
    sequence: u32,
}

impl Agenda {
    #[inline]
    pub fn push(&mut self, time: u64, event: u32) {
        // Time, sequence and event in one number compare as they should, without branches.
        self.fresh.push(u128::from(time) << 64 | u128::from(self.sequence) << 32 | u128::from(event));
        self.sequence += 1;
    }

    #[inline]
    pub fn pop(&mut self) -> Option<(u64, u32)> {
        if !self.fresh.is_empty() {
            self.take_in();
        }
        let next = match (self.sorted.last(), self.heap.peek()) {
            (Some(sorted), Some(Reverse(heaped))) if heaped < sorted => self.heap.pop().map(|next| next.0),
            (None, _) => self.heap.pop().map(|next| next.0),
            (Some(_), _) => self.sorted.pop(),
        }?;
        Some(((next >> 64) as u64, next as u32))
    }

    /// Forgets everything; keeps its memory.
    pub fn clear(&mut self) {
        self.fresh.clear();
        self.sorted.clear();
        self.heap.clear();
        self.sequence = 0;
    }

    fn take_in(&mut self) {
        if self.sorted.is_empty() && self.fresh.len() >= MANY {
            std::mem::swap(&mut self.fresh, &mut self.sorted);
            self.sorted.sort_unstable_by(|a, b| b.cmp(a));
        } else {
            self.heap.extend(self.fresh.drain(..).map(Reverse));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Agenda;

    #[test]
    fn events_come_by_time_and_at_one_time_in_their_order() {
        let mut agenda = Agenda::default();
        let mut expected: Vec<(u64, u32)> =
            (0..500).map(|event| (u64::from(event * 7919 % 50), event)).collect();
        let (many, few) = expected.split_at(400);
        many.iter().for_each(|(time, event)| agenda.push(*time, *event));
        let mut found: Vec<(u64, u32)> = vec![];
        // Later ones fall among the earlier.
        found.extend(agenda.pop());
        few.iter().for_each(|(time, event)| agenda.push(time + 1, *event));
        found.extend(std::iter::from_fn(|| agenda.pop()));
        expected[400..].iter_mut().for_each(|event| event.0 += 1);
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}
