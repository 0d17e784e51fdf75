//! A rollout played in virtual time by the same machine that decides the real one.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{
    admission::{Admission, CustomerFacts, Facts, admit},
    deployment::Direction,
    version::Version,
};
use crate::{
    ids::{ChangeId, CiId},
    plan::Plan,
    run::{
        Action, Answer, Approval, Event, HostResult, HostState, Progress, Rules, Run, RunState, Verification,
        WaitCause,
    },
    selector::Tags,
};

/// The assumptions under which the plan is played.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Imagined {
    /// Duration of all validation checks together.
    pub check_seconds: u32,
    /// Duration of all smoke tests together.
    pub smoke_test_seconds: u32,
    /// Duration of one customer's deployment or rollback.
    pub deployment_seconds: u32,
    pub approval_seconds: u32,
    /// Customers that become unhealthy, and how many seconds after their deployment.
    pub unhealthy: BTreeMap<CiId, u32>,
    /// Customers whose deployment fails.
    pub failing: BTreeSet<CiId>,
}

impl Default for Imagined {
    fn default() -> Self {
        Self {
            check_seconds: 900,
            smoke_test_seconds: 60,
            deployment_seconds: 300,
            approval_seconds: 0,
            unhealthy: BTreeMap::new(),
            failing: BTreeSet::new(),
        }
    }
}

/// The timeline of a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Timeline {
    pub began_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
    pub outcome: RunState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub rows: Vec<TimelineRow>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TimelineRow {
    pub at: DateTime<Utc>,
    pub wave: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customer: Option<CiId>,
    pub what: Happening,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Happening {
    CheckBegan,
    CheckPassed,
    Waiting,
    #[serde(rename = "begun")]
    Started,
    Deployed,
    Failed,
    Unhealthy,
    RolledBack,
    LeftOut,
    Ended,
}

/// More steps than any rollout of this many customers takes.
const MOST_STEPS: usize = 100_000;

/// Names of the freezes that hold a customer with these tags at an instant.
pub type Freezes<'a> = dyn Fn(DateTime<Utc>, &Tags) -> Vec<String> + 'a;

/// Plays `plan` from `began_at` on, with the known freezes.
pub fn simulate(
    plan: &Plan,
    imagined: &Imagined,
    began_at: DateTime<Utc>,
    freezes: &Freezes<'_>,
) -> Timeline {
    let mut world = World {
        plan,
        imagined,
        freezes,
        run: Run::new(Rules::default(), began_at),
        now: began_at,
        began_at,
        unhealthy: BTreeMap::new(),
        deployed: BTreeMap::new(),
        noticed_at: None,
        rows: Vec::new(),
    };
    world.play();
    // A check is recorded when it is over, with the time of its start.
    world.rows.sort_by_key(|row| row.at);
    let ended_at = world.now;
    let outcome = world.run.state();
    let reason = world.run.stop.as_ref().map(|stop| stop.reason().to_owned());
    Timeline { began_at, ended_at, outcome, reason, rows: world.rows }
}

struct World<'a> {
    plan: &'a Plan,
    imagined: &'a Imagined,
    freezes: &'a Freezes<'a>,
    run: Run,
    now: DateTime<Utc>,
    began_at: DateTime<Utc>,
    /// When each customer that becomes unhealthy does so.
    unhealthy: BTreeMap<CiId, DateTime<Utc>>,
    deployed: BTreeMap<CiId, (Version, DateTime<Utc>)>,
    noticed_at: Option<DateTime<Utc>>,
    rows: Vec<TimelineRow>,
}

impl World<'_> {
    fn play(&mut self) {
        let mut due: Option<(u64, DateTime<Utc>)> = None;
        for _ in 0..MOST_STEPS {
            if matches!(self.run.progress, Progress::Ended(_)) {
                break;
            }
            let Some(pending) = self.run.pending.clone() else { break };
            let begins = pending.not_before.max(self.now);
            // An action in progress keeps its end while other events happen.
            let ends = match due {
                Some((step, ends)) if step == pending.step => ends,
                _ => begins + self.takes(&pending.action),
            };
            due = Some((pending.step, ends));
            let next = self.unhealthy.iter().min_by_key(|(_, at)| **at).map(|(id, at)| (id.clone(), *at));
            if let Some((customer, at)) = next.filter(|(_, at)| *at < ends) {
                self.now = self.now.max(at);
                self.turn_unhealthy(customer);
                continue;
            }
            self.now = self.now.max(ends);
            let answer = self.perform(&pending.action, pending.step);
            let event = Event::Answered { step: pending.step, answer };
            if self.run.apply(Some(self.plan), event, self.now).is_err() {
                break;
            }
        }
        let reason = self.run.stop.as_ref().map_or(String::new(), |stop| format!(": {}", stop.reason()));
        self.row("", None, Happening::Ended, format!("{}{reason}", self.run.state().name()));
    }

    fn takes(&self, action: &Action) -> TimeDelta {
        let seconds = |seconds: u32| TimeDelta::seconds(i64::from(seconds));
        match action {
            Action::RunChecks { wave } => match self.plan.waves.get(*wave) {
                Some(wave) if !wave.hosts.is_empty() => seconds(self.imagined.smoke_test_seconds),
                _ => seconds(self.imagined.check_seconds),
            },
            Action::Patch { .. } | Action::RollBack { .. } => seconds(self.imagined.deployment_seconds),
            Action::CheckChange { .. } => seconds(self.imagined.approval_seconds),
            Action::Soak { until } => (*until - self.now).max(TimeDelta::zero()),
            _ => TimeDelta::zero(),
        }
    }

    fn turn_unhealthy(&mut self, customer: CiId) {
        self.unhealthy.remove(&customer);
        let reason = "its health is bad (imagined)".to_owned();
        let event = Event::HostUnhealthy { host: customer.clone(), reason: reason.clone() };
        if self.run.apply(Some(self.plan), event, self.now).is_ok() {
            self.row(&self.wave_of(&customer), Some(customer), Happening::Unhealthy, reason);
        }
    }

    fn perform(&mut self, action: &Action, step: u64) -> Answer {
        match action {
            Action::Plan => Answer::Planned,
            Action::OpenChange => match ChangeId::new("CHG0000000") {
                Ok(change_id) => Answer::ChangeOpened { change_id },
                Err(error) => Answer::CouldNot { reason: error.to_string() },
            },
            Action::CheckChange { .. } => Answer::ChangeIs(Approval::Approved),
            Action::Validate { .. } => Answer::Valid,
            Action::Replan { .. } => Answer::PlanHolds { gone: BTreeMap::new() },
            Action::BeginWork { .. } => Answer::WorkBegun,
            Action::Snapshot { .. } => Answer::Snapshots(BTreeMap::new()),
            Action::Test { .. } => Answer::Tests(BTreeMap::new()),
            Action::Admit { wave, hosts } => self.open(*wave, hosts),
            Action::RunChecks { wave } => {
                let Some(checked) = self.plan.waves.get(*wave) else { return Answer::Valid };
                let began_at = self.now - self.takes(action);
                for check in &checked.checks {
                    self.row_at(began_at, &checked.name, None, Happening::CheckBegan, check.name.clone());
                }
                let text = match checked.checks.as_slice() {
                    [] => "there is nothing to check".to_owned(),
                    [only] => format!("{} passed", only.name),
                    all => format!("{} checks passed", all.len()),
                };
                self.row(&checked.name, None, Happening::CheckPassed, text);
                Answer::Valid
            }
            Action::Patch { hosts } => self.deploy(hosts, step),
            Action::RollBack { hosts } => {
                for id in hosts {
                    self.deployed.remove(id);
                    let to =
                        self.plan.deployment().and_then(|d| d.customers.get(id)).map(|target| target.from);
                    let text = to.map_or_else(String::new, |to| format!("rolled back to {to}"));
                    self.row(&self.wave_of(id), Some(id.clone()), Happening::RolledBack, text);
                }
                Answer::RolledBack(hosts.iter().map(|id| (id.clone(), Ok(()))).collect())
            }
            Action::Soak { .. } => Answer::Soaked,
            Action::Rescan { hosts } => {
                Answer::Rescanned(hosts.iter().map(|id| (id.clone(), Ok(()))).collect())
            }
            Action::Recover { hosts } => {
                Answer::Recovered(hosts.iter().map(|id| (id.clone(), Ok(()))).collect())
            }
            Action::Verify { hosts } => {
                Answer::Verified(hosts.iter().map(|id| (id.clone(), Verification::Healthy)).collect())
            }
            Action::Report => Answer::Reported,
            Action::Alert => Answer::Alerted,
        }
    }

    fn open(&mut self, wave: usize, hosts: &BTreeSet<CiId>) -> Answer {
        // Notices are sent with the demo, so that their time counts from the earliest moment.
        let noticed_at = *self.noticed_at.get_or_insert(self.now);
        let name = self.plan.waves.get(wave).map(|wave| wave.name.clone()).unwrap_or_default();
        let demo = self.plan.waves.iter().position(|wave| wave.name == "demo");
        // Most customers have the same tags, and freezes are queried often.
        let mut frozen: BTreeMap<&Tags, Vec<String>> = BTreeMap::new();
        if let Some(deployment) =
            self.plan.deployment().filter(|d| d.direction == Direction::Forward && !d.emergency)
        {
            for target in hosts.iter().filter_map(|id| deployment.customers.get(id)) {
                frozen.entry(&target.tags).or_insert_with(|| (self.freezes)(self.now, &target.tags));
            }
        }
        let facts = Facts {
            now: self.now,
            delays_since: demo
                .and_then(|demo| self.run.waves_ended.get(demo).copied())
                .unwrap_or(self.began_at),
            waiting_since: self.run.waves_ended.last().copied().unwrap_or(self.began_at),
            customers: hosts
                .iter()
                .filter_map(|id| Some((id.clone(), self.known(id, noticed_at, &frozen)?)))
                .collect(),
            unhealthy: BTreeMap::new(),
            healthy_hours: self.deployed.values().map(|(_, at)| hours(self.now - *at)).sum(),
            failures: u32::try_from(self.run.hosts.values().filter(|host| host.state.is_failure()).count())
                .unwrap_or(u32::MAX),
            signed_off: true,
        };
        match admit(self.plan, wave, hosts, &facts) {
            Admission::Admitted { customers, left_out } => {
                for (id, reason) in &left_out {
                    self.row(&name, Some(id.clone()), Happening::LeftOut, reason.clone());
                }
                for id in &customers {
                    self.row(&name, Some(id.clone()), Happening::Started, "deployment begins".to_owned());
                }
                Answer::Admitted { hosts: customers, left_out, down: BTreeSet::new() }
            }
            Admission::NotYet { reason, retry_at } => {
                self.row(&name, None, Happening::Waiting, reason.clone());
                Answer::NotYet { cause: WaitCause::Condition, reason, retry_at }
            }
            Admission::Never { reason } => Answer::Invalid { reason },
        }
    }

    fn known(
        &self,
        id: &CiId,
        noticed_at: DateTime<Utc>,
        frozen: &BTreeMap<&Tags, Vec<String>>,
    ) -> Option<CustomerFacts> {
        let target = self.plan.deployment()?.customers.get(id)?;
        Some(CustomerFacts {
            version: target.from,
            held: None,
            freezes: frozen.get(&target.tags).cloned().unwrap_or_default(),
            noticed_at: Some(noticed_at),
        })
    }

    fn deploy(&mut self, hosts: &BTreeSet<CiId>, step: u64) -> Answer {
        for id in hosts {
            let at_work = self.run.hosts.get(id).is_some_and(|host| host.state == HostState::Precheck);
            if !at_work {
                continue;
            }
            let wave = self.wave_of(id);
            let to = self.plan.deployment().and_then(|d| d.customers.get(id)).map(|target| target.to);
            let result = if self.imagined.failing.contains(id) {
                HostResult::Failed { reason: "its deployment fails (imagined)".to_owned(), step: None }
            } else {
                HostResult::Succeeded
            };
            match (&result, to) {
                (HostResult::Succeeded, Some(to)) => {
                    self.deployed.insert(id.clone(), (to, self.now));
                    if let Some(after) = self.imagined.unhealthy.get(id) {
                        self.unhealthy.insert(id.clone(), self.now + TimeDelta::seconds(i64::from(*after)));
                    }
                    self.row(&wave, Some(id.clone()), Happening::Deployed, format!("runs {to}"));
                }
                _ => self.row(
                    &wave,
                    Some(id.clone()),
                    Happening::Failed,
                    "its deployment fails (imagined)".to_owned(),
                ),
            }
            let event = Event::HostFinished { step, host: id.clone(), result };
            // Refused only for a host that is not in the batch, and all of these are.
            self.run.apply(Some(self.plan), event, self.now).ok();
        }
        Answer::Patched { unfinished: BTreeMap::new() }
    }

    fn wave_of(&self, id: &CiId) -> String {
        self.plan
            .wave_of(id)
            .and_then(|wave| self.plan.waves.get(wave))
            .map(|wave| wave.name.clone())
            .unwrap_or_default()
    }

    /// Records a row; a repeated waiting text is recorded once.
    fn row(&mut self, wave: &str, customer: Option<CiId>, what: Happening, text: String) {
        self.row_at(self.now, wave, customer, what, text);
    }

    fn row_at(
        &mut self,
        at: DateTime<Utc>,
        wave: &str,
        customer: Option<CiId>,
        what: Happening,
        text: String,
    ) {
        let is_new = what != Happening::Waiting
            || self.rows.iter().rev().find(|row| row.wave == wave).is_none_or(|row| row.text != text);
        if is_new {
            self.rows.push(TimelineRow { at, wave: wave.to_owned(), customer, what, text });
        }
    }
}

fn hours(span: TimeDelta) -> f64 {
    span.num_seconds() as f64 / 3600.0
}
