//! A set of small numbers that returns its least: a tree of bits with 64 branches per fork. It stays in the cache, unlike a
//! heap of as many numbers.

pub struct BitSet {
    /// The numbers themselves as bits, then which words of the level before are not empty, up to a level of one word.
    levels: Vec<Vec<u64>>,
}

impl BitSet {
    /// With room for numbers below `count`.
    pub fn up_to(count: usize) -> Self {
        let mut words = count.div_ceil(64).max(1);
        let mut levels = vec![vec![0; words]];
        while words > 1 {
            words = words.div_ceil(64);
            levels.push(vec![0; words]);
        }
        Self { levels }
    }

    pub fn add(&mut self, number: u32) {
        let mut at = number as usize;
        for level in &mut self.levels {
            level[at / 64] |= 1 << (at % 64);
            at /= 64;
        }
    }

    /// Takes the least out of the set.
    pub fn take_first(&mut self) -> Option<u32> {
        let is_empty = self.levels.last().is_none_or(|top| top[0] == 0);
        if is_empty {
            return None;
        }
        let first =
            self.levels.iter().rev().fold(0, |at, level| 64 * at + level[at].trailing_zeros() as usize);
        let mut at = first;
        for level in &mut self.levels {
            let word = &mut level[at / 64];
            *word &= !(1 << (at % 64));
            if *word != 0 {
                break;
            }
            at /= 64;
        }
        Some(first as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::BitSet;

    #[test]
    fn the_least_comes_first_in_any_order_of_insertion() {
        let mut numbers = BitSet::up_to(5000);
        assert_eq!(numbers.take_first(), None);
        [4999, 70, 4100, 63].into_iter().for_each(|number| numbers.add(number));
        assert_eq!((numbers.take_first(), numbers.take_first()), (Some(63), Some(70)));
        [0, 4099].into_iter().for_each(|number| numbers.add(number));
        let rest: Vec<u32> = std::iter::from_fn(|| numbers.take_first()).collect();
        assert_eq!(rest, [0, 4099, 4100, 4999]);
    }
}
