//! Patch policies: the baseline for a group of CIs, and how its runs proceed.

mod faults;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    baseline::{Baseline, BaselineRules},
    ids::PolicyId,
    pin::Pin,
    plan_diff::DriftTolerance,
    quantity::HostCount,
    selector::{Selector, Tags},
    strategy::Strategy,
    text::without_secrets,
    time::{Crontab, CrontabHint, MaintenanceWindow, OffsetDays, PatchLevel, Schedule, Tz},
    workflow::{Drain, HostTest, HostWorkflow, Reboot, Rollback, RollbackPreference},
};

/// A patch policy as an operator writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Policy {
    pub id: PolicyId,
    pub name: String,
    /// OS tag of the hosts that it applies to: `rhel9`, `debian12`, `ubuntu2204`; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_type: Option<String>,
    /// Five-field crontab in the time zone `time_zone`; absent: runs are started by hand only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, example = "0 2 * * 0"))]
    pub schedule: Option<Crontab>,
    /// Days on the local clock between the days that `schedule` selects and the runs, -30 to 30: `0 2 * * TUE#2` and 2 is the
    /// Thursday after the second Tuesday. A negative number is before them.
    #[serde(default, skip_serializing_if = "OffsetDays::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = i8, minimum = -30, maximum = 30))]
    pub schedule_offset_days: OffsetDays,
    /// Hours before each slot of `schedule` at which its run is planned and its change opened, 1 to 720, so that people can
    /// approve ahead; the run starts at the slot. Absent: the run is planned at its slot. At most 10 slots are planned ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(minimum = 1, maximum = 720))]
    pub plan_ahead_hours: Option<u32>,
    /// How far the plan may have changed when the work begins. Beyond it the approval is void. A run plans again if it was
    /// planned ahead, or if its plan is older than `max_scan_age_hours`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub drift_tolerance: DriftTolerance,
    /// IANA name.
    #[serde(default = "utc")]
    #[cfg_attr(feature = "schema", schema(value_type = String, example = "Europe/Berlin"))]
    pub time_zone: Tz,
    /// CIs that have all of these tags.
    pub target_ci_tags: Tags,
    /// Month (`2026-02`) or date (`2026-02-15`) up to whose end, in UTC, advisories must be installed; absent: all that are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<String>, example = "2026-02"))]
    pub patch_level: Option<PatchLevel>,
    /// Which fixes belong to the baseline; by default all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub baseline: Baseline,
    #[serde(default = "yes")]
    pub pre_patch_snapshot: bool,
    /// `true` reboots every host, `false` only those that need it; `reboot` gives finer control.
    #[serde(default)]
    pub reboot_required: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reboot: Option<Reboot>,
    /// Hosts patched in parallel, as a number or a percentage of the run's hosts.
    #[serde(default = "one")]
    pub max_parallel: HostCount,
    /// Members of each service that may be unavailable at once, as a number or a percentage of its members; the batch of
    /// `batch_rolling`. Hosts without a service count as one service. The `min_up` of a service still holds. Absent: as many
    /// as each service can spare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unavailable: Option<HostCount>,
    /// Machines that may be added while hosts are patched. Only 0 is accepted: no driver creates machines for a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<HostCount>,
    /// `bluegreen` is refused: no driver replaces hosts. A plan of `bigbang` has one wave and is refused if it breaks a
    /// budget.
    #[serde(default)]
    pub strategy: Strategy,
    /// Hosts of each cluster that are patched first; one failure among them stops the run.
    #[serde(default)]
    pub pilot_host_count: u32,
    /// One cluster (tag `cluster`) after the other: its pilots, then the rest of it, then the next. Hosts without the tag come
    /// last. Otherwise the pilots of all clusters come first.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cluster_by_cluster: bool,
    /// The order of clusters, with `cluster_by_cluster`; those that it does not name follow by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster_order: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staging: Option<Staging>,
    /// Seconds to wait after each wave before the next.
    #[serde(default)]
    pub soak_seconds: u32,
    /// The run halts when more hosts than this have failed.
    #[serde(default = "one")]
    pub error_threshold: HostCount,
    /// How often a failed host is retried.
    #[serde(default)]
    pub retries: u32,
    #[serde(default)]
    pub rollback: Rollback,
    /// For how long after a run its hosts must be able to roll back. A run whose snapshots expire earlier is refused when
    /// it is planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_window_hours: Option<u32>,
    /// Where packages can be downgraded, the downgrade may replace the snapshot as the means of rollback.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rollback_preference: RollbackPreference,
    /// Whether an update may remove other packages of a host. The plan names them. By default, the updates that need it are
    /// left out, and everything else is installed. A package that rpm replaces by its declared successor is not removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_removals: bool,
    /// `pilot`: production installs exactly the versions that the staging hosts of the same run test, or its pilots if the plan
    /// has no staging wave, with everything that is installed along with them. What none of them tests is left out, as
    /// `not_tested`. What is uploaded after the plan was made waits for a run of its own, as `newer_than_tested`, whatever
    /// `drift_tolerance` says about newer versions. A host whose repositories no longer offer a pinned version fails before its
    /// services stop. Default: `none`.
    #[serde(default, skip_serializing_if = "Pin::is_none")]
    pub pin: Pin,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<Object>))]
    pub window: Option<MaintenanceWindow>,
    /// Hosts are rebooted only within it: the work on a host that waits for a reboot lies in both windows, and a reboot that
    /// only the updates show to be needed is left to a later run. Absent: hosts are rebooted when they are patched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(value_type = Option<Object>))]
    pub reboot_window: Option<MaintenanceWindow>,
    #[serde(default)]
    pub change: ChangeRule,
    #[serde(default = "default_snapshot_retention_hours")]
    pub snapshot_retention_hours: u32,
    /// A scan older than this is too old to rely on.
    #[serde(default = "default_max_scan_age_hours")]
    pub max_scan_age_hours: u32,
    /// Advisories of a release that were last imported longer ago than this are too old to rely on: the status of its hosts is
    /// unknown.
    #[serde(default = "default_max_feed_age_hours")]
    pub max_feed_age_hours: u32,
    #[serde(default)]
    pub workflow: HostWorkflow,
    /// E-mail addresses and webhooks notified of starts, ends and failures.
    #[serde(default)]
    pub notify: Vec<String>,
    /// What they are notified of.
    #[serde(default, skip_serializing_if = "Notices::is_default")]
    pub notices: Notices,
    /// Where the SSH keys of real hosts come from; absent: the service's own settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vault: Option<VaultSource>,
    #[serde(default = "yes")]
    pub enabled: bool,
}

/// Hosts patched and tested before any production host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Staging {
    pub target_ci_tags: Tags,
    /// Run on every staging host before and after its update. A test that passed before and fails after is a
    /// regression: the production waves do not start.
    #[serde(default)]
    pub tests: Vec<HostTest>,
}

/// What a policy's recipients are notified of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Notices {
    pub start: NoticeScope,
    pub success: NoticeScope,
    /// Alerts. A failed pilot stops the rollout; other hosts stop it beyond `error_threshold`.
    pub failure: NoticeScope,
    /// Hours before a run begins at which the owners of its hosts are notified of what will happen to them, 1 to 2160 each, at
    /// most 10. Empty: they are not. Default: 72, 24 and 1.
    #[serde(skip_serializing_if = "is_default_hours")]
    pub before_hours: Vec<u32>,
    /// E-mail address or webhook of each owner, by the tag `owner` of the hosts. The attribute `owner_email` of a host comes
    /// first; a tag `owner` that is an address needs no entry.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub owner_addresses: BTreeMap<String, String>,
}

fn default_hours() -> Vec<u32> {
    vec![72, 24, 1]
}

fn is_default_hours(hours: &Vec<u32>) -> bool {
    *hours == default_hours()
}

/// How often recipients are notified of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum NoticeScope {
    None,
    /// Once for the run.
    Run,
    /// For each host, and for the run.
    Host,
}

impl Default for Notices {
    fn default() -> Self {
        Self {
            start: NoticeScope::Run,
            success: NoticeScope::Run,
            failure: NoticeScope::Host,
            before_hours: default_hours(),
            owner_addresses: BTreeMap::new(),
        }
    }
}

impl Notices {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Where in which Vault the keys are. The platform's credentials for it come from its settings or with the run, never from
/// here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct VaultSource {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The key of a host is at `<prefix>/<host>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_path_prefix: Option<String>,
}

/// Which change a run opens if none is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ChangeRule {
    /// Template that pre-approves the change (a standard change) of versions of the policy that somebody who did not edit
    /// them has approved (`POST /patch/policies/{id}/approve`). Refused with commands and maintenance hooks, which are never
    /// pre-approved. Absent, or not approved: a normal change that needs an approver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standard_template: Option<String>,
    /// Addresses of people who may approve: they get the request by e-mail.
    pub approver_emails: Vec<String>,
    /// Hours a run waits for approval before it expires.
    pub approval_timeout_hours: u32,
}

impl Default for ChangeRule {
    fn default() -> Self {
        Self { standard_template: None, approver_emails: Vec::new(), approval_timeout_hours: 72 }
    }
}

impl Policy {
    /// Hides what readers without a right to change the policy must not see: parts of addresses that may be secrets.
    pub fn hide_secrets(&mut self) {
        for recipient in &mut self.notify {
            *recipient = without_secrets(recipient).into_owned();
        }
        if let Some(Drain::Url(url)) = &mut self.workflow.drain {
            *url = without_secrets(url).into_owned();
        }
    }

    pub fn reboot_mode(&self) -> Reboot {
        self.reboot.unwrap_or(if self.reboot_required { Reboot::Always } else { Reboot::IfRequired })
    }

    /// The clusters that go first, if clusters are patched one after the other.
    pub fn clusters_in_turn(&self) -> Option<Vec<String>> {
        self.cluster_by_cluster.then(|| self.cluster_order.clone())
    }

    /// Whether its runs reboot hosts that only wait for a reboot: one that waits for its window is work of its own.
    pub fn reboots_later(&self) -> bool {
        self.reboot_window.is_some() && self.reboot_mode() != Reboot::Never
    }

    /// What decides which fixes belong to its baseline.
    pub fn baseline_rules(&self) -> BaselineRules {
        BaselineRules { baseline: self.baseline.clone(), level: self.patch_level }
    }

    pub fn targets(&self) -> Selector {
        Selector::by_tags(self.target_ci_tags.clone())
    }

    /// When its runs start; `None` if they are started by hand only.
    pub fn run_schedule(&self) -> Option<Schedule> {
        self.schedule.as_ref().map(|crontab| crontab.moved_by(self.schedule_offset_days))
    }

    /// Likely mistakes in its patterns: JSON pointer and hint.
    pub fn hints(&self) -> Vec<(&'static str, &CrontabHint)> {
        let schedule = self.schedule.as_ref().and_then(Crontab::hint).map(|hint| ("/schedule", hint));
        let windows = [("/window/opens", &self.window), ("/reboot_window/opens", &self.reboot_window)];
        let of_windows =
            windows.into_iter().filter_map(|(pointer, window)| Some((pointer, window.as_ref()?.hint()?)));
        schedule.into_iter().chain(of_windows).collect()
    }
}

/// Left out if it is the default, so that what was stored before the field existed reads back unchanged.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn utc() -> Tz {
    Tz::UTC
}

fn yes() -> bool {
    true
}

fn one() -> HostCount {
    HostCount::Number(1)
}

/// 72 h: the longest lifetime that virtualisation vendors recommend for a snapshot.
fn default_snapshot_retention_hours() -> u32 {
    72
}

fn default_max_scan_age_hours() -> u32 {
    48
}

/// A week: vendors publish daily, and a monthly patch round must not rest on last month's advisories.
fn default_max_feed_age_hours() -> u32 {
    168
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_of_the_specification_is_accepted_unchanged() {
        let text = r#"{ "id": "policy-rhel9-baseline", "name": "RHEL 9 Monthly Baseline", "os_type": "rhel9",
            "schedule": "0 2 * * 0", "target_ci_tags": { "env": "dev", "os": "rhel9" }, "patch_level": "2026-02",
            "pre_patch_snapshot": true, "reboot_required": true, "max_parallel": 5 }"#;
        let policy: Policy = serde_json::from_str(text).unwrap();
        assert_eq!(policy.reboot_mode(), Reboot::Always);
        assert_eq!(policy.faults(), []);
    }

    #[test]
    fn schedule_can_be_moved_by_days() {
        let text = r#"{ "id": "p", "name": "p", "target_ci_tags": { "env": "dev" }, "schedule": "0 2 * * TUE#2",
            "schedule_offset_days": 2 }"#;
        let policy: Policy = serde_json::from_str(text).unwrap();
        let next =
            policy.run_schedule().unwrap().next_after("2026-12-01T00:00:00Z".parse().unwrap(), Tz::UTC);
        assert_eq!(next, Some("2026-12-10T02:00:00Z".parse().unwrap()));
        assert!(policy.hints().is_empty());
        let mut stored = serde_json::to_value(&policy).unwrap();
        assert_eq!(stored["schedule_offset_days"], 2);
        stored["schedule_offset_days"] = 0.into();
        let policy: Policy = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(serde_json::to_value(&policy).unwrap().get("schedule_offset_days"), None);
        stored["schedule_offset_days"] = 31.into();
        assert!(serde_json::from_value::<Policy>(stored).unwrap_err().to_string().contains("-30 to 30"));
    }

    #[test]
    fn offset_without_a_schedule_is_refused() {
        let text =
            r#"{ "id": "p", "name": "p", "target_ci_tags": { "env": "dev" }, "schedule_offset_days": 1 }"#;
        let policy: Policy = serde_json::from_str(text).unwrap();
        assert_eq!(policy.faults()[0].0, "/schedule_offset_days");
    }

    #[test]
    fn planning_ahead_needs_a_schedule_and_ends_after_a_month() {
        let policy = |fields: &str| {
            let text =
                format!(r#"{{ "id": "p", "name": "p", "target_ci_tags": {{ "env": "dev" }}, {fields} }}"#);
            serde_json::from_str::<Policy>(&text).unwrap()
        };
        for fields in [
            r#""plan_ahead_hours": 12"#,
            r#""plan_ahead_hours": 0, "schedule": "0 2 * * 0""#,
            r#""plan_ahead_hours": 721, "schedule": "0 2 * * 0""#,
        ] {
            assert_eq!(policy(fields).faults()[0].0, "/plan_ahead_hours", "{fields}");
        }
        let stored = policy(
            r#""plan_ahead_hours": 12, "schedule": "0 2 * * 0", "drift_tolerance": { "hosts_gone": 2 }"#,
        );
        assert_eq!(stored.faults(), []);
        assert_eq!(stored.drift_tolerance.hosts_gone, HostCount::Number(2));
        assert_eq!(stored.drift_tolerance.hosts_new, HostCount::Percent(10), "others keep their default");
        let before = policy(r#""enabled": true"#);
        assert!(
            !serde_json::to_string(&before).unwrap().contains("drift"),
            "stored policies read back unchanged"
        );
    }

    #[test]
    fn hours_before_a_run_are_checked_and_left_out_if_they_are_the_default() {
        let policy = |notices: &str| {
            let text = format!(
                r#"{{ "id": "p", "name": "p", "target_ci_tags": {{ "env": "dev" }}, "notices": {notices} }}"#
            );
            serde_json::from_str::<Policy>(&text).unwrap()
        };
        let stored = policy(r#"{ "start": "host", "success": "run", "failure": "host" }"#);
        assert_eq!(stored.notices.before_hours, [72, 24, 1]);
        assert!(!serde_json::to_string(&stored).unwrap().contains("before_hours"), "it reads back unchanged");
        assert_eq!(policy(r#"{ "before_hours": [0] }"#).faults()[0].0, "/notices/before_hours");
        assert_eq!(policy(r#"{ "before_hours": [] }"#).faults(), []);
    }

    #[test]
    fn hints_name_the_pattern_they_are_about() {
        let text = r#"{ "id": "p", "name": "p", "target_ci_tags": { "env": "dev" }, "schedule": "0 2 8-14 * 2",
            "window": { "opens": "0 2 1-7 * 6", "duration_minutes": 60, "time_zone": "UTC" } }"#;
        let policy: Policy = serde_json::from_str(text).unwrap();
        let pointers: Vec<&str> = policy.hints().into_iter().map(|(pointer, _)| pointer).collect();
        assert_eq!(pointers, ["/schedule", "/window/opens"]);
    }

    #[test]
    fn what_no_driver_can_do_for_hosts_is_refused_with_the_alternative() {
        let faults = |fields: &str| {
            let text =
                format!(r#"{{ "id": "p", "name": "p", "target_ci_tags": {{ "env": "dev" }}, {fields} }}"#);
            serde_json::from_str::<Policy>(&text).unwrap().faults()
        };
        let surge = faults(r#""max_surge": "25%""#);
        assert!(surge[0].0 == "/max_surge" && surge[0].1.contains("max_unavailable"), "{surge:?}");
        let replaced = faults(r#""strategy": "bluegreen""#);
        assert!(replaced[0].0 == "/strategy" && replaced[0].1.contains("`rolling`"), "{replaced:?}");
        assert_eq!(faults(r#""max_unavailable": 0"#)[0].0, "/max_unavailable");
        assert_eq!(faults(r#""max_unavailable": "25%", "max_surge": 0"#), []);
    }

    #[test]
    fn automatic_rollback_without_a_snapshot_is_refused() {
        let text =
            r#"{ "id": "p", "name": "p", "target_ci_tags": { "env": "dev" }, "pre_patch_snapshot": false }"#;
        let policy: Policy = serde_json::from_str(text).unwrap();
        assert_eq!(policy.faults()[0].0, "/rollback");
    }
}
