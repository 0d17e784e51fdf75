//! The decisions: which event is allowed when, and what comes next.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    action::{Action, Hold, Pending},
    event::{Event, Refused, TestRun},
    state::{HostState, Outcome, PauseCause, RunState, Stage},
};
use crate::{
    ids::{ChangeId, CiId},
    plan::{Intent, Plan, Wave},
    workflow::WorkflowStep,
};

/// Seconds that the snapshot of one host may add to the time of all, and its verification.
const SNAPSHOT_SECONDS: u32 = 10;
const VERIFICATION_SECONDS: u32 = 5;
/// Limit of batches times tries, so that no sum of times overflows.
const MAX_TRIES: i32 = 100_000;
/// A month: no stage needs longer, however many hosts there are.
const MAX_WORK_SECONDS: i64 = 30 * 86_400;

/// The whole state of a run between two events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub progress: Progress,
    /// The deadline of the current state; `None` once the run has ended.
    pub deadline: Option<DateTime<Utc>>,
    pub paused: Option<Pause>,
    /// Why no further host is started.
    pub stop: Option<Stop>,
    pub pending: Option<Pending>,
    /// Actions requested so far.
    pub steps: u64,
    pub wave: usize,
    pub phase: Phase,
    pub change_id: Option<ChangeId>,
    /// When its plan was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_at: Option<DateTime<Utc>>,
    /// Tests that passed before the current wave, per host.
    pub baseline: BTreeMap<CiId, TestRun>,
    pub verified: bool,
    /// Hosts of the current wave that may start. Hosts are admitted for one batch, customers until each is deployed to.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub admitted: BTreeSet<CiId>,
    /// Hosts that were down at the last admission for a reason outside this run. They are missing from their services.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub down_elsewhere: BTreeSet<CiId>,
    /// Failed hosts that are not tried again, because no remaining opening is long enough.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub not_retried: BTreeSet<CiId>,
    /// When each finished wave ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves_ended: Vec<DateTime<Utc>>,
    /// Before anything else, its hosts are looked at: it waited for an operator.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub must_rescan: bool,
    pub rules: Rules,
    /// Stored separately, one row per host.
    #[serde(skip)]
    pub hosts: BTreeMap<CiId, HostRun>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    At(Stage),
    Ended(Outcome),
}

/// The position within a wave.
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
    /// Absent in runs that were paused before causes were stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<PauseCause>,
    pub since: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Stop {
    Cancelled {
        reason: String,
    },
    Halted {
        reason: String,
    },
    Failed {
        reason: String,
    },
    Expired {
        reason: String,
    },
    /// The plan has changed too much since it was approved.
    Voided {
        reason: String,
    },
    RollBack {
        reason: String,
    },
}

impl Stop {
    pub fn reason(&self) -> &str {
        match self {
            Self::Cancelled { reason }
            | Self::Halted { reason }
            | Self::Failed { reason }
            | Self::Expired { reason }
            | Self::Voided { reason }
            | Self::RollBack { reason } => reason,
        }
    }

    fn outcome(&self) -> Outcome {
        match self {
            Self::Cancelled { .. } => Outcome::Cancelled,
            Self::Halted { .. } => Outcome::Halted,
            Self::Failed { .. } => Outcome::Failed,
            Self::Expired { .. } => Outcome::Expired,
            Self::Voided { .. } => Outcome::Voided,
            Self::RollBack { .. } => Outcome::RolledBack,
        }
    }
}

/// How long each state may last, and what kind of run it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The run ends after PLAN.
    pub dry_run: bool,
    pub planning_seconds: u32,
    pub approval_seconds: u32,
    /// The slot that the run is planned ahead for. Its approval may come until then, however short `approval_seconds` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<DateTime<Utc>>,
    /// A plan that is older when the work is to begin is made again and compared with the approved one; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replan_after_seconds: Option<u32>,
    /// From approval to the opening of a window.
    pub validating_seconds: u32,
    pub snapshotting_seconds: u32,
    pub verifying_seconds: u32,
    /// Reporting: long, because a change must not stay open only because time ran out.
    pub reporting_seconds: u32,
    pub paused_seconds: u32,
    /// Interval between checks of a change that waits for approval.
    pub poll_seconds: u32,
    /// Interval between checks whether hosts outside the run are up again.
    #[serde(default = "members_seconds")]
    pub members_seconds: u32,
}

fn members_seconds() -> u32 {
    60
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            dry_run: false,
            planning_seconds: 900,
            approval_seconds: 72 * 3600,
            slot: None,
            replan_after_seconds: None,
            validating_seconds: 7 * 86_400,
            snapshotting_seconds: 3600,
            verifying_seconds: 3600,
            reporting_seconds: 86_400,
            paused_seconds: 86_400,
            poll_seconds: 2,
            members_seconds: members_seconds(),
        }
    }
}

/// One host of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRun {
    pub state: HostState,
    /// How often its workflow was started.
    pub attempts: u32,
    pub snapshot: Option<Uuid>,
    /// Its update has begun and was not undone. Before that there is nothing to roll back.
    #[serde(default)]
    pub update_begun: bool,
    pub error: Option<String>,
    /// The step of its workflow at which it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_step: Option<WorkflowStep>,
}

impl Default for HostRun {
    fn default() -> Self {
        Self {
            state: HostState::Pending,
            attempts: 0,
            snapshot: None,
            update_begun: false,
            error: None,
            failed_step: None,
        }
    }
}

impl HostRun {
    /// It was changed.
    pub fn was_touched(&self) -> bool {
        self.attempts > 0
    }

    /// It is not as the run should leave it.
    pub fn has_failed(&self) -> bool {
        self.state.has_failed(self.error.as_deref())
    }

    pub(super) fn end(&mut self, state: HostState, error: impl Into<Option<String>>) {
        self.state = state;
        self.error = error.into();
        self.failed_step = None;
    }
}

impl Run {
    /// A new run that waits to be planned.
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
            planned_at: None,
            baseline: BTreeMap::new(),
            verified: false,
            admitted: BTreeSet::new(),
            down_elsewhere: BTreeSet::new(),
            not_retried: BTreeSet::new(),
            waves_ended: Vec::new(),
            must_rescan: false,
            rules,
            hosts: BTreeMap::new(),
        };
        run.enter(Stage::Planning, None, now);
        run.ask(Action::Plan, now);
        run
    }

    /// A run under an existing change.
    pub fn under_change(mut self, change_id: ChangeId) -> Self {
        self.change_id = Some(change_id);
        self
    }

    pub fn state(&self) -> RunState {
        match (self.progress, &self.paused) {
            (Progress::Ended(outcome), _) => outcome.into(),
            (Progress::At(_), Some(_)) => RunState::Paused,
            (Progress::At(_), None) if self.hold().is_some_and(|hold| hold.cause.is_calendar()) => {
                RunState::AwaitingWindow
            }
            (Progress::At(stage), None) => stage.into(),
        }
    }

    /// Whether nothing is performed, not even the pending action, until an operator decides.
    pub fn waits_for_operator(&self) -> bool {
        self.paused.as_ref().is_some_and(|pause| pause.cause == Some(PauseCause::NeedsOperator))
    }

    /// What it waits for before it can go on.
    pub fn hold(&self) -> Option<&Hold> {
        self.pending.as_ref()?.hold.as_ref()
    }

    pub fn stage(&self) -> Option<Stage> {
        match self.progress {
            Progress::At(stage) => Some(stage),
            Progress::Ended(_) => None,
        }
    }

    /// Applies an event. `plan` is the run's plan, once it is made. A refused event leaves the run unchanged.
    pub fn apply(&mut self, plan: Option<&Plan>, event: Event, now: DateTime<Utc>) -> Result<(), Refused> {
        let Progress::At(stage) = self.progress else { return Err(Refused::Ended(self.state())) };
        match event {
            Event::Answered { step, answer } => {
                let action = self.take_pending(step)?;
                if let Err(action) = self.answered(stage, &action, answer, plan, now) {
                    // `answered` changes nothing before it has checked the answer's kind.
                    let name = action.name();
                    self.pending =
                        Some(Pending { step, action: action.clone(), not_before: now, hold: None });
                    return Err(Refused::WrongAnswer { action: name });
                }
            }
            Event::HostProgressed { step, host, state } => self.host_progressed(step, &host, state)?,
            Event::HostFinished { step, host, result } => self.host_finished(step, &host, result)?,
            Event::TakesLonger { step, seconds } => self.extend_deadline(stage, step, seconds, plan, now)?,
            Event::HostUnhealthy { host, reason } => self.host_unhealthy(stage, &host, reason)?,
            Event::Cancel { reason } => self.stop_by_hand(stage, Stop::Cancelled { reason })?,
            Event::RollBack { reason } => self.stop_by_hand(stage, Stop::RollBack { reason })?,
            Event::Pause { reason } => self.pause_by_hand(stage, reason, now)?,
            Event::NeedsOperator { reason } => self.wait_for_operator(reason, now),
            Event::Resume => self.resume(stage, plan, now)?,
            Event::RetryFailed => self.retry_failed(stage, plan, now)?,
            Event::SkipHost { host, reason } => self.skip_host(stage, plan, &host, reason)?,
            Event::DeadlinePassed => self.deadline_passed(stage, plan, now)?,
        }
        self.advance(plan, now);
        Ok(())
    }

    /// Allows the pending action more time, from now on and in addition to what its stage has.
    fn extend_deadline(
        &mut self,
        stage: Stage,
        step: u64,
        more: u32,
        plan: Option<&Plan>,
        now: DateTime<Utc>,
    ) -> Result<(), Refused> {
        if self.pending.as_ref().is_none_or(|pending| pending.step != step) {
            return Err(Refused::StaleStep { given: step });
        }
        let more = seconds(more).min(TimeDelta::seconds(MAX_WORK_SECONDS));
        // A stop and a pause have deadlines of their own.
        if self.stop.is_none() && self.paused.is_none() {
            self.deadline = self.deadline.max(Some(self.deadline_of(stage, plan, now) + more));
        }
        Ok(())
    }

    fn take_pending(&mut self, step: u64) -> Result<Action, Refused> {
        match self.pending.take_if(|pending| pending.step == step) {
            Some(pending) => Ok(pending.action),
            None => Err(Refused::StaleStep { given: step }),
        }
    }

    pub(super) fn next_wave(&mut self, now: DateTime<Utc>) {
        self.wave += 1;
        self.phase = Phase::TestsBefore;
        self.baseline.clear();
        self.admitted.clear();
        self.waves_ended.push(now);
    }

    pub(super) fn in_state(&self, ids: &[CiId], wanted: impl Fn(&HostRun) -> bool) -> Vec<CiId> {
        ids.iter().filter(|id| self.hosts.get(*id).is_some_and(&wanted)).cloned().collect()
    }

    pub(super) fn ask(&mut self, action: Action, now: DateTime<Utc>) {
        self.ask_at(action, now);
    }

    pub(super) fn ask_at(&mut self, action: Action, not_before: DateTime<Utc>) {
        self.steps += 1;
        self.pending = Some(Pending { step: self.steps, action, not_before, hold: None });
    }

    /// Asks for the action again when what it waits for may have come.
    pub(super) fn hold_until(
        &mut self,
        action: Action,
        until: DateTime<Utc>,
        hold: Hold,
        now: DateTime<Utc>,
    ) {
        let until = until.max(now);
        if hold.cause.is_calendar() {
            self.deadline = self.deadline.map(|deadline| deadline + (until - now));
        }
        self.steps += 1;
        self.pending = Some(Pending { step: self.steps, action, not_before: until, hold: Some(hold) });
    }

    pub(super) fn enter(&mut self, stage: Stage, plan: Option<&Plan>, now: DateTime<Utc>) {
        self.progress = Progress::At(stage);
        self.deadline = Some(self.deadline_of(stage, plan, now));
    }

    /// When a stage that begins now must have ended.
    pub(super) fn deadline_of(&self, stage: Stage, plan: Option<&Plan>, now: DateTime<Utc>) -> DateTime<Utc> {
        let deadline = now + self.allowance(stage, plan);
        match (stage, self.rules.slot) {
            (Stage::AwaitingApproval, Some(slot)) => deadline.max(slot),
            _ => deadline,
        }
    }

    /// Whether the plan is so old that it must be made again before the work begins.
    pub(super) fn must_plan_again(&self, now: DateTime<Utc>) -> bool {
        let oldest = self.rules.replan_after_seconds.map(seconds);
        self.planned_at.zip(oldest).is_some_and(|(planned, oldest)| now - planned >= oldest)
    }

    /// How long a stage may last.
    pub(super) fn allowance(&self, stage: Stage, plan: Option<&Plan>) -> TimeDelta {
        match stage {
            Stage::Scheduled | Stage::Planning => seconds(self.rules.planning_seconds),
            Stage::AwaitingApproval => seconds(self.rules.approval_seconds),
            Stage::Validating => seconds(self.rules.validating_seconds),
            Stage::Snapshotting => seconds(self.rules.snapshotting_seconds) + self.work(SNAPSHOT_SECONDS),
            Stage::Executing => plan.map_or(seconds(self.rules.verifying_seconds), execution_allowance),
            Stage::Verifying => seconds(self.rules.verifying_seconds) + self.work(VERIFICATION_SECONDS),
            Stage::Reporting | Stage::Alerting => seconds(self.rules.reporting_seconds),
        }
    }

    /// Time that grows with the hosts of the run.
    fn work(&self, seconds_of_host: u32) -> TimeDelta {
        let hosts = i64::try_from(self.hosts.len()).unwrap_or(i64::MAX);
        TimeDelta::seconds(hosts.saturating_mul(i64::from(seconds_of_host)).min(MAX_WORK_SECONDS))
    }

    pub(super) fn finish(&mut self, plan: Option<&Plan>) {
        let reason = match &self.stop {
            Some(stop) => format!("not started: {}", stop.reason()),
            None => "not started: only a plan was requested".to_owned(),
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
        let left_behind = plan.is_some_and(|plan| !plan.unscanned.is_empty() || !plan.not_ready.is_empty());
        match (reached, self.hosts.len()) {
            _ if self.rules.dry_run && left_behind => Outcome::CompletedWithErrors,
            _ if self.rules.dry_run => Outcome::Succeeded,
            (reached, all) if reached == all && wanted == HostState::RolledBack => Outcome::RolledBack,
            (reached, all) if reached == all => Outcome::Succeeded,
            // What could be scanned misses nothing.
            (0, _) if plan.is_some_and(|plan| plan.targets.is_empty() && plan.up_to_date > 0) => {
                Outcome::CompletedWithErrors
            }
            (0, _) => Outcome::Failed,
            _ => Outcome::CompletedWithErrors,
        }
    }

    pub(super) fn not_now(&self, reason: &'static str) -> Refused {
        Refused::NotNow { state: self.state(), reason }
    }
}

/// Each batch of a wave may use the whole time of its hosts once per try, its tests and its soak; one hour is for everything
/// else.
fn execution_allowance(plan: &Plan) -> TimeDelta {
    let per_wave = |wave: &Wave| {
        let waits = wave.start.as_ref().map_or(0, |start| start.longest_wait_seconds);
        let checks = wave.checks.iter().map(|check| seconds(check.timeout_seconds)).sum::<TimeDelta>();
        let batches = i32::try_from(wave.hosts.len().div_ceil(plan.limits.batch_size())).unwrap_or(i32::MAX);
        let tries = i32::try_from(plan.limits.retries).unwrap_or(i32::MAX).saturating_add(2);
        seconds(plan.workflow.host_timeout_seconds) * tries.saturating_mul(batches.max(1)).min(MAX_TRIES)
            + seconds(wave.gate.soak_seconds)
            + seconds(waits)
            + checks
    };
    plan.waves.iter().fold(TimeDelta::hours(1), |sum, wave| sum + per_wave(wave))
}

pub(super) fn seconds(seconds: u32) -> TimeDelta {
    TimeDelta::seconds(i64::from(seconds))
}
