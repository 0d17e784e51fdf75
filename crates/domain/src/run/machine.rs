//! The decisions: which event is allowed when, and what is to be done next.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    action::{Action, Pending, TestPhase},
    event::{Answer, Approval, Event, HostResult, Refused, TestRun, Verification},
    state::{HostState, Outcome, RunState, Stage},
};
use crate::{
    ids::{ChangeId, CiId},
    plan::{Intent, Plan},
};

/// A run's whole memory between two events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub progress: Progress,
    /// When the present state has lasted too long; `None` once ended.
    pub deadline: Option<DateTime<Utc>>,
    pub paused: Option<Pause>,
    /// Why no further host is begun.
    pub stop: Option<Stop>,
    pub pending: Option<Pending>,
    /// Actions asked for so far.
    pub steps: u64,
    pub wave: usize,
    pub phase: Phase,
    pub change_id: Option<ChangeId>,
    /// Tests that passed before the present wave, per host.
    pub baseline: BTreeMap<CiId, TestRun>,
    pub verified: bool,
    pub rules: Rules,
    /// Kept beside the rest, one row a host.
    #[serde(skip)]
    pub hosts: BTreeMap<CiId, HostRun>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    At(Stage),
    Ended(Outcome),
}

/// Where within a wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    TestsBefore,
    Patch,
    TestsAfter,
    Soak,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    pub reason: String,
    pub since: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Stop {
    Cancelled { reason: String },
    Halted { reason: String },
    Failed { reason: String },
    Expired { reason: String },
    RollBack { reason: String },
}

impl Stop {
    pub fn reason(&self) -> &str {
        match self {
            Self::Cancelled { reason }
            | Self::Halted { reason }
            | Self::Failed { reason }
            | Self::Expired { reason }
            | Self::RollBack { reason } => reason,
        }
    }

    fn outcome(&self) -> Outcome {
        match self {
            Self::Cancelled { .. } => Outcome::Cancelled,
            Self::Halted { .. } => Outcome::Halted,
            Self::Failed { .. } => Outcome::Failed,
            Self::Expired { .. } => Outcome::Expired,
            Self::RollBack { .. } => Outcome::RolledBack,
        }
    }
}

/// How long the states may last, and what kind of run it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Ends after PLAN.
    pub dry_run: bool,
    pub planning_seconds: u32,
    pub approval_seconds: u32,
    /// From approval to the opening of a window.
    pub validating_seconds: u32,
    pub snapshotting_seconds: u32,
    pub verifying_seconds: u32,
    /// Closing the books: long, because a change must not stay open for want of patience.
    pub reporting_seconds: u32,
    pub paused_seconds: u32,
    /// Between two looks at a change that waits for approval.
    pub poll_seconds: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            dry_run: false,
            planning_seconds: 900,
            approval_seconds: 72 * 3600,
            validating_seconds: 7 * 86_400,
            snapshotting_seconds: 3600,
            verifying_seconds: 3600,
            reporting_seconds: 86_400,
            paused_seconds: 86_400,
            poll_seconds: 2,
        }
    }
}

/// One host of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRun {
    pub state: HostState,
    /// How often its workflow was begun.
    pub attempts: u32,
    pub snapshot: Option<Uuid>,
    pub error: Option<String>,
}

impl Default for HostRun {
    fn default() -> Self {
        Self { state: HostState::Pending, attempts: 0, snapshot: None, error: None }
    }
}

impl HostRun {
    /// Something was done to it.
    pub fn was_touched(&self) -> bool {
        self.attempts > 0
    }

    pub(super) fn end(&mut self, state: HostState, error: impl Into<Option<String>>) {
        self.state = state;
        self.error = error.into();
    }
}

impl Run {
    /// A run that waits to be planned.
    pub fn new(rules: Rules, now: DateTime<Utc>) -> Self {
        let mut run = Self {
            progress: Progress::At(Stage::Scheduled),
            deadline: None,
            paused: None,
            stop: None,
            pending: None,
            steps: 0,
            wave: 0,
            phase: Phase::TestsBefore,
            change_id: None,
            baseline: BTreeMap::new(),
            verified: false,
            rules,
            hosts: BTreeMap::new(),
        };
        run.enter(Stage::Planning, None, now);
        run.ask(Action::Plan, now);
        run
    }

    /// A run under a change that exists already.
    pub fn under_change(mut self, change_id: ChangeId) -> Self {
        self.change_id = Some(change_id);
        self
    }

    pub fn state(&self) -> RunState {
        match (self.progress, &self.paused) {
            (Progress::Ended(outcome), _) => outcome.into(),
            (Progress::At(_), Some(_)) => RunState::Paused,
            (Progress::At(stage), None) => stage.into(),
        }
    }

    pub fn stage(&self) -> Option<Stage> {
        match self.progress {
            Progress::At(stage) => Some(stage),
            Progress::Ended(_) => None,
        }
    }

    /// Takes an event in. `plan` is the run's plan, once it is made. A refused event leaves the run as it was.
    pub fn apply(&mut self, plan: Option<&Plan>, event: Event, now: DateTime<Utc>) -> Result<(), Refused> {
        let Progress::At(stage) = self.progress else { return Err(Refused::Ended(self.state())) };
        match event {
            Event::Answered { step, answer } => {
                let action = self.take_pending(step)?;
                if let Err(action) = self.answered(stage, &action, answer, plan, now) {
                    // `answered` changes nothing before it has looked at the answer's kind.
                    let name = action.name();
                    self.pending = Some(Pending { step, action: action.clone(), not_before: now });
                    return Err(Refused::WrongAnswer { action: name });
                }
            }
            Event::HostProgressed { step, host, state } => self.host_progressed(step, &host, state)?,
            Event::HostFinished { step, host, result } => self.host_finished(step, &host, result)?,
            Event::Cancel { reason } => self.stop_by_hand(stage, Stop::Cancelled { reason })?,
            Event::RollBack { reason } => self.stop_by_hand(stage, Stop::RollBack { reason })?,
            Event::Pause { reason } => self.pause_by_hand(stage, reason, now)?,
            Event::Resume => self.resume(stage, plan, now)?,
            Event::RetryFailed => self.retry_failed(stage, plan, now)?,
            Event::DeadlinePassed => self.deadline_passed(stage, plan, now)?,
        }
        self.advance(plan, now);
        Ok(())
    }

    fn take_pending(&mut self, step: u64) -> Result<Action, Refused> {
        match self.pending.take_if(|pending| pending.step == step) {
            Some(pending) => Ok(pending.action),
            None => Err(Refused::StaleStep { given: step }),
        }
    }

    /// Takes the answer to `action` in; gives the action back when the answer does not fit it.
    fn answered<'a>(
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
                match self.rules.dry_run {
                    true => self.enter(Stage::Reporting, Some(plan), now),
                    false => self.enter(Stage::AwaitingApproval, Some(plan), now),
                }
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
                self.ask(Action::BeginWork { change_id: change_id.clone() }, now)
            }
            (Action::Validate { .. }, Answer::NotYet { retry_at, .. }) => {
                self.ask_at(action.clone(), retry_at.max(now))
            }
            (Action::BeginWork { .. }, Answer::WorkBegun) => self.enter(Stage::Snapshotting, plan, now),
            (
                Action::Validate { .. } | Action::BeginWork { .. },
                Answer::Invalid { reason } | Answer::CouldNot { reason },
            ) => {
                self.stop.get_or_insert(Stop::Failed { reason });
            }
            (Action::Snapshot { hosts }, Answer::Snapshots(results)) => self.snapshots_taken(hosts, &results),
            (Action::Snapshot { hosts }, Answer::CouldNot { reason }) => {
                let results = hosts.iter().map(|host| (host.clone(), Err(reason.clone()))).collect();
                self.snapshots_taken(hosts, &results);
            }
            (Action::Test { phase: TestPhase::Before, hosts }, Answer::Tests(results)) => {
                match hosts.iter().find(|host| !results.contains_key(host)) {
                    Some(host) => {
                        self.pause(format!("the tests before the wave gave no result for `{host}`"), now)
                    }
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
                self.pause(format!("the gate is inconclusive: {reason}"), now);
            }
            (Action::Patch { hosts }, Answer::Patched { mut unfinished }) => {
                for host in hosts {
                    let lost = HostResult::Failed {
                        reason: "the playbook ended without an outcome for this host".to_owned(),
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
                        self.end_host(host, HostResult::Failed { reason: reason.clone() });
                    }
                }
            }
            (Action::RollBack { hosts }, Answer::RolledBack(results)) => self.rolled_back(hosts, &results),
            (Action::RollBack { hosts }, Answer::CouldNot { reason }) => {
                let results = hosts.iter().map(|host| (host.clone(), Err(reason.clone()))).collect();
                self.rolled_back(hosts, &results);
            }
            (Action::Soak { .. }, Answer::Soaked) => self.next_wave(),
            (Action::Settle { hosts }, Answer::Settled(results)) => self.settled(hosts, &results),
            (Action::Settle { hosts }, Answer::CouldNot { reason }) => {
                let results = hosts.iter().map(|host| (host.clone(), Err(reason.clone()))).collect();
                self.settled(hosts, &results);
            }
            (Action::Verify { hosts }, Answer::Verified(results)) => self.verified(hosts, &results, now),
            (Action::Verify { .. }, Answer::CouldNot { reason }) => {
                self.pause(format!("verification is inconclusive: {reason}"), now);
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

    /// Takes the hosts of a plan up.
    fn adopt(&mut self, plan: &Plan) {
        self.hosts = plan.targets.keys().map(|id| (id.clone(), HostRun::default())).collect();
        if let Intent::Rollback { snapshots, .. } = &plan.intent {
            for (id, host) in &mut self.hosts {
                host.snapshot = snapshots.get(id).copied();
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
                None => host.end(HostState::Skipped, "not patched: its snapshot gave no answer".to_owned()),
            }
        }
    }

    fn tests_after(&mut self, hosts: &BTreeSet<CiId>, results: &BTreeMap<CiId, TestRun>, now: DateTime<Utc>) {
        let mut regressions = Vec::new();
        for host in hosts {
            let Some(after) = results.get(host) else {
                self.pause(
                    format!("the gate is inconclusive: the tests after the wave gave no result for `{host}`"),
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

    fn host_progressed(&mut self, step: u64, id: &CiId, state: HostState) -> Result<(), Refused> {
        let host = self.host_in_batch(step, id)?;
        if state.is_working() && host.state.is_working() {
            host.state = state;
        }
        Ok(())
    }

    fn host_finished(&mut self, step: u64, id: &CiId, result: HostResult) -> Result<(), Refused> {
        if self.host_in_batch(step, id)?.state.is_working() {
            self.end_host(id, result);
        }
        Ok(())
    }

    fn host_in_batch(&mut self, step: u64, id: &CiId) -> Result<&mut HostRun, Refused> {
        match &self.pending {
            Some(Pending { step: current, action: Action::Patch { hosts }, .. }) if *current == step => {
                match hosts.contains(id) {
                    true => self.hosts.get_mut(id).ok_or_else(|| Refused::NotInBatch(id.clone())),
                    false => Err(Refused::NotInBatch(id.clone())),
                }
            }
            _ => Err(Refused::StaleStep { given: step }),
        }
    }

    fn end_host(&mut self, id: &CiId, result: HostResult) {
        let Some(host) = self.hosts.get_mut(id) else { return };
        match result {
            HostResult::Succeeded => host.end(HostState::Succeeded, None),
            HostResult::Failed { reason } => host.end(HostState::Failed, reason),
            HostResult::Unreachable { reason } => host.end(HostState::Unreachable, reason),
            HostResult::TimedOut { reason } => host.end(HostState::TimedOut, reason),
            // Stays at work: `Settle` brings it to its end.
            HostResult::Interrupted => host.error = Some("interrupted between two steps".to_owned()),
        }
    }

    fn rolled_back(&mut self, hosts: &BTreeSet<CiId>, results: &BTreeMap<CiId, Result<(), String>>) {
        for id in hosts {
            let Some(host) = self.hosts.get_mut(id) else { continue };
            match results.get(id) {
                Some(Ok(())) => host.state = HostState::RolledBack,
                Some(Err(reason)) => host.end(HostState::RollbackFailed, reason.clone()),
                None => host.end(HostState::RollbackFailed, "the rollback gave no answer".to_owned()),
            }
        }
    }

    fn settled(&mut self, hosts: &BTreeSet<CiId>, results: &BTreeMap<CiId, Result<(), String>>) {
        let timed_out = matches!(self.stop, Some(Stop::Halted { .. } | Stop::Failed { .. }));
        for id in hosts {
            let Some(host) = self.hosts.get_mut(id) else { continue };
            let end = if timed_out { HostState::TimedOut } else { HostState::Cancelled };
            match results.get(id) {
                Some(Ok(())) => {
                    host.end(end, "interrupted; its services run and its maintenance has ended".to_owned())
                }
                Some(Err(reason)) => {
                    host.end(HostState::Failed, format!("interrupted, and could not be settled: {reason}"))
                }
                None => host.end(HostState::Failed, "interrupted, and settling it gave no answer".to_owned()),
            }
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
                    self.pause(format!("verification of `{id}` is inconclusive: {reason}"), now);
                    return;
                }
                None => {
                    self.pause(format!("verification of `{id}` gave no answer"), now);
                    return;
                }
            };
            if let Some(host) = self.hosts.get_mut(id) {
                host.end(HostState::Failed, format!("verification: {reason}"));
            }
        }
        self.verified = true;
    }

    fn stop_by_hand(&mut self, stage: Stage, stop: Stop) -> Result<(), Refused> {
        if stage >= Stage::Reporting {
            return Err(self.not_now("its work is done and being reported"));
        }
        if self.stop.is_some() {
            return Err(self.not_now("it is stopping already"));
        }
        self.stop = Some(stop);
        self.paused = None;
        self.pending.take_if(|pending| pending.action.is_interruptible());
        Ok(())
    }

    fn pause_by_hand(&mut self, stage: Stage, reason: String, now: DateTime<Utc>) -> Result<(), Refused> {
        if stage >= Stage::Verifying || self.stop.is_some() {
            return Err(self.not_now("there is nothing left that could wait"));
        }
        if self.paused.is_some() {
            return Err(self.not_now("it is paused already"));
        }
        self.pause(reason, now);
        Ok(())
    }

    fn pause(&mut self, reason: String, now: DateTime<Utc>) {
        self.paused = Some(Pause { reason, since: now });
        self.deadline = Some(now + seconds(self.rules.paused_seconds));
    }

    fn resume(&mut self, stage: Stage, plan: Option<&Plan>, now: DateTime<Utc>) -> Result<(), Refused> {
        if self.paused.take().is_none() {
            return Err(self.not_now("only a paused run can be resumed"));
        }
        self.deadline = Some(now + self.allowance(stage, plan));
        Ok(())
    }

    fn retry_failed(&mut self, stage: Stage, plan: Option<&Plan>, now: DateTime<Utc>) -> Result<(), Refused> {
        let Some(plan) = plan.filter(|_| stage == Stage::Executing && self.paused.is_some()) else {
            return Err(self.not_now("failed hosts can be tried again while it is paused in execution, or by a new run after its end"));
        };
        let failed: Vec<CiId> =
            self.hosts.iter().filter(|(_, host)| host.state.is_failure()).map(|(id, _)| id.clone()).collect();
        let Some(first) = failed.iter().filter_map(|id| plan.wave_of(id)).min() else {
            return Err(self.not_now("no host has failed"));
        };
        for id in failed {
            if let Some(host) = self.hosts.get_mut(&id) {
                host.attempts = 0;
                host.end(HostState::Pending, None);
            }
        }
        self.wave = self.wave.min(first);
        self.phase = Phase::Patch;
        self.resume(stage, Some(plan), now)
    }

    fn deadline_passed(
        &mut self,
        stage: Stage,
        plan: Option<&Plan>,
        now: DateTime<Utc>,
    ) -> Result<(), Refused> {
        if self.deadline.is_some_and(|deadline| deadline > now) {
            return Err(self.not_now("its deadline has not come"));
        }
        if let Some(pause) = self.paused.take() {
            self.stop.get_or_insert(Stop::Cancelled {
                reason: format!("nobody resumed it in time after: {}", pause.reason),
            });
            self.deadline = Some(now + self.allowance(stage, plan));
            return Ok(());
        }
        match stage {
            Stage::Scheduled | Stage::Planning | Stage::Validating | Stage::Snapshotting => {
                self.pending = None;
                let reason = format!("it was `{}` for longer than is allowed", RunState::from(stage).name());
                self.stop.get_or_insert(Stop::Failed { reason });
            }
            Stage::AwaitingApproval => {
                self.pending = None;
                self.stop
                    .get_or_insert(Stop::Expired { reason: "nobody approved its change in time".to_owned() });
            }
            Stage::Executing if self.stop.is_none() => {
                self.stop = Some(Stop::Halted { reason: "it took longer than its plan allows".to_owned() });
                self.pending.take_if(|pending| pending.action.is_interruptible());
                self.deadline = Some(now + self.allowance(Stage::Verifying, plan));
            }
            Stage::Executing => {
                self.pending = None;
                for host in self.hosts.values_mut().filter(|host| host.state.is_working()) {
                    host.end(
                        HostState::TimedOut,
                        "it could not be brought to a stated end in time".to_owned(),
                    );
                }
                self.enter(Stage::Verifying, plan, now);
            }
            Stage::Verifying => {
                self.pending = None;
                self.stop.get_or_insert(Stop::Failed {
                    reason: "verification took longer than is allowed".to_owned(),
                });
                self.enter(Stage::Reporting, plan, now);
            }
            Stage::Reporting => {
                self.pending = None;
                self.stop.get_or_insert(Stop::Failed {
                    reason: "its change and CIs could not be brought up to date in time".to_owned(),
                });
                self.enter(Stage::Alerting, plan, now);
            }
            Stage::Alerting => self.finish(plan),
        }
        Ok(())
    }

    pub(super) fn next_wave(&mut self) {
        self.wave += 1;
        self.phase = Phase::TestsBefore;
        self.baseline.clear();
    }

    pub(super) fn in_state(&self, ids: &[CiId], wanted: impl Fn(&HostRun) -> bool) -> Vec<CiId> {
        ids.iter().filter(|id| self.hosts.get(*id).is_some_and(&wanted)).cloned().collect()
    }

    pub(super) fn ask(&mut self, action: Action, now: DateTime<Utc>) {
        self.ask_at(action, now);
    }

    fn ask_at(&mut self, action: Action, not_before: DateTime<Utc>) {
        self.steps += 1;
        self.pending = Some(Pending { step: self.steps, action, not_before });
    }

    pub(super) fn enter(&mut self, stage: Stage, plan: Option<&Plan>, now: DateTime<Utc>) {
        self.progress = Progress::At(stage);
        self.deadline = Some(now + self.allowance(stage, plan));
    }

    /// How long a stage may last.
    fn allowance(&self, stage: Stage, plan: Option<&Plan>) -> TimeDelta {
        match stage {
            Stage::Scheduled | Stage::Planning => seconds(self.rules.planning_seconds),
            Stage::AwaitingApproval => seconds(self.rules.approval_seconds),
            Stage::Validating => seconds(self.rules.validating_seconds),
            Stage::Snapshotting => seconds(self.rules.snapshotting_seconds),
            Stage::Executing => plan.map_or(seconds(self.rules.verifying_seconds), execution_allowance),
            Stage::Verifying => seconds(self.rules.verifying_seconds),
            Stage::Reporting | Stage::Alerting => seconds(self.rules.reporting_seconds),
        }
    }

    fn finish(&mut self, plan: Option<&Plan>) {
        let reason = match &self.stop {
            Some(stop) => format!("not begun: {}", stop.reason()),
            None => "not begun: only the plan was asked for".to_owned(),
        };
        for host in self.hosts.values_mut().filter(|host| !host.state.is_final()) {
            host.end(HostState::Skipped, reason.clone());
        }
        self.progress = Progress::Ended(self.outcome(plan));
        self.deadline = None;
        self.pending = None;
        self.paused = None;
    }

    fn outcome(&self, plan: Option<&Plan>) -> Outcome {
        if let Some(stop) = &self.stop {
            return stop.outcome();
        }
        let wanted = match plan.map(|plan| &plan.intent) {
            Some(Intent::Rollback { .. }) => HostState::RolledBack,
            _ => HostState::Succeeded,
        };
        let reached = self.hosts.values().filter(|host| host.state == wanted).count();
        match (reached, self.hosts.len()) {
            _ if self.rules.dry_run => Outcome::Succeeded,
            (reached, all) if reached == all && wanted == HostState::RolledBack => Outcome::RolledBack,
            (reached, all) if reached == all => Outcome::Succeeded,
            (0, _) => Outcome::Failed,
            _ => Outcome::CompletedWithErrors,
        }
    }

    fn not_now(&self, reason: &'static str) -> Refused {
        Refused::NotNow { state: self.state(), reason }
    }
}

/// Each wave may use the whole time of its hosts once per try, its tests and its soak; an hour is for the rest.
fn execution_allowance(plan: &Plan) -> TimeDelta {
    let per_wave = |soak: u32| {
        seconds(plan.workflow.host_timeout_seconds) * (plan.limits.retries as i32 + 2) + seconds(soak)
    };
    plan.waves.iter().fold(TimeDelta::hours(1), |sum, wave| sum + per_wave(wave.gate.soak_seconds))
}

pub(super) fn seconds(seconds: u32) -> TimeDelta {
    TimeDelta::seconds(i64::from(seconds))
}
