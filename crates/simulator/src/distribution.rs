//! A duration as a distribution of seconds.

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// Seconds, never negative.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Distribution {
    Fixed {
        seconds: f64,
    },
    Triangular {
        low: f64,
        mode: f64,
        high: f64,
    },
    /// `sigma` is the standard deviation of the logarithm: 0.5 puts P95 at 2.3 times the median.
    LogNormal {
        median: f64,
        sigma: f64,
    },
    /// One of the observed values, each as likely as the others.
    Empirical {
        seconds: Vec<f64>,
    },
}

impl Distribution {
    pub const fn fixed(seconds: f64) -> Self {
        Self::Fixed { seconds }
    }

    /// The error in it, if any.
    pub fn fault(&self) -> Option<&'static str> {
        let is_time = |seconds: &f64| seconds.is_finite() && *seconds >= 0.0;
        match self {
            Self::Fixed { seconds } if !is_time(seconds) => Some("seconds must be a number of at least 0"),
            Self::Triangular { low, mode, high }
                if ![low, mode, high].into_iter().all(is_time) || low > mode || mode > high =>
            {
                Some("must satisfy 0 <= low <= mode <= high")
            }
            Self::LogNormal { median, sigma } if !is_time(median) || !(0.0..=5.0).contains(sigma) => {
                Some("median must be at least 0 and sigma 0 to 5")
            }
            Self::Empirical { seconds } if seconds.is_empty() || !seconds.iter().all(is_time) => {
                Some("must list at least one observation, none of them negative")
            }
            _ => None,
        }
    }

    /// Draws once from the source, twice if log-normal, and never for a fixed value.
    pub fn sample(&self, random: &mut impl Random) -> f64 {
        match self {
            Self::Fixed { seconds } => *seconds,
            Self::Triangular { low, mode, high } => {
                let (u, width) = (random.random(), high - low);
                if width <= 0.0 {
                    *low
                } else if u < (mode - low) / width {
                    low + (u * width * (mode - low)).sqrt()
                } else {
                    high - ((1.0 - u) * width * (high - mode)).sqrt()
                }
            }
            Self::LogNormal { median, sigma } => median * (sigma * normal(random)).exp(),
            Self::Empirical { seconds } => {
                let index = (random.random() * seconds.len() as f64) as usize;
                seconds.get(index).copied().unwrap_or_default()
            }
        }
    }

    /// Expected value.
    pub fn mean(&self) -> f64 {
        match self {
            Self::Fixed { seconds } => *seconds,
            Self::Triangular { low, mode, high } => (low + mode + high) / 3.0,
            Self::LogNormal { median, sigma } => median * (sigma * sigma / 2.0).exp(),
            Self::Empirical { seconds } => seconds.iter().sum::<f64>() / (seconds.len().max(1)) as f64,
        }
    }
}

/// A distribution prepared for millions of draws.
#[derive(Debug, Clone)]
pub enum Sampler {
    /// Precomputed: where the mode lies between the ends, and the two products under the roots.
    Triangular {
        low: f64,
        high: f64,
        split: f64,
        rise: f64,
        fall: f64,
    },
    Other(Distribution),
}

impl Sampler {
    pub fn new(distribution: &Distribution) -> Self {
        match *distribution {
            Distribution::Triangular { low, mode, high } if high > low => {
                let width = high - low;
                let (rise, fall) = (width * (mode - low), width * (high - mode));
                Self::Triangular { low, high, split: (mode - low) / width, rise, fall }
            }
            _ => Self::Other(distribution.clone()),
        }
    }

    #[inline]
    pub fn sample(&self, random: &mut impl Random) -> f64 {
        match self {
            Self::Triangular { low, high, split, rise, fall } => {
                let draw = random.random();
                let is_below = draw < *split;
                let root = (if is_below { draw * rise } else { (1.0 - draw) * fall }).sqrt();
                if is_below { low + root } else { high - root }
            }
            Self::Other(distribution) => distribution.sample(random),
        }
    }
}

/// Standard normal by Box and Muller. `1 - u` keeps the logarithm away from zero.
fn normal(random: &mut impl Random) -> f64 {
    let radius = (-2.0 * (1.0 - random.random()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.random()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Xoshiro256;

    #[test]
    fn samples_have_the_stated_mean() {
        let distributions = [
            Distribution::fixed(30.0),
            Distribution::Triangular { low: 10.0, mode: 20.0, high: 60.0 },
            Distribution::LogNormal { median: 60.0, sigma: 0.5 },
            Distribution::Empirical { seconds: vec![1.0, 2.0, 9.0] },
        ];
        for distribution in distributions {
            let mut random = Xoshiro256::new(1);
            let sum: f64 = (0..100_000).map(|_| distribution.sample(&mut random)).sum();
            let (found, stated) = (sum / 100_000.0, distribution.mean());
            assert!((found / stated - 1.0).abs() < 0.01, "{distribution:?}: {found} for {stated}");
            let (mut one, mut other) = (Xoshiro256::new(2), Xoshiro256::new(2));
            let ready = Sampler::new(&distribution);
            for _ in 0..100 {
                let (one, other) = (distribution.sample(&mut one), ready.sample(&mut other));
                assert!((one - other).abs() <= 1e-12 * one.abs(), "{distribution:?}: {one} and {other}");
            }
        }
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(Distribution::fixed(0.0).fault(), None);
        for wrong in [
            Distribution::fixed(f64::NAN),
            Distribution::Triangular { low: 3.0, mode: 2.0, high: 4.0 },
            Distribution::LogNormal { median: 1.0, sigma: -1.0 },
            Distribution::Empirical { seconds: vec![] },
        ] {
            assert!(wrong.fault().is_some(), "{wrong:?}");
        }
    }
}
