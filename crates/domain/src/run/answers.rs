//! How answers and host reports change the run.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    action::{Action, Hold, Pending, TestPhase},
    event::{Answer, Approval, HostResult, Refused, TestRun, Verification},
    machine::{HostRun, Phase, Run, Stop, seconds},
    state::{HostState, PauseCause, Stage},
};
use crate::{
    ids::CiId,
    plan::{Intent, Plan},
    preflight::failures_text,
};

impl Run {
    /// Applies the answer to `action`; returns the action if the answer does not fit it.
    pub(super) fn answered<'a>(
        &mut self,
        stage: Stage,
        action: &'a Action,
        answer: Answer,
        plan: Option<&Plan>,
        now: DateTime<Utc>,
    ) -> Result<(), &'a Action> {
        match (action, answer) {
            (Action::Plan, Answer::Planned) => {
                let Some(plan) = plan else { return Err(action) };
                self.adopt(plan);
                self.planned_at = Some(now);
                if let Some(reason) = none_left(plan) {
                    self.stop.get_or_insert(Stop::Failed { reason });
                }
                let has_work = self.hosts.values().any(|host| host.state == HostState::Pending);
                let next = if self.rules.dry_run || !has_work && !self.hosts.is_empty() {
                    Stage::Reporting
                } else if self.hosts.is_empty() {
                    // A plan with checks but no hosts changes nothing that needs approval.
                    Stage::Executing
                } else {
                    Stage::AwaitingApproval
                };
                self.enter(next, Some(plan), now);
            }
            (Action::Plan, Answer::NothingToDo) => self.enter(Stage::Reporting, plan, now),
            (Action::Plan | Action::OpenChange, Answer::CouldNot { reason } | Answer::Invalid { reason }) => {
                self.stop.get_or_insert(Stop::Failed { reason });
            }
            (Action::OpenChange, Answer::ChangeOpened { change_id }) => self.change_id = Some(change_id),
            (Action::CheckChange { .. }, Answer::ChangeIs(Approval::Approved)) => {
                self.enter(Stage::Validating, plan, now)
            }
            (Action::CheckChange { .. }, Answer::ChangeIs(Approval::Refused { reason })) => {
                self.stop.get_or_insert(Stop::Cancelled { reason });
            }
            (Action::CheckChange { .. }, Answer::ChangeIs(Approval::Waiting) | Answer::CouldNot { .. }) => {
                self.ask_at(action.clone(), now + seconds(self.rules.poll_seconds));
            }
            (Action::Validate { change_id }, Answer::Valid) => {
                let change_id = change_id.clone();
                let next = if self.must_plan_again(now) {
                    Action::Replan { change_id }
                } else {
                    Action::BeginWork { change_id }
                };
                self.ask(next, now)
            }
            (Action::Replan { change_id }, Answer::PlanHolds { gone }) => {
                self.skip_gone(gone);
                self.ask(Action::BeginWork { change_id: change_id.clone() }, now)
            }
            (Action::Replan { .. }, Answer::PlanVoid { reason }) => {
                self.stop.get_or_insert(Stop::Voided { reason });
            }
            (Action::Validate { .. }, Answer::NotYet { cause, reason, retry_at }) => {
                self.hold_until(action.clone(), retry_at, Hold { cause, reason }, now)
            }
            (Action::BeginWork { .. }, Answer::WorkBegun) => self.enter(Stage::Snapshotting, plan, now),
            (
                Action::Validate { .. } | Action::Replan { .. } | Action::BeginWork { .. },
                Answer::Invalid { reason } | Answer::CouldNot { reason },
            ) => {
                self.stop.get_or_insert(Stop::Failed { reason });
            }
            (Action::Snapshot { hosts }, Answer::Snapshots(results)) => self.snapshots_taken(hosts, &results),
            // Without a means of rollback nothing is started.
            (Action::Snapshot { .. }, Answer::Invalid { reason }) => {
                self.stop.get_or_insert(Stop::Failed { reason });
            }
            (Action::Snapshot { hosts }, Answer::CouldNot { reason }) => {
                let results = hosts.iter().map(|host| (host.clone(), Err(reason.clone()))).collect();
                self.snapshots_taken(hosts, &results);
            }
            (Action::Test { phase: TestPhase::Before, hosts }, Answer::Tests(results)) => {
                match hosts.iter().find(|host| !results.contains_key(host)) {
                    Some(host) => self.pause_inconclusive(
                        format!("the tests before the wave returned no result for `{host}`"),
                        now,
                    ),
                    None => {
                        self.baseline = results;
                        self.phase = Phase::Patch;
                    }
                }
            }
            (Action::Test { phase: TestPhase::After, hosts }, Answer::Tests(results)) => {
                self.tests_after(hosts, &results, now)
            }
            (Action::Test { .. }, Answer::CouldNot { reason }) => {
                self.pause_inconclusive(format!("the gate is inconclusive: {reason}"), now);
            }
            (Action::Patch { hosts }, Answer::Patched { mut unfinished }) => {
                for host in hosts {
                    let lost = HostResult::Failed {
                        reason: "the playbook ended without an outcome for this host".to_owned(),
                        step: None,
                    };
                    let result = unfinished.remove(host).unwrap_or(lost);
                    if self.hosts.get(host).is_some_and(|run| run.state.is_working()) {
                        self.end_host(host, result);
                    }
                }
            }
            (Action::Patch { hosts }, Answer::CouldNot { reason }) => {
                for host in hosts {
                    if self.hosts.get(host).is_some_and(|run| run.state.is_working()) {
                        self.end_host(host, HostResult::Failed { reason: reason.clone(), step: None });
                    }
                }
            }
            (Action::RollBack { hosts }, Answer::RolledBack(results)) => self.rolled_back(hosts, &results),
            (Action::RollBack { hosts }, Answer::CouldNot { reason }) => {
                let results = hosts.iter().map(|host| (host.clone(), Err(reason.clone()))).collect();
                self.rolled_back(hosts, &results);
            }
            (Action::Soak { .. }, Answer::Soaked) => self.next_wave(now),
            (Action::Admit { wave, hosts: asked }, Answer::Admitted { hosts, left_out, down }) => {
                let Some(plan) = plan else { return Err(action) };
                for (id, reason) in left_out {
                    match self.hosts.get_mut(&id) {
                        Some(host) if host.state == HostState::Pending => {
                            host.end(HostState::Skipped, reason)
                        }
                        Some(_) => drop(self.not_retried.insert(id)),
                        None => {}
                    }
                }
                // No host now, but none is excluded: ask again later.
                if hosts.is_empty() {
                    let is_due = |id: &&CiId| self.is_due(plan, id);
                    let rest: BTreeSet<CiId> = asked.iter().filter(is_due).cloned().collect();
                    if !rest.is_empty() {
                        self.ask_at(Action::Admit { wave: *wave, hosts: rest }, now + seconds(30));
                    }
                }
                self.admitted = hosts;
                self.down_elsewhere = down;
            }
            (Action::Admit { .. }, Answer::NotYet { cause, reason, retry_at }) => {
                if cause.is_calendar() {
                    self.forget_unused_snapshots();
                }
                self.hold_until(action.clone(), retry_at, Hold { cause, reason }, now);
            }
            // The change has ended or expired: what was started is finished, nothing more is.
            (Action::Admit { .. }, Answer::ChangeIs(Approval::Refused { reason })) => {
                self.stop.get_or_insert(Stop::Halted { reason });
            }
            (Action::Admit { .. }, Answer::CouldNot { .. }) => self.ask_at(action.clone(), now + seconds(30)),
            (Action::RunChecks { .. }, Answer::Valid) => self.phase = Phase::Soak,
            (Action::Admit { .. } | Action::RunChecks { .. }, Answer::Invalid { reason }) => {
                self.stop.get_or_insert(Stop::Halted { reason });
            }
            (Action::RunChecks { .. }, Answer::CouldNot { reason }) => {
                self.pause_inconclusive(format!("the gate is inconclusive: {reason}"), now);
            }
            (Action::Recover { hosts }, Answer::Recovered(results)) => self.recovered(hosts, &results),
            (Action::Recover { hosts }, Answer::CouldNot { reason }) => {
                let results = hosts.iter().map(|host| (host.clone(), Err(reason.clone()))).collect();
                self.recovered(hosts, &results);
            }
            (Action::Verify { hosts }, Answer::Verified(results)) => self.verified(hosts, &results, now),
            (Action::Verify { .. }, Answer::CouldNot { reason }) => {
                self.pause_inconclusive(format!("verification is inconclusive: {reason}"), now);
            }
            (Action::Rescan { hosts }, Answer::Rescanned(results)) => self.rescanned(hosts, &results, now),
            (Action::Rescan { .. }, Answer::CouldNot { reason }) => {
                self.wait_for_operator(format!("its hosts could not be scanned: {reason}"), now);
            }
            (Action::Report, Answer::Reported) => self.enter(Stage::Alerting, plan, now),
            (Action::Alert, Answer::Alerted) => self.finish(plan),
            (Action::Report | Action::Alert, Answer::CouldNot { .. }) => {
                self.ask_at(action.clone(), now + seconds(5))
            }
            _ => return Err(action),
        }
        debug_assert!(stage <= self.stage().unwrap_or(Stage::Alerting), "stages only go on");
        Ok(())
    }

    fn pause_inconclusive(&mut self, reason: String, now: DateTime<Utc>) {
        self.pause(PauseCause::Inconclusive, reason, now);
    }

    /// Adds the hosts of a plan.
    fn adopt(&mut self, plan: &Plan) {
        self.hosts = plan.subjects().into_iter().map(|id| (id.clone(), HostRun::default())).collect();
        if let Intent::Rollback { snapshots, .. } = &plan.intent {
            for (id, host) in &mut self.hosts {
                host.snapshot = snapshots.get(id).copied();
            }
        }
        for (id, reason) in &plan.unscanned {
            let mut host = HostRun::default();
            host.end(HostState::Skipped, format!("could not be scanned: {reason}"));
            self.hosts.insert(id.clone(), host);
        }
        for (id, failures) in &plan.not_ready {
            let mut host = HostRun::default();
            host.end(HostState::Skipped, format!("not ready: {}", failures_text(failures)));
            self.hosts.insert(id.clone(), host);
        }
    }

    /// Hosts of the approved plan that cannot be patched any more.
    fn skip_gone(&mut self, gone: BTreeMap<CiId, String>) {
        for (id, reason) in gone {
            if let Some(host) = self.hosts.get_mut(&id).filter(|host| host.state == HostState::Pending) {
                host.end(HostState::Skipped, reason);
            }
        }
    }

    /// A host that waits for another opening gets a new snapshot then, so that no work of the meantime can be lost.
    fn forget_unused_snapshots(&mut self) {
        for host in self.hosts.values_mut().filter(|host| host.state == HostState::Pending) {
            if !host.was_touched() {
                host.snapshot = None;
            }
        }
    }

    fn snapshots_taken(&mut self, hosts: &BTreeSet<CiId>, results: &BTreeMap<CiId, Result<Uuid, String>>) {
        for id in hosts {
            let Some(host) = self.hosts.get_mut(id) else { continue };
            match results.get(id) {
                Some(Ok(snapshot)) => {
                    host.snapshot = Some(*snapshot);
                    host.end(HostState::Pending, None);
                }
                Some(Err(reason)) => {
                    host.end(HostState::Skipped, format!("not patched: its snapshot failed: {reason}"))
                }
                None => {
                    host.end(HostState::Skipped, "not patched: its snapshot returned no answer".to_owned())
                }
            }
        }
    }

    fn tests_after(&mut self, hosts: &BTreeSet<CiId>, results: &BTreeMap<CiId, TestRun>, now: DateTime<Utc>) {
        let mut regressions = Vec::new();
        for host in hosts {
            let Some(after) = results.get(host) else {
                self.pause_inconclusive(
                    format!(
                        "the gate is inconclusive: the tests after the wave returned no result for `{host}`"
                    ),
                    now,
                );
                return;
            };
            let before = self.baseline.get(host).cloned().unwrap_or_default();
            let lost = before.passed.iter().filter(|test| !after.passed.contains(*test));
            regressions.extend(lost.map(|test| format!("`{test}` on `{host}`")));
        }
        match regressions.as_slice() {
            [] => self.phase = Phase::Soak,
            [first, ..] => {
                let reason = format!(
                    "{} tests passed before the update and fail after it, first {first}",
                    regressions.len()
                );
                self.stop.get_or_insert(Stop::Halted { reason });
            }
        }
    }

    pub(super) fn host_progressed(&mut self, step: u64, id: &CiId, state: HostState) -> Result<(), Refused> {
        let host = self.host_in_batch(step, id)?;
        if state.is_working() && host.state.is_working() {
            host.state = state;
            host.update_begun |= state == HostState::Patching;
        }
        Ok(())
    }

    pub(super) fn host_finished(&mut self, step: u64, id: &CiId, result: HostResult) -> Result<(), Refused> {
        if self.host_in_batch(step, id)?.state.is_working() {
            self.end_host(id, result);
        }
        Ok(())
    }

    /// A finished host is unhealthy: it counts as failed. Actions that wait for conditions or time are requested again after it
    /// was handled.
    pub(super) fn host_unhealthy(&mut self, stage: Stage, id: &CiId, reason: String) -> Result<(), Refused> {
        if stage >= Stage::Reporting {
            return Err(self.not_now("its work is done and it is being reported"));
        }
        let done = self.hosts.get_mut(id).filter(|host| host.state == HostState::Succeeded);
        done.ok_or_else(|| Refused::NotDone(id.clone()))?.end(HostState::Failed, reason);
        self.pending.take_if(|pending| matches!(pending.action, Action::Admit { .. } | Action::Soak { .. }));
        Ok(())
    }

    fn host_in_batch(&mut self, step: u64, id: &CiId) -> Result<&mut HostRun, Refused> {
        match &self.pending {
            Some(Pending { step: current, action: Action::Patch { hosts }, .. }) if *current == step => {
                if hosts.contains(id) {
                    self.hosts.get_mut(id).ok_or_else(|| Refused::NotInBatch(id.clone()))
                } else {
                    Err(Refused::NotInBatch(id.clone()))
                }
            }
            _ => Err(Refused::StaleStep { given: step }),
        }
    }

    fn end_host(&mut self, id: &CiId, result: HostResult) {
        let Some(host) = self.hosts.get_mut(id) else { return };
        match result {
            HostResult::Succeeded => {
                host.update_begun = true;
                host.end(HostState::Succeeded, None)
            }
            HostResult::Failed { reason, step } => {
                host.end(HostState::Failed, reason);
                host.failed_step = step;
            }
            HostResult::Unreachable { reason } => host.end(HostState::Unreachable, reason),
            HostResult::TimedOut { reason } => host.end(HostState::TimedOut, reason),
            // Stays at work: `Recover` ends it.
            HostResult::Interrupted => host.error = Some("interrupted between two steps".to_owned()),
        }
    }

    fn rolled_back(&mut self, hosts: &BTreeSet<CiId>, results: &BTreeMap<CiId, Result<(), String>>) {
        for id in hosts {
            let Some(host) = self.hosts.get_mut(id) else { continue };
            match results.get(id) {
                Some(Ok(())) => {
                    host.state = HostState::RolledBack;
                    host.update_begun = false;
                }
                Some(Err(reason)) => host.end(HostState::RollbackFailed, reason.clone()),
                None => host.end(HostState::RollbackFailed, "the rollback returned no answer".to_owned()),
            }
        }
    }

    fn recovered(&mut self, hosts: &BTreeSet<CiId>, results: &BTreeMap<CiId, Result<(), String>>) {
        let end = match &self.stop {
            // After a wait for an operator, not to end the run: it starts again.
            None => HostState::Pending,
            Some(Stop::Halted { .. } | Stop::Failed { .. }) => HostState::TimedOut,
            Some(_) => HostState::Cancelled,
        };
        for id in hosts {
            let Some(host) = self.hosts.get_mut(id) else { continue };
            match results.get(id) {
                Some(Ok(())) if end == HostState::Pending => host.end(end, None),
                Some(Ok(())) => {
                    host.end(end, "interrupted; its services run and its maintenance has ended".to_owned())
                }
                Some(Err(reason)) => {
                    host.end(HostState::Failed, format!("interrupted, and recovery failed: {reason}"))
                }
                None => {
                    host.end(HostState::Failed, "interrupted, and its recovery returned no answer".to_owned())
                }
            }
        }
    }

    fn rescanned(
        &mut self,
        hosts: &BTreeSet<CiId>,
        results: &BTreeMap<CiId, Result<(), String>>,
        now: DateTime<Utc>,
    ) {
        let unknown = hosts.iter().find_map(|id| match results.get(id) {
            Some(Ok(())) => None,
            Some(Err(reason)) => Some((id, reason.as_str())),
            None => Some((id, "the scan returned no result for it")),
        });
        match unknown {
            None => self.must_rescan = false,
            Some((id, reason)) => self.wait_for_operator(
                format!("`{id}` could not be scanned: {reason}; repair or skip it, then resume the run"),
                now,
            ),
        }
    }

    fn verified(
        &mut self,
        hosts: &BTreeSet<CiId>,
        results: &BTreeMap<CiId, Verification>,
        now: DateTime<Utc>,
    ) {
        for id in hosts {
            let reason = match results.get(id) {
                Some(Verification::Healthy) => continue,
                Some(Verification::Failed { reason }) => reason.clone(),
                Some(Verification::Inconclusive { reason }) => {
                    self.pause_inconclusive(format!("verification of `{id}` is inconclusive: {reason}"), now);
                    return;
                }
                None => {
                    self.pause_inconclusive(format!("verification of `{id}` returned no answer"), now);
                    return;
                }
            };
            if let Some(host) = self.hosts.get_mut(id) {
                host.end(HostState::Failed, format!("verification: {reason}"));
            }
        }
        self.verified = true;
    }
}

/// Why a plan has no host to work on although hosts miss updates, or may miss some; `None` if that is not so.
fn none_left(plan: &Plan) -> Option<String> {
    if !plan.subjects().is_empty() {
        return None;
    }
    let not_ready = plan.not_ready.iter().map(|(host, failures)| (host, failures_text(failures)));
    let unscanned = plan.unscanned.iter().map(|(host, reason)| (host, reason.clone()));
    let (what, mut hosts) = match (plan.not_ready.len(), plan.unscanned.len()) {
        (0, 0) => return None,
        // What could be scanned misses nothing.
        (0, _) if plan.up_to_date > 0 => return None,
        (0, _) => ("could be scanned", not_ready.chain(unscanned)),
        (_, 0) => ("is ready", not_ready.chain(unscanned)),
        _ => ("is ready or could be scanned", not_ready.chain(unscanned)),
    };
    let count = plan.not_ready.len() + plan.unscanned.len();
    let (first, reason) = hosts.next()?;
    Some(match count {
        1 if plan.not_ready.is_empty() => format!("the only host, `{first}`, could not be scanned: {reason}"),
        1 => format!("the only host, `{first}`, is not ready: {reason}"),
        _ => format!("none of {count} hosts {what}; first `{first}`: {reason}"),
    })
}
