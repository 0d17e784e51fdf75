//! Judges the version a customer runs by the customer's health.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::version::Version;

/// The deviation at which a version is rolled back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HealthRules {
    pub poll_seconds: u32,
    /// Failures in a row.
    pub failures: u32,
    /// Percentage points above the baseline.
    pub error_rate_points: f64,
    /// Latency above, or throughput below, the baseline.
    pub slower_percent: f64,
    /// Samples in a row that must deviate before error rate and latency count: a single spike is not a trend.
    pub deviations: u32,
}

impl Default for HealthRules {
    fn default() -> Self {
        Self { poll_seconds: 60, failures: 3, error_rate_points: 5.0, slower_percent: 20.0, deviations: 2 }
    }
}

/// A healthy customer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Baseline {
    /// Share of requests that fail, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_rate_percent: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// Requests a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<f64>,
}

/// One health check of a customer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HealthSample {
    pub at: DateTime<Utc>,
    /// Why the check failed; absent if the customer reported that it is healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The version that it reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_rate_percent: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<f64>,
}

/// What is kept between samples.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Judge {
    pub failures: u32,
    pub deviations: u32,
    /// The last sample was healthy.
    #[serde(rename = "well")]
    pub healthy: bool,
    /// Number of samples.
    #[serde(rename = "looks")]
    pub samples: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Judgement {
    #[serde(rename = "well")]
    Healthy,
    /// Something is wrong, but not for long enough to act.
    Doubtful { reason: String },
    /// Roll the version back.
    Unhealthy { reason: String },
}

/// The finding of one sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    Healthy,
    Failure(String),
    Deviation(String),
}

impl Baseline {
    /// From a sample of a healthy customer.
    pub fn of(sample: &HealthSample) -> Self {
        Self {
            error_rate_percent: sample.error_rate_percent,
            latency_ms: sample.latency_ms,
            throughput: sample.throughput,
        }
    }

    pub fn fault(&self) -> Option<String> {
        let wrong = |value: Option<f64>, most: f64| value.is_some_and(|value| !(0.0..=most).contains(&value));
        if wrong(self.error_rate_percent, 100.0) {
            return Some("`error_rate_percent` must be 0 to 100".to_owned());
        }
        (wrong(self.latency_ms, 1e9) || wrong(self.throughput, 1e12))
            .then(|| "`latency_ms` and `throughput` must be 0 or more".to_owned())
    }
}

impl HealthSample {
    pub fn failed(at: DateTime<Utc>, reason: impl Into<String>) -> Self {
        Self {
            at,
            failure: Some(reason.into()),
            version: None,
            error_rate_percent: None,
            latency_ms: None,
            throughput: None,
        }
    }

    /// Judges one sample by itself. Impossible numbers are a failure: an endpoint that reports one wrong number is not
    /// trusted about the others.
    pub fn finding(
        &self,
        rules: &HealthRules,
        baseline: Option<&Baseline>,
        deployed: Option<Version>,
    ) -> Finding {
        if let Some(failure) = &self.failure {
            return Finding::Failure(failure.clone());
        }
        let reported = Baseline::of(self);
        if let Some(fault) = reported.fault() {
            return Finding::Failure(format!("its health report is invalid: {fault}"));
        }
        if let (Some(version), Some(deployed)) = (self.version, deployed)
            && version != deployed
        {
            return Finding::Failure(format!("it reports version {version}, but {deployed} was deployed"));
        }
        let Some(baseline) = baseline else { return Finding::Healthy };
        if let (Some(now), Some(before)) = (reported.error_rate_percent, baseline.error_rate_percent)
            && now - before > rules.error_rate_points
        {
            return Finding::Deviation(format!(
                "error rate {now:.1} %, {:.1} points above its baseline of {before:.1} %",
                now - before
            ));
        }
        let slower = 1.0 + rules.slower_percent / 100.0;
        if let (Some(now), Some(before)) = (reported.latency_ms, baseline.latency_ms)
            && before > 0.0
            && now > before * slower
        {
            let percent = (now / before - 1.0) * 100.0;
            return Finding::Deviation(format!(
                "latency {now:.0} ms, {percent:.0} % above its baseline of {before:.0} ms"
            ));
        }
        if let (Some(now), Some(before)) = (reported.throughput, baseline.throughput)
            && now < before * (1.0 - rules.slower_percent / 100.0)
        {
            let percent = (1.0 - now / before) * 100.0;
            return Finding::Deviation(format!(
                "throughput {now:.0}/s, {percent:.0} % below its baseline of {before:.0}/s"
            ));
        }
        Finding::Healthy
    }
}

impl Judge {
    /// Adds a sample.
    pub fn take(&mut self, finding: Finding, rules: &HealthRules) -> Judgement {
        self.samples = self.samples.saturating_add(1);
        self.healthy = finding == Finding::Healthy;
        let (count, most, reason) = match finding {
            Finding::Healthy => {
                (self.failures, self.deviations) = (0, 0);
                return Judgement::Healthy;
            }
            Finding::Failure(reason) => {
                self.failures += 1;
                self.deviations = 0;
                (self.failures, rules.failures, reason)
            }
            Finding::Deviation(reason) => {
                self.deviations += 1;
                self.failures = 0;
                (self.deviations, rules.deviations, reason)
            }
        };
        if count < most.max(1) {
            Judgement::Doubtful { reason: format!("{reason} ({count} of {most})") }
        } else if count > 1 {
            Judgement::Unhealthy { reason: format!("{count} times in a row: {reason}") }
        } else {
            Judgement::Unhealthy { reason }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(error_rate_percent: f64, latency_ms: f64) -> HealthSample {
        HealthSample {
            at: DateTime::<Utc>::UNIX_EPOCH,
            failure: None,
            version: Some(Version::new(1, 0, 1)),
            error_rate_percent: Some(error_rate_percent),
            latency_ms: Some(latency_ms),
            throughput: None,
        }
    }

    fn judged(samples: &[HealthSample]) -> Judgement {
        let (rules, mut judge) = (HealthRules::default(), Judge::default());
        let baseline = Baseline { error_rate_percent: Some(0.5), latency_ms: Some(100.0), throughput: None };
        let take = |sample: &HealthSample| {
            let finding = sample.finding(&rules, Some(&baseline), Some(Version::new(1, 0, 1)));
            judge.take(finding, &rules)
        };
        samples.iter().map(take).last().unwrap()
    }

    #[test]
    fn three_failures_in_a_row_are_enough_and_two_are_not() {
        let failure = HealthSample::failed(DateTime::<Utc>::UNIX_EPOCH, "no answer within 5 s");
        let healthy = sample(0.5, 100.0);
        assert!(matches!(judged(&[failure.clone(), failure.clone()]), Judgement::Doubtful { .. }));
        let interrupted = [failure.clone(), failure.clone(), healthy, failure.clone(), failure.clone()];
        assert!(matches!(judged(&interrupted), Judgement::Doubtful { .. }));
        let reason = "3 times in a row: no answer within 5 s".to_owned();
        assert_eq!(judged(&[failure.clone(), failure.clone(), failure]), Judgement::Unhealthy { reason });
    }

    #[test]
    fn thresholds_are_those_of_the_workflow() {
        for (error_rate, latency, is_unhealthy) in
            [(5.5, 100.0, false), (5.6, 100.0, true), (0.5, 120.0, false), (0.5, 121.0, true)]
        {
            let judgement = judged(&[sample(error_rate, latency), sample(error_rate, latency)]);
            assert_eq!(
                matches!(judgement, Judgement::Unhealthy { .. }),
                is_unhealthy,
                "{error_rate} {latency}"
            );
        }
    }

    #[test]
    fn endpoint_with_impossible_numbers_is_unhealthy() {
        let mut other_version = sample(0.5, 100.0);
        other_version.version = Some(Version::new(1, 0, 0));
        for lie in [other_version, sample(-1.0, 100.0), sample(f64::NAN, 100.0), sample(0.5, f64::INFINITY)] {
            assert!(matches!(judged(&[lie.clone(), lie.clone(), lie]), Judgement::Unhealthy { .. }));
        }
    }
}
