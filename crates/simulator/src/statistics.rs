//! Statistics of many runs and their confidence.

use serde::{Deserialize, Serialize};

/// Two-sided 95 % of a normal distribution.
const Z: f64 = 1.959_963_985;

/// Mean and percentiles of a metric over the runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Spread {
    pub mean: f64,
    pub p50: f64,
    /// The true P50 lies between these with 95 % confidence.
    #[serde(default)]
    pub p50_low: f64,
    #[serde(default)]
    pub p50_high: f64,
    pub p95: f64,
    /// The true P95 lies between these with 95 % confidence.
    pub p95_low: f64,
    pub p95_high: f64,
    pub max: f64,
}

impl Spread {
    /// All zero for no values.
    pub fn of(mut values: Vec<f64>) -> Self {
        // A sum over nothing is negative zero, which would be shown.
        values.iter_mut().for_each(|value| *value += 0.0);
        values.sort_unstable_by(f64::total_cmp);
        Self::of_sorted(&values)
    }

    /// `None` for no values.
    pub fn of_some(values: Vec<f64>) -> Option<Self> {
        (!values.is_empty()).then(|| Self::of(values))
    }

    pub fn of_sorted(values: &[f64]) -> Self {
        let Some(max) = values.last().copied() else { return Self::default() };
        let count = values.len() as f64;
        let rank = |rank: f64| values[(rank.max(1.0) as usize).min(values.len()) - 1];
        // Ranks of order statistics that enclose the quantile (binomial, by its normal approximation).
        let interval = |share: f64| {
            let half_width = Z * (count * share * (1.0 - share)).sqrt();
            let (low, high) = (count * share - half_width, count * share + half_width);
            (rank(low.floor()), rank(high.ceil() + 1.0))
        };
        let ((p50_low, p50_high), (p95_low, p95_high)) = (interval(0.5), interval(0.95));
        Self {
            mean: values.iter().sum::<f64>() / count,
            p50: percentile(values, 50.0),
            p50_low,
            p50_high,
            p95: percentile(values, 95.0),
            p95_low,
            p95_high,
            max,
        }
    }
}

/// The smallest value that `percent` of the values do not exceed (nearest rank). Zero for no values.
pub fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let rank = (percent / 100.0 * sorted.len() as f64).ceil().max(1.0) as usize;
    sorted.get(rank.min(sorted.len()).wrapping_sub(1)).copied().unwrap_or_default()
}

/// A share of runs with its 95 % interval (E. B. Wilson, 1927), which stays sound at 0 and 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Probability {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl Probability {
    pub fn of(hits: usize, runs: usize) -> Self {
        if runs == 0 {
            return Self { value: 0.0, low: 0.0, high: 1.0 };
        }
        let (n, value) = (runs as f64, hits as f64 / runs as f64);
        let scale = 1.0 + Z * Z / n;
        let centre = (value + Z * Z / (2.0 * n)) / scale;
        let half = Z / scale * (value * (1.0 - value) / n + Z * Z / (4.0 * n * n)).sqrt();
        Self { value, low: (centre - half).max(0.0).min(value), high: (centre + half).min(1.0).max(value) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let spread = Spread::of((1..=100).rev().map(f64::from).collect());
        assert_eq!((spread.mean, spread.p50, spread.p95, spread.max), (50.5, 50.0, 95.0, 100.0));
        assert_eq!((spread.p50_low, spread.p50_high), (40.0, 61.0));
        assert!(spread.p95_low <= 91.0 && spread.p95_high == 100.0, "{spread:?}");
        assert_eq!(Spread::of(vec![]), Spread::default());
        assert_eq!(Spread::of(vec![3.0]).p95_low, 3.0);
    }

    #[test]
    fn interval_of_a_probability_never_collapses() {
        let never = Probability::of(0, 1000);
        assert!(never.value == 0.0 && never.low == 0.0 && (0.003..0.005).contains(&never.high), "{never:?}");
        let half = Probability::of(50, 100);
        assert!((half.low - 0.404).abs() < 0.001 && (half.high - 0.596).abs() < 0.001, "{half:?}");
    }
}
