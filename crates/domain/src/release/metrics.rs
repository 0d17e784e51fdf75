//! Success figures of releases, computed from the records.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::kinds::{ReleaseKind, Urgency};

/// One customer's finished deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploymentFact {
    pub urgency: Urgency,
    /// When its rollout began.
    pub rollout_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
    pub succeeded: bool,
    /// It was rolled back afterwards.
    pub rolled_back: bool,
    /// Seconds during which the customer was seen down while it was watched.
    pub downtime_seconds: f64,
    /// Issues that the customer reported while it ran the release.
    pub new_issues: u64,
    /// Mean latency after the deployment against the baseline before it; `None` if one of them was not measured.
    pub latency_change_percent: Option<f64>,
    /// The customer's rating of the release, 1 to 5.
    pub rating: Option<u8>,
}

/// One release, from the report of the problem to the last customer.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolutionFact {
    pub kind: ReleaseKind,
    pub identified_at: DateTime<Utc>,
    pub resolved_at: DateTime<Utc>,
    /// The issues that it resolves, as recorded with the release.
    pub issues: Vec<String>,
}

/// A figure that is unknown while nothing was recorded from which it follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Figure {
    Known {
        value: f64,
        /// The number of records from which it was computed.
        records: u64,
    },
    Unknown {
        /// What is missing, and how to record it.
        reason: String,
    },
}

impl Default for Figure {
    fn default() -> Self {
        Self::unknown("this service does not compute it")
    }
}

impl Figure {
    fn unknown(reason: &str) -> Self {
        Self::Unknown { reason: reason.to_owned() }
    }

    /// Of a list of values; unknown if it is empty.
    fn of(values: &[f64], value: impl Fn(&[f64]) -> f64, missing: &str) -> Self {
        if values.is_empty() {
            return Self::unknown(missing);
        }
        Self::Known { value: value(values), records: values.len() as u64 }
    }
}

/// A figure and its target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Measured {
    pub count: u64,
    /// Seconds.
    pub median: f64,
    pub p95: f64,
    pub longest: f64,
    pub target: f64,
    /// Those within the target, in percent.
    pub within_percent: f64,
}

/// The success metrics of the workflow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ReleaseMetrics {
    pub deployments: u64,
    pub succeeded: u64,
    pub rolled_back: u64,
    pub success_percent: f64,
    /// 99.
    pub success_target_percent: f64,
    pub rollback_percent: f64,
    /// 1.
    pub rollback_target_percent: f64,
    pub unplanned_downtime_seconds: f64,
    /// From the beginning of the rollout to each customer; targets 1 h for critical ones, 12 h for the others.
    pub time_to_deploy: BTreeMap<Urgency, Measured>,
    /// From the problem to the last customer; targets 4 h, 24 h, 72 h, 1 week by type.
    pub time_to_resolution: BTreeMap<ReleaseKind, Measured>,
    /// Distinct issues that the releases name in `resolves` and that a customer received the fix for; computed from the releases.
    #[serde(default)]
    pub issues_resolved: Figure,
    /// Issues that customers reported while they ran the release; computed from the deployments.
    #[serde(default)]
    pub new_issues: Figure,
    /// Median change of the customers' latency against their baselines, in percent; below 0 is faster. From the samples of the
    /// health watch.
    #[serde(default)]
    pub performance_impact_percent: Figure,
    /// Mean rating by customers, 1 to 5.
    #[serde(default)]
    pub satisfaction: Figure,
}

fn deploy_target(urgency: Urgency) -> f64 {
    match urgency {
        Urgency::Critical => 3600.0,
        Urgency::High | Urgency::Medium | Urgency::Low => 12.0 * 3600.0,
    }
}

fn resolution_target(kind: ReleaseKind) -> f64 {
    let hours = match kind {
        ReleaseKind::Security => 4.0,
        ReleaseKind::BugFix => 24.0,
        ReleaseKind::Performance => 72.0,
        ReleaseKind::Documentation => 168.0,
    };
    hours * 3600.0
}

pub fn measure(deployments: &[DeploymentFact], resolutions: &[ResolutionFact]) -> ReleaseMetrics {
    let count = |wanted: &dyn Fn(&&DeploymentFact) -> bool| deployments.iter().filter(wanted).count() as u64;
    let total = deployments.len() as u64;
    let succeeded = count(&|fact| fact.succeeded && !fact.rolled_back);
    let rolled_back = count(&|fact| fact.rolled_back);
    let percent = |part: u64| if total == 0 { 0.0 } else { part as f64 * 100.0 / total as f64 };
    let mut by_urgency: BTreeMap<Urgency, Vec<f64>> = BTreeMap::new();
    for fact in deployments.iter().filter(|fact| fact.succeeded) {
        by_urgency.entry(fact.urgency).or_default().push(seconds(fact.rollout_at, fact.ended_at));
    }
    let mut by_kind: BTreeMap<ReleaseKind, Vec<f64>> = BTreeMap::new();
    for fact in resolutions {
        by_kind.entry(fact.kind).or_default().push(seconds(fact.identified_at, fact.resolved_at));
    }
    ReleaseMetrics {
        deployments: total,
        succeeded,
        rolled_back,
        success_percent: percent(succeeded),
        success_target_percent: 99.0,
        rollback_percent: percent(rolled_back),
        rollback_target_percent: 1.0,
        unplanned_downtime_seconds: deployments.iter().map(|fact| fact.downtime_seconds).sum(),
        time_to_deploy: by_urgency
            .into_iter()
            .map(|(key, all)| (key, measured(all, deploy_target(key))))
            .collect(),
        time_to_resolution: by_kind
            .into_iter()
            .map(|(key, all)| (key, measured(all, resolution_target(key))))
            .collect(),
        issues_resolved: issues_resolved(resolutions),
        new_issues: Figure::of(
            &deployments.iter().map(|fact| fact.new_issues as f64).collect::<Vec<_>>(),
            |counts| counts.iter().sum(),
            "nothing was deployed",
        ),
        performance_impact_percent: Figure::of(
            &deployments.iter().filter_map(|fact| fact.latency_change_percent).collect::<Vec<_>>(),
            median,
            "no deployment has both a baseline and a latency after it; give the customer a source of health that measures latency",
        ),
        satisfaction: Figure::of(
            &deployments.iter().filter_map(|fact| fact.rating).map(f64::from).collect::<Vec<_>>(),
            |ratings| ratings.iter().sum::<f64>() / ratings.len() as f64,
            "no customer has rated it; record a rating with `patchctl release rate`",
        ),
    }
}

fn issues_resolved(resolutions: &[ResolutionFact]) -> Figure {
    let naming = resolutions.iter().filter(|fact| !fact.issues.is_empty()).count();
    if naming == 0 {
        return Figure::unknown(
            "no deployed release names the issues that it resolves; record them in its `resolves`",
        );
    }
    let issues: BTreeSet<&String> = resolutions.iter().flat_map(|fact| &fact.issues).collect();
    Figure::Known { value: issues.len() as f64, records: naming as u64 }
}

/// The middle value, or the mean of the two middle ones.
fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let at = |place: usize| values.get(place).copied().unwrap_or_default();
    f64::midpoint(at((values.len() - 1) / 2), at(values.len() / 2))
}

fn seconds(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    ((to - from).num_milliseconds() as f64 / 1000.0).max(0.0)
}

fn measured(mut all: Vec<f64>, target: f64) -> Measured {
    all.sort_by(f64::total_cmp);
    // The nearest rank: a value that was actually measured.
    let rank = |share: f64| {
        let place = (share * all.len() as f64).ceil() as usize;
        all.get(place.saturating_sub(1)).copied().unwrap_or_default()
    };
    let within = all.iter().filter(|value| **value <= target).count();
    Measured {
        count: all.len() as u64,
        median: rank(0.5),
        p95: rank(0.95),
        longest: all.last().copied().unwrap_or_default(),
        target,
        within_percent: if all.is_empty() { 0.0 } else { within as f64 * 100.0 / all.len() as f64 },
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn figures_are_counted_from_the_records() {
        let start = DateTime::<Utc>::UNIX_EPOCH;
        let fact = |minutes: i64, rolled_back| DeploymentFact {
            urgency: Urgency::Critical,
            rollout_at: start,
            ended_at: start + TimeDelta::minutes(minutes),
            succeeded: true,
            rolled_back,
            downtime_seconds: if rolled_back { 90.0 } else { 0.0 },
            new_issues: u64::from(rolled_back) * 2,
            latency_change_percent: (minutes > 20).then_some(minutes as f64 - 50.0),
            rating: rolled_back.then_some(2),
        };
        let resolution = ResolutionFact {
            kind: ReleaseKind::Security,
            identified_at: start,
            resolved_at: start + TimeDelta::hours(5),
            issues: vec!["BUG-1".to_owned(), "BUG-2".to_owned()],
        };
        let again = ResolutionFact { issues: vec!["BUG-2".to_owned()], ..resolution.clone() };
        let metrics = measure(
            &[fact(20, false), fact(50, true), fact(80, false), fact(30, false)],
            &[resolution, again],
        );
        assert_eq!((metrics.deployments, metrics.succeeded, metrics.rolled_back), (4, 3, 1));
        assert_eq!((metrics.success_percent, metrics.rollback_percent), (75.0, 25.0));
        assert_eq!(metrics.unplanned_downtime_seconds, 90.0);
        let critical = &metrics.time_to_deploy[&Urgency::Critical];
        assert_eq!((critical.median, critical.longest, critical.within_percent), (1800.0, 4800.0, 75.0));
        assert_eq!(metrics.time_to_resolution[&ReleaseKind::Security].within_percent, 0.0);
        let known = |value: f64, records| Figure::Known { value, records };
        assert_eq!(metrics.issues_resolved, known(2.0, 2), "an issue of two releases counts once");
        assert_eq!(metrics.new_issues, known(2.0, 4));
        assert_eq!(metrics.performance_impact_percent, known(0.0, 3));
        assert_eq!(metrics.satisfaction, known(2.0, 1));
        let nothing = measure(&[], &[]);
        assert_eq!(nothing.success_percent, 0.0);
        for figure in [
            &nothing.issues_resolved,
            &nothing.new_issues,
            &nothing.performance_impact_percent,
            &nothing.satisfaction,
        ] {
            assert!(matches!(figure, Figure::Unknown { reason } if !reason.is_empty()), "{figure:?}");
        }
    }
}
