//! Short streams of random numbers, cheap to start (SplitMix64: G. Steele, D. Lea and C. Flood, 2014).

use super::{Random, xoshiro::splitmix64};

/// The random streams of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunStreams(u64);

/// The random numbers of one subject in one run. A subject draws the same numbers whatever happens around it, so two
/// plans played with one seed differ only by what they do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RandomStream(u64);

impl RunStreams {
    pub fn new(seed: u64, run: u64) -> Self {
        let mut state = seed;
        state = splitmix64(&mut state) ^ run;
        Self(splitmix64(&mut state))
    }

    pub fn of(self, subject: u64) -> RandomStream {
        let mut state = self.0 ^ subject;
        RandomStream(splitmix64(&mut state))
    }
}

impl Random for RandomStream {
    fn random(&mut self) -> f64 {
        (splitmix64(&mut self.0) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::{Random, RunStreams};

    #[test]
    fn draws_are_even_and_independent_of_each_other() {
        let draws: Vec<(f64, f64)> = (0..100_000)
            .map(|subject| {
                let mut stream = RunStreams::new(3, subject % 7).of(subject);
                (stream.random(), stream.random())
            })
            .collect();
        let mean =
            |value: &dyn Fn(&(f64, f64)) -> f64| draws.iter().map(value).sum::<f64>() / draws.len() as f64;
        assert!((mean(&|draw| draw.0) - 0.5).abs() < 0.005);
        assert!((mean(&|draw| draw.1) - 0.5).abs() < 0.005);
        assert!((mean(&|draw| (draw.0 - 0.5) * (draw.1 - 0.5))).abs() < 0.001);
        assert!((mean(&|draw| (draw.0 - 0.5).powi(2)) - 1.0 / 12.0).abs() < 0.001);
    }
}
