//! A sum of floats in order, each partial sum rounded, kept up to date as single numbers change.
//!
//! While a running sum stays between two powers of two its last place keeps its value, and adding a number moves it by
//! that number rounded to whole last places: by a fixed integer, except that a tie depends on whether the sum so far is odd.
//! So the gain of a stretch of numbers is two integers, one for an even and one for an odd start, and those of two stretches
//! combine. A tree of stretches stores them; a change costs its path to the root, and a sum is computed number by number
//! only where it crosses a power of two. The result equals that of the plain loop, bit for bit.

/// Numbers in a leaf.
const LEAF: usize = 32;
/// The range of 53-bit integers starts here and doubles once.
const FIRST: u64 = 1 << 52;
/// Relative error allowed for the estimates; they decide only how the sum is computed, not its value.
const DOUBT: f64 = 1e-6;
/// Sums of a smaller scale, including zero, are computed number by number: their last place is not a normal float.
const SMALLEST: i16 = -900;

pub struct OrderedSum {
    numbers: Vec<f64>,
    /// A heap-ordered tree: stretch `i` has the stretches `2i` and `2i + 1`; the leaves come last.
    stretches: Vec<Stretch>,
    leaves: usize,
}

#[derive(Clone, Copy, Default)]
struct Stretch {
    /// Numbers other than zero.
    live: u32,
    /// The gain of a sum in `scale`, in last places, by the parity at its start; stale without a scale.
    scale: Option<i16>,
    gains: [u64; 2],
    estimate: f64,
}

impl OrderedSum {
    /// Numbers must not be negative.
    pub fn new(numbers: Vec<f64>) -> Self {
        let leaves = numbers.len().div_ceil(LEAF).max(1).next_power_of_two();
        let mut sum = Self { numbers, stretches: vec![Stretch::default(); 2 * leaves], leaves };
        for leaf in 0..leaves {
            let numbers = sum.leaf(leaves + leaf);
            let live = numbers.iter().filter(|number| **number != 0.0).count() as u32;
            let estimate = numbers.iter().sum();
            sum.stretches[leaves + leaf] = Stretch { live, estimate, ..Stretch::default() };
        }
        for index in (1..leaves).rev() {
            let [left, right] = [sum.stretches[2 * index], sum.stretches[2 * index + 1]];
            let (live, estimate) = (left.live + right.live, left.estimate + right.estimate);
            sum.stretches[index] = Stretch { live, estimate, ..Stretch::default() };
        }
        sum
    }

    pub fn set(&mut self, index: usize, number: f64) {
        let before = std::mem::replace(&mut self.numbers[index], number);
        let mut at = self.leaves + index / LEAF;
        while at > 0 {
            let stretch = &mut self.stretches[at];
            stretch.live = stretch.live + u32::from(number != 0.0) - u32::from(before != 0.0);
            stretch.estimate += number - before;
            stretch.scale = None;
            at /= 2;
        }
    }

    pub fn total(&mut self) -> f64 {
        self.follow(1, 0.0)
    }

    /// The sum after the stretch, from the sum before it.
    fn follow(&mut self, index: usize, sum: f64) -> f64 {
        let Stretch { live, estimate, .. } = self.stretches[index];
        if live == 0 {
            return sum;
        }
        let scale = scale_of(sum);
        if scale > SMALLEST {
            let place = last_place(scale);
            let end = 2.0 * FIRST as f64 * place;
            if sum + estimate * (1.0 - DOUBT) < end {
                let whole = (sum / place) as u64;
                let after = whole + self.gains(index, scale)[(whole % 2) as usize];
                if after < 2 * FIRST {
                    return after as f64 * place;
                }
            }
        }
        if index < self.leaves {
            let sum = self.follow(2 * index, sum);
            self.follow(2 * index + 1, sum)
        } else {
            self.leaf(index).iter().fold(sum, |sum, number| sum + number)
        }
    }

    fn gains(&mut self, index: usize, scale: i16) -> [u64; 2] {
        if self.stretches[index].scale == Some(scale) {
            return self.stretches[index].gains;
        }
        let gains = if index < self.leaves {
            let (left, right) = (self.gains(2 * index, scale), self.gains(2 * index + 1, scale));
            [0, 1].map(|parity: u64| {
                let gain = left[parity as usize];
                gain.saturating_add(right[((parity ^ gain) % 2) as usize])
            })
        } else {
            let place = last_place(scale);
            let numbers = self.leaf(index);
            [0, 1].map(|parity: u64| {
                numbers.iter().fold(0_u64, |gain, number| {
                    gain.saturating_add(rounded(number / place, (parity ^ gain) % 2 == 1))
                })
            })
        };
        let stretch = &mut self.stretches[index];
        (stretch.scale, stretch.gains) = (Some(scale), gains);
        gains
    }

    fn leaf(&self, index: usize) -> &[f64] {
        let first = ((index - self.leaves) * LEAF).min(self.numbers.len());
        &self.numbers[first..(first + LEAF).min(self.numbers.len())]
    }
}

/// The power of two at or below a positive number.
fn scale_of(number: f64) -> i16 {
    ((number.to_bits() >> 52) & 0x7ff) as i16 - 1023
}

/// The value of the last place of numbers of that scale.
fn last_place(scale: i16) -> f64 {
    f64::from_bits(((i64::from(scale) - 52 + 1023) as u64) << 52)
}

/// Rounds to the nearest integer; a tie rounds so that the sum becomes even.
fn rounded(number: f64, sum_is_odd: bool) -> u64 {
    let whole = number as u64;
    let rest = number - whole as f64;
    let up = match rest.total_cmp(&0.5) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => (whole % 2 == 1) != sum_is_odd,
    };
    whole.saturating_add(u64::from(up))
}

#[cfg(test)]
mod tests {
    use simulator::random::{Random, Xoshiro256};

    use super::OrderedSum;

    #[test]
    fn sums_are_those_of_the_plain_loop_to_the_last_bit() {
        let mut random = Xoshiro256::new(7);
        // Few distinct values with short fractions make ties, odd ones make all else.
        let kinds: [&dyn Fn(f64) -> f64; 4] = [
            &|draw| (draw * 101.0).floor() / 10.0 * 3.0,
            &|draw| (draw * 5.0).floor() + 2.0_f64.powi(-47) * (draw * 7.0).floor(),
            &|draw| draw * 50.0,
            &|draw| if draw < 0.5 { 0.0 } else { draw * 1e-9 },
        ];
        for kind in kinds {
            for count in [1, 31, 33, 1000, 5000] {
                let mut numbers: Vec<f64> = (0..count).map(|_| kind(random.random())).collect();
                let mut sum = OrderedSum::new(numbers.clone());
                for _ in 0..300 {
                    let index = (random.random() * count as f64) as usize;
                    numbers[index] = if random.random() < 0.8 { 0.0 } else { kind(random.random()) };
                    sum.set(index, numbers[index]);
                    let plain = numbers.iter().fold(0.0, |sum, number| sum + number);
                    assert_eq!(sum.total().to_bits(), f64::to_bits(plain), "{count} numbers");
                }
            }
        }
    }
}
