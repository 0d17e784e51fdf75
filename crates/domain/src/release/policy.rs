//! How each type of release is rolled out: configuration, with the values of the workflow as default.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    delay::Delay,
    deployment::Check,
    evidence::EvidenceRule,
    health::HealthRules,
    kinds::{ReleaseKind, Tier, Urgency},
};
use crate::quantity::HostCount;

/// Delays, approvals, notices and rollback windows by type, and the settings common to all types.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ReleasePolicies {
    /// A type that is not named keeps its default.
    pub types: BTreeMap<ReleaseKind, TypePolicy>,
    /// The timing of a release whose urgency was raised or lowered.
    pub urgencies: BTreeMap<Urgency, Timing>,
    pub health: HealthRules,
    /// The rollout halts when more customers than this have failed or were rolled back.
    pub halt_after: HostCount,
    /// Customers deployed to in parallel.
    pub max_parallel: u32,
    pub deployment_timeout_seconds: u32,
    /// Seconds for which each tier is watched before the next may start.
    pub settle_seconds: u32,
    /// A tier that cannot start for this long is given up.
    pub longest_wait_days: u32,
    /// Checks that must pass before anything is deployed.
    pub validation: Vec<Check>,
    /// Checks that must pass on the demo installations.
    pub smoke_tests: Vec<Check>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceRule>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TypePolicy {
    pub urgency: Urgency,
    #[serde(flatten)]
    pub timing: Timing,
    pub approval: Approval,
    pub notice: Notice,
    pub rollback: RollbackRule,
    /// Hours for which a customer is watched after its deployment.
    pub monitoring_hours: u32,
    pub checklist: Vec<String>,
}

/// Delays after the demo, and whether deployments wait for customers' windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Timing {
    pub startup: Delay,
    pub standard: Delay,
    pub enterprise: Delay,
    pub in_windows: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Approval {
    /// By the template of product releases.
    Automatic,
    /// By the template; the people concerned are notified.
    AutomaticNotified,
    /// By the template, inside maintenance windows.
    InWindows,
    /// By a person who is not the requester.
    Manual,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Notice {
    pub when: NoticeTime,
    /// For `before`: at least this many hours.
    #[serde(default)]
    pub hours: u32,
    pub tiers: BTreeSet<Tier>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum NoticeTime {
    Before,
    After,
    /// One summary a week.
    Weekly,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RollbackRule {
    /// Hours after a deployment in which it may be rolled back.
    pub window_hours: u32,
    pub trigger: Trigger,
    pub process: RollbackProcess,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Trigger {
    /// By the customer's health, or by hand.
    Automatic,
    /// By hand only: bad health opens an incident and holds the rollout.
    Manual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum RollbackProcess {
    Immediate,
    WithinTwoHours,
    /// In the customer's next window.
    Scheduled,
}

impl Timing {
    pub fn delay(&self, tier: Tier) -> Delay {
        match tier {
            Tier::Demo => Delay::Minutes(0),
            Tier::Startup => self.startup,
            Tier::Standard => self.standard,
            Tier::Enterprise => self.enterprise,
        }
    }

    fn minutes(startup: u32, standard: u32, enterprise: u32, in_windows: bool) -> Self {
        let delay = Delay::Minutes;
        Self { startup: delay(startup), standard: delay(standard), enterprise: delay(enterprise), in_windows }
    }

    /// The timing of each urgency by default: that of the types whose own urgency it is, and one in between for `high`.
    fn of_urgency(urgency: Urgency) -> Self {
        match urgency {
            Urgency::Critical => Self::minutes(15, 30, 60, false),
            Urgency::High => Self::minutes(60, 180, 360, false),
            Urgency::Medium => Self::minutes(120, 360, 720, false),
            Urgency::Low => Self::minutes(240, 720, 1440, true),
        }
    }
}

impl TypePolicy {
    /// The row of the workflow's table.
    pub fn default_for(kind: ReleaseKind) -> Self {
        let all = || Tier::ALL.iter().copied().filter(|tier| *tier != Tier::Demo).collect::<BTreeSet<_>>();
        let notice = |when, hours, tiers| Notice { when, hours, tiers };
        let rollback = |window_hours, trigger, process| RollbackRule { window_hours, trigger, process };
        let list = |items: [&str; 6]| items.map(str::to_owned).to_vec();
        match kind {
            ReleaseKind::Security => Self {
                urgency: Urgency::Critical,
                timing: Timing::of_urgency(Urgency::Critical),
                approval: Approval::Automatic,
                notice: notice(NoticeTime::After, 0, all()),
                rollback: rollback(72, Trigger::Automatic, RollbackProcess::Immediate),
                monitoring_hours: 48,
                checklist: list([
                    "Security vulnerability confirmed and documented",
                    "Patch addresses vulnerability completely",
                    "No new vulnerabilities introduced",
                    "Automated security tests pass",
                    "Emergency communication prepared",
                    "Enhanced monitoring configured",
                ]),
            },
            ReleaseKind::BugFix => Self {
                urgency: Urgency::Medium,
                timing: Timing::of_urgency(Urgency::Medium),
                approval: Approval::AutomaticNotified,
                notice: notice(NoticeTime::Before, 1, BTreeSet::from([Tier::Standard, Tier::Enterprise])),
                rollback: rollback(24, Trigger::Automatic, RollbackProcess::WithinTwoHours),
                monitoring_hours: 24,
                checklist: list([
                    "Bug reproduction steps documented",
                    "Root cause identified and fixed",
                    "Regression tests added",
                    "Unit and integration tests pass",
                    "Customer impact assessment complete",
                    "Rollback plan validated",
                ]),
            },
            ReleaseKind::Performance => Self {
                urgency: Urgency::Low,
                timing: Timing::of_urgency(Urgency::Low),
                approval: Approval::InWindows,
                notice: notice(NoticeTime::Before, 72, all()),
                rollback: rollback(24, Trigger::Manual, RollbackProcess::Scheduled),
                monitoring_hours: 24,
                checklist: list([
                    "Performance issue documented with metrics",
                    "Optimization approach validated",
                    "Performance benchmarks improved",
                    "No functional regression introduced",
                    "Load testing completed",
                    "Monitoring baseline updated",
                ]),
            },
            ReleaseKind::Documentation => Self {
                urgency: Urgency::Low,
                timing: Timing {
                    startup: Delay::NextWindow,
                    standard: Delay::NextWindow,
                    enterprise: Delay::NextWindow,
                    in_windows: true,
                },
                approval: Approval::Automatic,
                notice: notice(NoticeTime::Weekly, 0, all()),
                rollback: rollback(4, Trigger::Manual, RollbackProcess::Scheduled),
                monitoring_hours: 24,
                checklist: Vec::new(),
            },
        }
    }
}

impl Default for ReleasePolicies {
    fn default() -> Self {
        Self {
            types: ReleaseKind::ALL.iter().map(|kind| (*kind, TypePolicy::default_for(*kind))).collect(),
            urgencies: Urgency::ALL.iter().map(|urgency| (*urgency, Timing::of_urgency(*urgency))).collect(),
            health: HealthRules::default(),
            halt_after: HostCount::Percent(10),
            max_parallel: 10,
            deployment_timeout_seconds: 900,
            settle_seconds: 300,
            longest_wait_days: 21,
            validation: Vec::new(),
            smoke_tests: Vec::new(),
            evidence: None,
        }
    }
}

impl ReleasePolicies {
    pub fn of(&self, kind: ReleaseKind) -> TypePolicy {
        self.types.get(&kind).cloned().unwrap_or_else(|| TypePolicy::default_for(kind))
    }

    /// The same policies with a row for every type and urgency.
    #[must_use]
    pub fn with_all_rows(mut self) -> Self {
        for kind in ReleaseKind::ALL {
            self.types.entry(kind).or_insert_with(|| TypePolicy::default_for(kind));
        }
        for urgency in Urgency::ALL {
            self.urgencies.entry(urgency).or_insert_with(|| Timing::of_urgency(urgency));
        }
        self
    }

    /// Whether any check or smoke test is configured.
    pub fn has_checks(&self) -> bool {
        !self.validation.is_empty() || !self.smoke_tests.is_empty()
    }

    /// The timing of a release: its type's own, unless its urgency was changed.
    pub fn timing(&self, kind: ReleaseKind, urgency: Urgency) -> Timing {
        let own = self.of(kind);
        if own.urgency == urgency {
            own.timing
        } else {
            self.urgencies.get(&urgency).copied().unwrap_or_else(|| Timing::of_urgency(urgency))
        }
    }

    /// Errors beyond the shape of single fields: JSON pointer and reason.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        let mut check = |wrong: bool, pointer: String, reason: &str| {
            if wrong {
                faults.push((pointer, reason.to_owned()));
            }
        };
        for (kind, policy) in &self.types {
            let at = |field: &str| format!("/types/{kind}/{field}");
            check(policy.rollback.window_hours > 720, at("rollback/window_hours"), "must be at most 720");
            check(!(1..=720).contains(&policy.monitoring_hours), at("monitoring_hours"), "must be 1 to 720");
            check(policy.notice.hours > 720, at("notice/hours"), "must be at most 720");
            let items = &policy.checklist;
            check(items.len() > 50, at("checklist"), "must be at most 50 items");
            check(
                items.iter().any(|item| item.trim().is_empty() || item.chars().count() > 200),
                at("checklist"),
                "must have items of 1 to 200 characters",
            );
        }
        check(
            !(5..=3600).contains(&self.health.poll_seconds),
            "/health/poll_seconds".into(),
            "must be 5 to 3600",
        );
        check(!(1..=100).contains(&self.health.failures), "/health/failures".into(), "must be 1 to 100");
        check(!(1..=100).contains(&self.health.deviations), "/health/deviations".into(), "must be 1 to 100");
        let is_share = |value: f64| value > 0.0 && value <= 1000.0;
        check(
            !is_share(self.health.error_rate_points),
            "/health/error_rate_points".into(),
            "must be above 0 and at most 1000",
        );
        check(
            !is_share(self.health.slower_percent),
            "/health/slower_percent".into(),
            "must be above 0 and at most 1000",
        );
        check(!(1..=1000).contains(&self.max_parallel), "/max_parallel".into(), "must be 1 to 1000");
        check(
            !(10..=86_400).contains(&self.deployment_timeout_seconds),
            "/deployment_timeout_seconds".into(),
            "must be 10 to 86400",
        );
        check(self.settle_seconds > 86_400, "/settle_seconds".into(), "must be at most 86400");
        check(!(1..=60).contains(&self.longest_wait_days), "/longest_wait_days".into(), "must be 1 to 60");
        for (name, checks) in [("validation", &self.validation), ("smoke_tests", &self.smoke_tests)] {
            let mut seen = BTreeSet::new();
            for (index, one) in checks.iter().enumerate().take(100) {
                let fault = one.fault();
                check(fault.is_some(), format!("/{name}/{index}"), fault.as_deref().unwrap_or_default());
                check(!seen.insert(&one.name), format!("/{name}/{index}/name"), "is used twice");
            }
            check(checks.len() > 100, format!("/{name}"), "must be at most 100 checks");
        }
        if let Some(fault) = self.evidence.as_ref().and_then(EvidenceRule::fault) {
            check(true, "/evidence".into(), &fault);
        }
        faults
    }
}
