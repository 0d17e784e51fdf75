//! How orders of operators and deadlines change the run.

use chrono::{DateTime, Utc};

use super::{
    action::Action,
    event::Refused,
    machine::{Pause, Phase, Run, Stop, seconds},
    state::{HostState, PauseCause, RunState, Stage},
};
use crate::{
    ids::CiId,
    plan::{Plan, Subject, Wave, WaveKind},
};

impl Run {
    pub(super) fn stop_by_hand(&mut self, stage: Stage, stop: Stop) -> Result<(), Refused> {
        if stage >= Stage::Reporting {
            return Err(self.not_now("its work is done and it is being reported"));
        }
        if self.stop.is_some() {
            return Err(self.not_now("it is already stopping"));
        }
        self.stop = Some(stop);
        if self.waits_for_operator() {
            self.forget_what_was_known(stage);
        }
        self.paused = None;
        self.pending.take_if(|pending| pending.action.is_interruptible());
        Ok(())
    }

    pub(super) fn pause_by_hand(
        &mut self,
        stage: Stage,
        reason: String,
        now: DateTime<Utc>,
    ) -> Result<(), Refused> {
        if stage >= Stage::Verifying || self.stop.is_some() {
            return Err(self.not_now("nothing is left to pause"));
        }
        if self.paused.is_some() {
            return Err(self.not_now("it is already paused"));
        }
        self.pause(PauseCause::Order, reason, now);
        Ok(())
    }

    /// In every stage, and again while it waits: then it gets its whole time again.
    pub(super) fn wait_for_operator(&mut self, reason: String, now: DateTime<Utc>) {
        let since = self.paused.as_ref().filter(|_| self.waits_for_operator()).map(|pause| pause.since);
        self.pause(PauseCause::NeedsOperator, reason, now);
        if let (Some(pause), Some(since)) = (&mut self.paused, since) {
            pause.since = since;
        }
    }

    pub(super) fn pause(&mut self, cause: PauseCause, reason: String, now: DateTime<Utc>) {
        self.paused = Some(Pause { reason, cause: Some(cause), since: now });
        self.deadline = Some(now + seconds(self.rules.paused_seconds));
    }

    pub(super) fn resume(
        &mut self,
        stage: Stage,
        plan: Option<&Plan>,
        now: DateTime<Utc>,
    ) -> Result<(), Refused> {
        if self.paused.is_none() {
            return Err(self.not_now("only a paused run can be resumed"));
        }
        if self.waits_for_operator() {
            self.forget_what_was_known(stage);
        }
        self.paused = None;
        self.deadline = Some(self.deadline_of(stage, plan, now));
        Ok(())
    }

    /// After a wait for an operator, the pending action may be done already, and its conditions may be false: the change, the
    /// window, the state of the hosts. All of it is requested again, and the hosts are looked at first.
    fn forget_what_was_known(&mut self, stage: Stage) {
        if stage >= Stage::Reporting {
            // The work is done, and reports can be repeated.
            return;
        }
        self.pending = None;
        self.admitted.clear();
        self.down_elsewhere.clear();
        self.verified = false;
        for host in self.hosts.values_mut().filter(|host| host.state == HostState::Snapshotting) {
            host.state = HostState::Pending;
        }
        if stage >= Stage::Snapshotting {
            self.must_rescan = true;
        } else if self.rules.replan_after_seconds.is_some() {
            self.rules.replan_after_seconds = Some(0);
        }
    }

    pub(super) fn retry_failed(
        &mut self,
        stage: Stage,
        plan: Option<&Plan>,
        now: DateTime<Utc>,
    ) -> Result<(), Refused> {
        let Some(plan) = plan.filter(|_| stage == Stage::Executing && self.paused.is_some()) else {
            return Err(self.not_now(
                "failed hosts can be retried while it is paused in execution, or by a new run after its end",
            ));
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

    pub(super) fn skip_host(
        &mut self,
        stage: Stage,
        plan: Option<&Plan>,
        id: &CiId,
        reason: String,
    ) -> Result<(), Refused> {
        let refused = |reason| Err(Refused::NotSkipped { host: id.clone(), reason });
        if stage >= Stage::Verifying || self.stop.is_some() {
            return Err(self.not_now("no further host is started"));
        }
        let Some(plan) = plan else { return Err(self.not_now("its hosts are not known yet")) };
        if plan.subject() != Subject::Host {
            return refused("only hosts can be skipped, not customers");
        }
        let Some(host) = self.hosts.get(id) else { return refused("it is not part of the run") };
        let waits = host.state == HostState::Pending;
        if !(waits || host.state.is_failure() && self.is_due(plan, id)) {
            return refused("its work has begun, or it has ended");
        }
        if self.is_last_to_prove(plan, id) {
            return refused(
                "it is the last staging or pilot host of its wave, which shows that the others may follow",
            );
        }
        if waits {
            if let Some(host) = self.hosts.get_mut(id) {
                host.end(HostState::Skipped, reason);
            }
        } else {
            self.not_retried.insert(id.clone());
        }
        // It may be all that is waited for.
        self.pending.take_if(|pending| matches!(pending.action, Action::Admit { .. }));
        Ok(())
    }

    /// Whether no other host of its staging or pilot wave is patched.
    fn is_last_to_prove(&self, plan: &Plan, id: &CiId) -> bool {
        let is_first = |wave: &&Wave| wave.kind != WaveKind::Batch && wave.hosts.contains(id);
        plan.waves.iter().find(is_first).is_some_and(|wave| {
            self.in_state(&wave.hosts, |host| host.state != HostState::Skipped)
                .iter()
                .all(|other| other == id)
        })
    }

    pub(super) fn deadline_passed(
        &mut self,
        stage: Stage,
        plan: Option<&Plan>,
        now: DateTime<Utc>,
    ) -> Result<(), Refused> {
        if self.deadline.is_some_and(|deadline| deadline > now) {
            return Err(self.not_now("its deadline has not passed"));
        }
        if self.waits_for_operator() {
            self.forget_what_was_known(stage);
        }
        if let Some(pause) = self.paused.take() {
            if stage >= Stage::Reporting {
                self.deadline = Some(now + self.allowance(stage, plan));
                return Ok(());
            }
            self.stop.get_or_insert(Stop::Cancelled {
                reason: format!("it was not resumed in time after: {}", pause.reason),
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
                self.stop.get_or_insert(Stop::Expired {
                    reason: "its change was not approved in time".to_owned(),
                });
            }
            Stage::Executing if self.stop.is_none() => {
                let waited =
                    self.hold().map(|hold| format!("; it waited: {}", hold.reason)).unwrap_or_default();
                let reason = format!("it took longer than its plan allows{waited}");
                self.stop = Some(Stop::Halted { reason });
                self.pending.take_if(|pending| pending.action.is_interruptible());
                self.deadline = Some(now + self.allowance(Stage::Verifying, plan));
            }
            Stage::Executing => {
                self.pending = None;
                for host in self.hosts.values_mut().filter(|host| host.state.is_working()) {
                    host.end(HostState::TimedOut, "it did not reach a known state in time".to_owned());
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
}
