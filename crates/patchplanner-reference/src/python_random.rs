//! MT19937 as CPython's `random.Random` seeds and reads it (M. Matsumoto and T. Nishimura, 1998; Python's
//! `Modules/_randommodule.c`), so that seeded runs match the reference simulator draw by draw.

use simulator::random::Random;

const LENGTH: usize = 624;
const MIDDLE: usize = 397;

#[derive(Clone)]
pub struct PythonRandom {
    state: [u32; LENGTH],
    next: usize,
}

impl PythonRandom {
    /// As `random.Random(seed)`: the magnitude of the seed as 32-bit words, the least significant first.
    pub fn new(seed: i64) -> Self {
        let magnitude = seed.unsigned_abs();
        let words = [magnitude as u32, (magnitude >> 32) as u32];
        let used = if words[1] == 0 { 1 } else { 2 };
        Self::by_array(&words[..used])
    }

    fn by_array(key: &[u32]) -> Self {
        let mut state = [0_u32; LENGTH];
        state[0] = 19_650_218;
        for index in 1..LENGTH {
            state[index] = mixed(&state, index).wrapping_mul(1_812_433_253).wrapping_add(index as u32);
        }
        let mut at = 1;
        for round in 0..LENGTH.max(key.len()) {
            let word = round % key.len();
            let mixed = mixed(&state, at).wrapping_mul(1_664_525);
            state[at] = (state[at] ^ mixed).wrapping_add(key[word]).wrapping_add(word as u32);
            at = following(&mut state, at);
        }
        for _ in 1..LENGTH {
            let mixed = mixed(&state, at).wrapping_mul(1_566_083_941);
            state[at] = (state[at] ^ mixed).wrapping_sub(at as u32);
            at = following(&mut state, at);
        }
        state[0] = 0x8000_0000;
        Self { state, next: LENGTH }
    }

    fn next_u32(&mut self) -> u32 {
        if self.next == LENGTH {
            self.refill();
        }
        let mut word = self.state[self.next];
        self.next += 1;
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c_5680;
        word ^= (word << 15) & 0xefc6_0000;
        word ^ (word >> 18)
    }

    fn refill(&mut self) {
        for index in 0..LENGTH {
            let joined = (self.state[index] & 0x8000_0000) | (self.state[(index + 1) % LENGTH] & 0x7fff_ffff);
            let twist = if joined & 1 == 0 { 0 } else { 0x9908_b0df };
            self.state[index] = self.state[(index + MIDDLE) % LENGTH] ^ (joined >> 1) ^ twist;
        }
        self.next = 0;
    }
}

fn mixed(state: &[u32; LENGTH], index: usize) -> u32 {
    state[index - 1] ^ (state[index - 1] >> 30)
}

fn following(state: &mut [u32; LENGTH], index: usize) -> usize {
    if index + 1 < LENGTH {
        return index + 1;
    }
    state[0] = state[LENGTH - 1];
    1
}

impl Random for PythonRandom {
    fn random(&mut self) -> f64 {
        let (high, low) = (self.next_u32() >> 5, self.next_u32() >> 6);
        (f64::from(high) * 67_108_864.0 + f64::from(low)) / 9_007_199_254_740_992.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As printed by CPython 3.11.
    #[test]
    fn draws_are_those_of_cpython() {
        for (seed, expected) in [
            (0_i64, [0.8444218515250481, 0.7579544029403025, 0.420571580830845]),
            (7_i64, [0.32383276483316237, 0.15084917392450192, 0.6509344730398537]),
            (-7_i64, [0.32383276483316237, 0.15084917392450192, 0.6509344730398537]),
            (4294967295_i64, [0.6353574441341173, 0.20319993954407756, 0.6073666030347188]),
            (4294967296_i64, [0.11299430095636409, 0.41782886486292836, 0.0166763664992291]),
            (9223372036854775807_i64, [0.3166448820870279, 0.631259308253863, 0.8035542479972343]),
        ] {
            let mut random = PythonRandom::new(seed);
            assert_eq!([(); 3].map(|()| random.random()), expected, "seed {seed}");
        }
    }

    #[test]
    fn later_draws_are_those_of_cpython() {
        let mut random = PythonRandom::new(42);
        let last = (0..2000).map(|_| random.random()).last();
        assert_eq!(last, Some(0.30176443514420326));
    }
}
