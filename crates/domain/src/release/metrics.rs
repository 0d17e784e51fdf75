//! Success figures of releases, computed from the records.

use std::collections::BTreeMap;

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
}

/// One release, from the report of the problem to the last customer.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolutionFact {
    pub kind: ReleaseKind,
    pub identified_at: DateTime<Utc>,
    pub resolved_at: DateTime<Utc>,
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
    }
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
        };
        let resolution = ResolutionFact {
            kind: ReleaseKind::Security,
            identified_at: start,
            resolved_at: start + TimeDelta::hours(5),
        };
        let metrics =
            measure(&[fact(20, false), fact(50, true), fact(80, false), fact(30, false)], &[resolution]);
        assert_eq!((metrics.deployments, metrics.succeeded, metrics.rolled_back), (4, 3, 1));
        assert_eq!((metrics.success_percent, metrics.rollback_percent), (75.0, 25.0));
        assert_eq!(metrics.unplanned_downtime_seconds, 90.0);
        let critical = &metrics.time_to_deploy[&Urgency::Critical];
        assert_eq!((critical.median, critical.longest, critical.within_percent), (1800.0, 4800.0, 75.0));
        assert_eq!(metrics.time_to_resolution[&ReleaseKind::Security].within_percent, 0.0);
        assert_eq!(measure(&[], &[]).success_percent, 0.0);
    }
}
