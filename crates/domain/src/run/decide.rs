//! Decides what to do next: the order of stages, waves and phases, and what follows a stop.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::{
    action::{Action, Hold, TestPhase, WaitCause},
    batch::next_batch,
    machine::{HostRun, Phase, Progress, Run, Stop, seconds},
    state::{HostState, Stage},
};
use crate::{
    ids::CiId,
    plan::{Intent, Plan, Subject, WaveKind},
    workflow::{OnFailure, Rollback, RollbackMode},
};

/// Hosts snapshotted in one action: small enough that a crash repeats little, large enough to go on.
pub const SNAPSHOTS_AT_ONCE: usize = 50;

impl Run {
    /// Requests the next action, unless one is pending or the run waits for an operator.
    pub(super) fn advance(&mut self, plan: Option<&Plan>, now: DateTime<Utc>) {
        while self.pending.is_none() && self.paused.is_none() {
            let Progress::At(stage) = self.progress else { return };
            let position = |run: &Self| {
                (run.progress, run.wave, run.phase, run.verified, run.must_rescan, run.stop.clone())
            };
            let before = position(self);
            match (stage, plan) {
                (Stage::Snapshotting | Stage::Executing, Some(plan))
                    if self.must_rescan && self.stop.is_none() =>
                {
                    self.look_at_hosts(plan, now)
                }
                (Stage::Executing, Some(plan)) => self.advance_executing(plan, now),
                (Stage::Verifying, Some(plan)) => self.advance_verifying(plan, now),
                (Stage::Reporting, _) => self.ask(Action::Report, now),
                (Stage::Alerting, _) => self.ask(Action::Alert, now),
                (_, plan) if self.stop.is_some() => self.enter(Stage::Reporting, plan, now),
                (Stage::Snapshotting, Some(plan)) => self.advance_snapshotting(plan, now),
                (Stage::AwaitingApproval, _) | (Stage::Validating, _) => self.advance_approval(stage, now),
                (_, plan) => {
                    self.enter(Stage::Planning, plan, now);
                    self.ask(Action::Plan, now);
                }
            }
            let after = position(self);
            if self.pending.is_none() && before == after {
                debug_assert!(false, "no next action after {before:?}");
                return;
            }
        }
    }

    /// Brings interrupted hosts into a safe state, and scans all that wait to be patched.
    fn look_at_hosts(&mut self, plan: &Plan, now: DateTime<Utc>) {
        let all: Vec<CiId> = self.hosts.keys().cloned().collect();
        let in_hand = self.in_state(&all, |host| host.state.is_working());
        if plan.subject() == Subject::Customer {
            // A customer is not scanned and not left half done: it is admitted and deployed to again.
            for host in self.hosts.values_mut().filter(|host| host.state.is_working()) {
                host.end(HostState::Pending, None);
            }
            self.must_rescan = false;
            return;
        }
        if !in_hand.is_empty() {
            return self.ask(Action::Recover { hosts: in_hand.into_iter().collect() }, now);
        }
        let waiting = self.in_state(&all, |host| host.state == HostState::Pending);
        if waiting.is_empty() {
            self.must_rescan = false;
        } else {
            self.ask(Action::Rescan { hosts: waiting.into_iter().collect() }, now);
        }
    }

    fn advance_approval(&mut self, stage: Stage, now: DateTime<Utc>) {
        let action = match (&self.change_id, stage) {
            (None, _) => Action::OpenChange,
            (Some(change_id), Stage::Validating) => Action::Validate { change_id: change_id.clone() },
            (Some(change_id), _) => Action::CheckChange { change_id: change_id.clone() },
        };
        self.ask(action, now);
    }

    fn advance_snapshotting(&mut self, plan: &Plan, now: DateTime<Utc>) {
        let hosts = self.without_snapshot(plan, self.hosts.keys());
        if hosts.is_empty() {
            return self.enter(Stage::Executing, Some(plan), now);
        }
        self.ask_snapshots(hosts, now);
    }

    /// The first of these hosts that wait to be patched and still need a snapshot.
    fn without_snapshot<'a>(&self, plan: &Plan, ids: impl Iterator<Item = &'a CiId>) -> BTreeSet<CiId> {
        let is_due = |id: &&CiId| {
            plan.targets.get(*id).is_some_and(|target| target.rollback_mode == RollbackMode::Snapshot)
                && self
                    .hosts
                    .get(*id)
                    .is_some_and(|host| host.state == HostState::Pending && host.snapshot.is_none())
        };
        let all = ids.filter(|_| plan.snapshot_retention_hours.is_some()).filter(is_due);
        all.take(SNAPSHOTS_AT_ONCE).cloned().collect()
    }

    fn ask_snapshots(&mut self, hosts: BTreeSet<CiId>, now: DateTime<Utc>) {
        for id in &hosts {
            if let Some(host) = self.hosts.get_mut(id) {
                host.state = HostState::Snapshotting;
            }
        }
        self.ask(Action::Snapshot { hosts }, now);
    }

    fn advance_executing(&mut self, plan: &Plan, now: DateTime<Utc>) {
        if self.stop.is_some() {
            return self.wind_down(plan, now);
        }
        let Some(wave) = plan.waves.get(self.wave) else {
            return self.enter(Stage::Verifying, Some(plan), now);
        };
        if self.phase == Phase::Soak && self.restore_unhealthy(plan, now) {
            return;
        }
        let alive = || -> BTreeSet<CiId> {
            wave.hosts
                .iter()
                .filter(|id| self.hosts.get(*id).is_some_and(|h| h.state != HostState::Skipped))
                .cloned()
                .collect()
        };
        match self.phase {
            Phase::TestsBefore if wave.gate.tests && !alive().is_empty() => {
                let hosts = alive();
                self.ask(Action::Test { phase: TestPhase::Before, hosts }, now);
            }
            Phase::TestsBefore => self.phase = Phase::Patch,
            Phase::Patch => self.advance_patching(plan, wave.kind, &wave.hosts, now),
            Phase::TestsAfter if !wave.checks.is_empty() => {
                self.ask(Action::RunChecks { wave: self.wave }, now)
            }
            Phase::TestsAfter if wave.gate.tests && !alive().is_empty() => {
                let hosts = alive();
                self.ask(Action::Test { phase: TestPhase::After, hosts }, now);
            }
            Phase::TestsAfter => self.phase = Phase::Soak,
            Phase::Soak if wave.gate.soak_seconds > 0 => {
                self.ask(Action::Soak { until: now + seconds(wave.gate.soak_seconds) }, now);
            }
            Phase::Soak => self.next_wave(now),
        }
    }

    fn advance_patching(&mut self, plan: &Plan, kind: WaveKind, wave: &[CiId], now: DateTime<Utc>) {
        if matches!(plan.intent, Intent::Rollback { .. }) {
            let pending = self.in_state(wave, |host| host.state == HostState::Pending);
            let batch = next_batch(plan, &self.hosts, &pending, &BTreeSet::new());
            return match (pending.is_empty(), batch.is_empty()) {
                (true, _) => self.phase = Phase::Soak,
                (false, true) => self.halt_for_budget(),
                (false, false) => self.ask_rollback(batch, now),
            };
        }
        if self.restore_unhealthy(plan, now) {
            return;
        }
        let restore = self.restorable(plan, wave);
        if !restore.is_empty() {
            return self.ask_rollback(restore.into_iter().collect(), now);
        }
        let due: Vec<CiId> = wave.iter().filter(|id| self.is_due(plan, id)).cloned().collect();
        let has_failed =
            |id: &CiId| self.hosts.get(id).is_some_and(|host| host.state.is_failure()) && !due.contains(id);
        let failed = self.hosts.keys().filter(|id| has_failed(id)).count();
        let failed_here: Vec<&CiId> = wave.iter().filter(|id| has_failed(id)).collect();
        if kind != WaveKind::Batch && !failed_here.is_empty() {
            let word = if kind == WaveKind::Pilot { "pilot" } else { "staging" };
            self.stop = Some(Stop::Halted { reason: format!("{word} host `{}` failed", failed_here[0]) });
            return;
        }
        if failed > plan.limits.error_threshold as usize {
            let reason = format!(
                "{failed} hosts have failed, more than the threshold of {}",
                plan.limits.error_threshold
            );
            self.stop = Some(Stop::Halted { reason });
            return;
        }
        if due.is_empty() {
            self.phase = Phase::TestsAfter;
            return;
        }
        let admitted = if self.is_conditional(plan) {
            due.iter().filter(|id| self.admitted.contains(*id)).cloned().collect()
        } else {
            due.clone()
        };
        if admitted.is_empty() {
            let hosts = due.into_iter().collect();
            return self.ask(Action::Admit { wave: self.wave, hosts }, now);
        }
        let batch = next_batch(plan, &self.hosts, &admitted, &self.down_elsewhere);
        if batch.is_empty() {
            return self.wait_for_members(plan, due, &admitted, now);
        }
        let unprotected = self.without_snapshot(plan, batch.iter());
        if !unprotected.is_empty() {
            return self.ask_snapshots(unprotected, now);
        }
        for id in &batch {
            if let Some(host) = self.hosts.get_mut(id) {
                host.attempts += 1;
                host.end(HostState::Precheck, None);
            }
        }
        if plan.subject() == Subject::Host {
            // What is true now may be false for the next batch.
            self.admitted.clear();
        }
        self.ask(Action::Patch { hosts: batch }, now);
    }

    /// Whether the host waits for its first try, or for another one.
    pub(super) fn is_due(&self, plan: &Plan, id: &CiId) -> bool {
        self.hosts.get(id).is_some_and(|host| {
            let is_tried_again = host.attempts <= plan.limits.retries && !self.not_retried.contains(id);
            host.state == HostState::Pending || host.state.is_failure() && is_tried_again
        })
    }

    /// Whether the hosts of the current wave start only after an admission: hosts always do, customers if their wave has
    /// conditions.
    fn is_conditional(&self, plan: &Plan) -> bool {
        plan.subject() == Subject::Host || plan.waves.get(self.wave).is_some_and(|wave| wave.start.is_some())
    }

    /// No host can be taken down now. If that is only because of hosts outside this run, it waits for them.
    fn wait_for_members(&mut self, plan: &Plan, due: Vec<CiId>, admitted: &[CiId], now: DateTime<Utc>) {
        if next_batch(plan, &self.hosts, admitted, &BTreeSet::new()).is_empty() {
            return self.halt_for_budget();
        }
        let reason = format!(
            "{} hosts outside this run are down, and their services cannot spare another member",
            self.down_elsewhere.len()
        );
        self.admitted.clear();
        let action = Action::Admit { wave: self.wave, hosts: due.into_iter().collect() };
        let hold = Hold { cause: WaitCause::MembersDown, reason };
        self.hold_until(action, now + seconds(self.rules.members_seconds), hold, now);
    }

    /// Customers are still watched while later waves wait: one of an earlier wave may have to be rolled back.
    fn restore_unhealthy(&mut self, plan: &Plan, now: DateTime<Utc>) -> bool {
        if plan.subject() != Subject::Customer {
            return false;
        }
        let all: Vec<CiId> = self.hosts.keys().cloned().collect();
        let restore = self.restorable(plan, &all);
        if !restore.is_empty() {
            self.ask_rollback(restore.into_iter().collect(), now);
            return true;
        }
        let failed = self.hosts.values().filter(|host| host.state.is_failure()).count();
        let first_of_demo =
            plan.waves.iter().filter(|wave| wave.kind != WaveKind::Batch).find_map(|wave| {
                self.in_state(&wave.hosts, |host| host.state.is_failure()).into_iter().next()
            });
        let reason = match first_of_demo {
            Some(customer) => format!("`{customer}` failed, and it comes before all others"),
            None if failed > plan.limits.error_threshold as usize => {
                let threshold = plan.limits.error_threshold;
                format!("{failed} customers have failed, more than the threshold of {threshold}")
            }
            None => return false,
        };
        self.stop = Some(Stop::Halted { reason });
        true
    }

    fn halt_for_budget(&mut self) {
        let reason =
            "hosts that failed and are down use up the budget: no further host can be taken down safely";
        self.stop = Some(Stop::Halted { reason: reason.to_owned() });
    }

    /// The failed hosts to roll back: the failed step or the policy requires it, and it has not been tried yet.
    fn restorable(&self, plan: &Plan, ids: &[CiId]) -> Vec<CiId> {
        let mut failed = self.in_state(ids, |host| host.state.is_failure() && Self::can_restore(plan, host));
        failed.retain(|id| self.has_way_back(plan, id));
        failed
    }

    fn can_restore(plan: &Plan, host: &HostRun) -> bool {
        let wanted = match host.failed_step {
            Some(step) => plan.workflow.rule(step, plan.rollback).on_failure == OnFailure::Rollback,
            None => plan.rollback == Rollback::Auto,
        };
        wanted && Self::can_go_back(plan, host)
    }

    /// A host on which the update has not begun is as it was: a return to its snapshot would only lose what was written since.
    fn can_go_back(plan: &Plan, host: &HostRun) -> bool {
        let is_changed = match plan.subject() {
            Subject::Host => host.update_begun,
            Subject::Customer => host.was_touched(),
        };
        is_changed && !matches!(host.state, HostState::RolledBack | HostState::RollbackFailed)
    }

    /// Rollback is by snapshot, or by package manager if the plan says so; for a customer by deploying its previous version.
    fn has_way_back(&self, plan: &Plan, id: &CiId) -> bool {
        let downgrades =
            plan.targets.get(id).is_some_and(|target| target.rollback_mode == RollbackMode::Downgrade);
        downgrades
            || plan.subject() == Subject::Customer
            || self.hosts.get(id).is_some_and(|host| host.snapshot.is_some())
    }

    /// Ends a stopped execution in a known state: hosts in progress are recovered, the others are not touched.
    fn wind_down(&mut self, plan: &Plan, now: DateTime<Utc>) {
        let all: Vec<CiId> = self.hosts.keys().cloned().collect();
        let in_hand = self.in_state(&all, |host| host.state.is_working());
        if !in_hand.is_empty() {
            return self.ask(Action::Recover { hosts: in_hand.into_iter().collect() }, now);
        }
        let roll_back_all = matches!(self.stop, Some(Stop::RollBack { .. }));
        let mut restore = if roll_back_all {
            self.in_state(&all, |host| Self::can_go_back(plan, host))
        } else {
            self.restorable(plan, &all)
        };
        restore.retain(|id| self.has_way_back(plan, id));
        if !restore.is_empty() {
            return self.ask_rollback(restore.into_iter().collect(), now);
        }
        let (state, reason) = match &self.stop {
            Some(Stop::Cancelled { .. } | Stop::RollBack { .. }) => {
                (HostState::Cancelled, "not started: the run was stopped")
            }
            _ => (HostState::Skipped, "not started: the run halted before its wave"),
        };
        for host in self.hosts.values_mut().filter(|host| host.state == HostState::Pending) {
            host.end(state, reason.to_owned());
        }
        self.enter(Stage::Verifying, Some(plan), now);
    }

    fn advance_verifying(&mut self, plan: &Plan, now: DateTime<Utc>) {
        let all: Vec<CiId> = self.hosts.keys().cloned().collect();
        if !self.verified {
            let reached = |host: &HostRun| {
                host.was_touched()
                    && matches!(
                        host.state,
                        HostState::Succeeded | HostState::Cancelled | HostState::RolledBack
                    )
            };
            let hosts: BTreeSet<CiId> = self.in_state(&all, reached).into_iter().collect();
            if hosts.is_empty() {
                self.verified = true
            } else {
                self.ask(Action::Verify { hosts }, now)
            }
            return;
        }
        let restore = self.restorable(plan, &all);
        if restore.is_empty() {
            self.enter(Stage::Reporting, Some(plan), now)
        } else {
            self.ask_rollback(restore.into_iter().collect(), now)
        }
    }

    fn ask_rollback(&mut self, hosts: BTreeSet<CiId>, now: DateTime<Utc>) {
        self.ask(Action::RollBack { hosts }, now);
    }
}
