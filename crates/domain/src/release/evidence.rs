//! Promotion based on evidence instead of only on delays.

use serde::{Deserialize, Serialize};

/// The next tier starts when enough customer-hours without a failure bound the failure rate as required, instead of after
/// the delay of the release's type; or, if that takes too long, after a sign-off.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct EvidenceRule {
    /// Failures per customer-hour that must be ruled out with 95 % confidence, above 0 and at most 10.
    pub failures_per_customer_hour: f64,
    /// After this time the promotion may be signed off by hand.
    pub time_limit_hours: u32,
}

/// Hours without a failure after which the rate is below `bound` with 95 % confidence: the rule of three, 3/n, which
/// approximates -ln(0.05)/n = 2.996/n for a Poisson process in which nothing was seen.
pub fn healthy_hours_for(bound: f64) -> f64 {
    3.0 / bound
}

impl EvidenceRule {
    pub fn hours_wanted(&self) -> f64 {
        healthy_hours_for(self.failures_per_customer_hour)
    }

    pub fn fault(&self) -> Option<String> {
        let bound = self.failures_per_customer_hour;
        let fits = bound > 0.0 && bound <= 10.0 && (1..=1440).contains(&self.time_limit_hours);
        (!fits).then(|| {
            "needs failures_per_customer_hour above 0 and at most 10, and time_limit_hours from 1 to 1440"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_of_three_is_close_to_the_exact_bound() {
        for bound in [0.01, 0.1, 1.0] {
            let exact = -(0.05_f64).ln() / bound;
            assert!((healthy_hours_for(bound) - exact).abs() / exact < 0.002);
        }
        let rule = EvidenceRule { failures_per_customer_hour: 0.1, time_limit_hours: 24 };
        assert_eq!(rule.hours_wanted(), 30.0);
        assert!(EvidenceRule { failures_per_customer_hour: 0.0, ..rule }.fault().is_some());
    }
}
