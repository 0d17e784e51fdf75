//! What is wrong with a policy beyond the shape of its single fields.

use std::collections::BTreeSet;

use super::Policy;
use crate::{
    ids::GivenService,
    pin::Pin,
    pre_approval::NoPreApproval,
    quantity::HostCount,
    strategy::Strategy,
    text::has_hidden,
    workflow::{Reboot, Rollback, RollbackPreference},
};

const HIDDEN: &str = "must not contain characters that are invisible or change the direction of writing";

impl Policy {
    /// Errors beyond the shape of single fields: JSON pointer and reason.
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults: Vec<(String, String)> = Vec::new();
        let mut check = |wrong: bool, pointer: &str, reason: &str| {
            if wrong {
                faults.push((pointer.to_owned(), reason.to_owned()));
            }
        };
        check(self.name.trim().is_empty() || self.name.len() > 200, "/name", "must have 1 to 200 characters");
        check(has_hidden(&self.name), "/name", HIDDEN);
        check(
            self.target_ci_tags.is_empty(),
            "/target_ci_tags",
            "must name at least one tag; a policy for everything needs a tag that every CI has",
        );
        check(
            self.schedule.is_none() && !self.schedule_offset_days.is_none(),
            "/schedule_offset_days",
            "needs a `schedule` whose days it moves",
        );
        check(
            self.plan_ahead_hours.is_some_and(|hours| !(1..=720).contains(&hours)),
            "/plan_ahead_hours",
            "must be 1 to 720",
        );
        check(
            self.plan_ahead_hours.is_some() && self.schedule.is_none(),
            "/plan_ahead_hours",
            "needs a `schedule` whose slots are planned ahead",
        );
        check(self.target_ci_tags.len() > 50, "/target_ci_tags", "must name at most 50 tags");
        check(self.max_parallel == HostCount::Number(0), "/max_parallel", "must be at least 1");
        check(
            self.max_unavailable == Some(HostCount::Number(0)),
            "/max_unavailable",
            "must be at least 1: a host is unavailable while it is patched",
        );
        check(
            self.max_surge.is_some_and(|surge| surge != HostCount::Number(0)),
            "/max_surge",
            "must be 0: no driver creates machines for a run; set `max_unavailable` instead",
        );
        let refusal = self.strategy.refusal_for_hosts();
        check(refusal.is_some(), "/strategy", refusal.unwrap_or_default());
        check(
            !self.cluster_order.is_empty() && !self.cluster_by_cluster,
            "/cluster_order",
            "needs `cluster_by_cluster`",
        );
        let clusters: BTreeSet<&String> = self.cluster_order.iter().collect();
        check(
            clusters.len() > 100 || clusters.len() < self.cluster_order.len(),
            "/cluster_order",
            "must name at most 100 clusters, each of them once",
        );
        check(
            clusters.iter().any(|name| name.trim().is_empty() || name.len() > 200),
            "/cluster_order",
            "must have names of 1 to 200 bytes",
        );
        let has_pilots =
            self.staging.is_some() || self.pilot_host_count > 0 || self.strategy == Strategy::Canary;
        check(
            self.pin == Pin::Pilot && !has_pilots,
            "/pin",
            "needs hosts that test first: set `pilot_host_count`, `staging` or the strategy `canary`",
        );
        check(
            self.pin == Pin::Pilot && !self.workflow.update_commands.is_empty(),
            "/pin",
            "cannot limit what `workflow.update_commands` install; leave one of them out",
        );
        check(self.retries > 10, "/retries", "must be at most 10");
        check(self.soak_seconds > 7 * 86_400, "/soak_seconds", "must be at most a week (604800)");
        check(
            !(1..=8760).contains(&self.snapshot_retention_hours),
            "/snapshot_retention_hours",
            "must be 1 to 8760",
        );
        check(!(1..=8760).contains(&self.max_scan_age_hours), "/max_scan_age_hours", "must be 1 to 8760");
        check(!(1..=8760).contains(&self.max_feed_age_hours), "/max_feed_age_hours", "must be 1 to 8760");
        check(
            !(1..=2160).contains(&self.change.approval_timeout_hours),
            "/change/approval_timeout_hours",
            "must be 1 to 2160",
        );
        let before_hours = &self.notices.before_hours;
        check(
            before_hours.len() > 10 || before_hours.iter().any(|hours| !(1..=2160).contains(hours)),
            "/notices/before_hours",
            "must have at most 10 values of 1 to 2160",
        );
        check(
            self.notices.owner_addresses.len() > 1000,
            "/notices/owner_addresses",
            "must name at most 1000 owners",
        );
        check(
            self.staging.as_ref().is_some_and(|staging| staging.target_ci_tags.is_empty()),
            "/staging/target_ci_tags",
            "must name at least one tag",
        );
        check(
            self.staging.as_ref().is_some_and(|staging| staging.tests.len() > 1000),
            "/staging/tests",
            "must contain at most 1000 tests",
        );
        check(
            self.rollback == Rollback::Auto
                && !self.pre_patch_snapshot
                && self.rollback_preference == RollbackPreference::Snapshot,
            "/rollback",
            "`auto` needs a snapshot to roll back to: set pre_patch_snapshot, prefer `downgrade`, or choose `manual` or `never`",
        );
        check(
            self.rollback_window_hours.is_some_and(|hours| hours == 0 || hours > 8760),
            "/rollback_window_hours",
            "must be 1 to 8760",
        );
        check(
            self.reboot_window.is_some() && self.reboot_mode() == Reboot::Never,
            "/reboot_window",
            "has no effect while `reboot` is `never`; leave one of them out",
        );
        let never = NoPreApproval::of_policy(self).filter(|_| self.change.standard_template.is_some());
        if let Some(cause) = never {
            let reason = format!("must be absent: {cause}; a person approves each run");
            faults.push(("/change/standard_template".to_owned(), reason));
        }
        for (position, test) in self.staging.iter().flat_map(|staging| &staging.tests).enumerate() {
            if has_hidden(&test.name) {
                faults.push((format!("/staging/tests/{position}/name"), HIDDEN.to_owned()));
            }
            if let Some(Err(error)) = test.service().map(GivenService::name) {
                faults.push((format!("/staging/tests/{position}/service"), error.to_string()));
            }
        }
        let of_baseline = self.baseline.faults().into_iter();
        faults.extend(of_baseline.map(|(pointer, reason)| (format!("/baseline{pointer}"), reason)));
        let of_workflow = self.workflow.faults().into_iter();
        faults.extend(of_workflow.map(|(pointer, reason)| (format!("/workflow{pointer}"), reason)));
        faults
    }
}
