//! xoshiro256++ 1.0, seeded by SplitMix64 (D. Blackman and S. Vigna, <https://prng.di.unimi.it>).

use super::Random;

/// One stream of random numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xoshiro256([u64; 4]);

impl Xoshiro256 {
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        Self([(); 4].map(|()| splitmix64(&mut state)))
    }

    /// The stream of one subject in one run. A subject draws the same numbers whatever happens around it, so two plans
    /// played with one seed differ only by what they do.
    pub fn of(seed: u64, run: u64, subject: u64) -> Self {
        let mut state = seed;
        let mut mixed = splitmix64(&mut state) ^ run;
        mixed = splitmix64(&mut mixed) ^ subject;
        Self::new(splitmix64(&mut mixed))
    }

    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        result
    }
}

impl Random for Xoshiro256 {
    fn random(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

pub(super) fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First outputs of the authors' C program from state 1, 2, 3, 4.
    #[test]
    fn stream_is_the_published_one() {
        let mut rng = Xoshiro256([1, 2, 3, 4]);
        let first = [41943041, 58720359, 3588806011781223, 3591011842654386];
        assert_eq!([(); 4].map(|()| rng.next_u64()), first);
        let mut state = 1477776061723855037;
        let seeds = [1985237415132408290, 2979275885539914483, 13511426838097143398];
        assert_eq!([(); 3].map(|()| splitmix64(&mut state)), seeds);
    }

    #[test]
    fn streams_of_different_subjects_differ() {
        let first = |run, subject| Xoshiro256::of(7, run, subject).next_u64();
        assert_ne!(first(0, 1), first(1, 0));
        assert_ne!(first(0, 1), first(0, 2));
        assert_eq!(first(3, 4), first(3, 4));
    }
}
