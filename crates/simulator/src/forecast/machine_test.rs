//! Plays random plans by the fast player and by the machine of real runs, with the same chance, and compares every host.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use domain::{
    ids::{ChangeId, CiId, RunId},
    package::Packaging,
    plan::{Connection, Gate, Intent, Limits, Plan, ServiceBudget, Target, Wave, WaveKind},
    run::{
        Action, Answer, Approval, Event, HostResult, HostState, Pending, Rules, Run, RunState, TestRun,
        Verification, WaitCause,
    },
    strategy::Strategy as Rollout,
    time::FreezeCalendar,
    workflow::{HostWorkflow, Reboot, Rollback, RollbackMode},
};
use planner::{Admission, HostGraph, HostNode, Schedule, admit};
use proptest::prelude::*;
use uuid::Uuid;

use super::{
    draws::Draws,
    indexed_plan::IndexedPlan,
    model::{DurationModel, HostModel},
    play::{Player, State},
};
use crate::distribution::Distribution;

fn id(number: usize) -> CiId {
    CiId::new(format!("host-{number:02}")).unwrap()
}

fn begins() -> DateTime<Utc> {
    "2026-11-21T22:00:00Z".parse().unwrap()
}

/// What happened to one host.
#[derive(Debug, PartialEq)]
enum Fate {
    Done { at_ms: u64 },
    RolledBack,
    Down,
    NotStarted,
}

/// The course of one run by the machine.
struct Driven<'s, 'a> {
    indexed: &'s IndexedPlan<'a>,
    index: BTreeMap<CiId, usize>,
    draws: Draws,
    run: Run,
    now: u64,
    done_at: BTreeMap<CiId, u64>,
    waits_for_members: bool,
}

impl<'s, 'a> Driven<'s, 'a> {
    fn play(indexed: &'s IndexedPlan<'a>, seed: u64) -> Self {
        let index = indexed.plan.targets.keys().cloned().zip(0..).collect();
        let draws = Draws::new(indexed.hosts.len(), seed, 0);
        let run = Run::new(Rules::default(), begins());
        let mut driven =
            Self { indexed, index, draws, run, now: 0, done_at: BTreeMap::new(), waits_for_members: false };
        for _ in 0..2000 {
            let Some(Pending { step, action, not_before, hold }) = driven.run.pending.clone() else { break };
            if hold.is_some_and(|hold| hold.cause == WaitCause::MembersDown) {
                driven.waits_for_members = true;
                break;
            }
            driven.now = driven.now.max((not_before - begins()).num_milliseconds() as u64);
            driven.begin_updates(step, &action);
            let answer = driven.perform(&action);
            let event = Event::Answered { step, answer };
            driven.run.apply(Some(indexed.plan), event, driven.time()).unwrap();
        }
        driven
    }

    fn begin_updates(&mut self, step: u64, action: &Action) {
        let Action::Patch { hosts } = action else { return };
        for host in hosts {
            let event = Event::HostProgressed { step, host: host.clone(), state: HostState::Patching };
            self.run.apply(Some(self.indexed.plan), event, self.time()).unwrap();
        }
    }

    fn time(&self) -> DateTime<Utc> {
        begins() + TimeDelta::milliseconds(self.now as i64)
    }

    fn perform(&mut self, action: &Action) -> Answer {
        let model = self.indexed.model;
        match action {
            Action::Plan => Answer::Planned,
            Action::OpenChange => Answer::ChangeOpened { change_id: ChangeId::new("CHG0000001").unwrap() },
            Action::CheckChange { .. } => Answer::ChangeIs(Approval::Approved),
            Action::Validate { .. } => Answer::Valid,
            Action::Replan { .. } => Answer::PlanHolds { gone: BTreeMap::new() },
            Action::BeginWork { .. } => Answer::WorkBegun,
            Action::Snapshot { hosts } => {
                self.now += self.draws.step(&model.snapshots);
                Answer::Snapshots(hosts.iter().map(|host| (host.clone(), Ok(Uuid::nil()))).collect())
            }
            Action::Test { hosts, .. } => {
                self.now += self.draws.step(&model.tests);
                Answer::Tests(hosts.iter().map(|host| (host.clone(), TestRun::default())).collect())
            }
            Action::Admit { wave, hosts } => self.admit(*wave, hosts),
            Action::Patch { hosts } => self.patch(hosts),
            Action::RollBack { hosts } => self.roll_back(hosts),
            Action::Soak { until } => {
                self.now = (*until - begins()).num_milliseconds() as u64;
                Answer::Soaked
            }
            Action::Verify { hosts } => {
                self.now += self.draws.step(&model.verification);
                Answer::Verified(hosts.iter().map(|host| (host.clone(), Verification::Healthy)).collect())
            }
            Action::Report => Answer::Reported,
            Action::Alert => Answer::Alerted,
            Action::RunChecks { .. } | Action::Recover { .. } | Action::Rescan { .. } => {
                panic!("{action:?} has no reason")
            }
        }
    }

    fn admit(&self, wave: usize, hosts: &BTreeSet<CiId>) -> Answer {
        let of_wave = &self.indexed.plan.waves[wave].hosts;
        let begun = of_wave.iter().any(|host| self.run.hosts[host].attempts > 0);
        let fit = |host: &CiId| {
            let own = &self.indexed.hosts[self.index[host]];
            self.indexed.openings[own.openings].next_fit(self.now, own.expected_ms, begun)
        };
        let Admission { now, never, next_ms } =
            admit(hosts.iter().map(|host| (host.clone(), fit(host))), self.now);
        match next_ms {
            Some(next) if now.is_empty() && never.is_empty() => Answer::NotYet {
                cause: WaitCause::Window,
                reason: "closed".to_owned(),
                retry_at: begins() + TimeDelta::milliseconds(next as i64),
            },
            _ => Answer::Admitted {
                hosts: now.into_iter().collect(),
                left_out: never.into_iter().map(|host| (host, "no opening fits".to_owned())).collect(),
                down: self.indexed.plan.targets.keys().filter(|host| !self.is_up(host)).cloned().collect(),
            },
        }
    }

    fn is_up(&self, host: &CiId) -> bool {
        self.indexed.hosts[self.index[host]].was_up
    }

    fn patch(&mut self, hosts: &BTreeSet<CiId>) -> Answer {
        let start = self.now;
        let mut results = BTreeMap::new();
        for host in hosts {
            let index = self.index[host];
            let reboot = self.indexed.reboot_at(index, start);
            let (took, succeeded) =
                self.draws.attempt(index, self.indexed.hosts[index].model, self.indexed.plan, reboot);
            self.now = self.now.max(start + took);
            let result = if succeeded {
                self.done_at.insert(host.clone(), start + took);
                HostResult::Succeeded
            } else {
                HostResult::Failed { reason: "chance".to_owned(), step: None }
            };
            results.insert(host.clone(), result);
        }
        Answer::Patched { unfinished: results }
    }

    fn roll_back(&mut self, hosts: &BTreeSet<CiId>) -> Answer {
        let start = self.now;
        let mut results = BTreeMap::new();
        for host in hosts {
            let index = self.index[host];
            let (took, restored) = self.draws.rollback(index, self.indexed.hosts[index].model);
            self.now = self.now.max(start + took);
            if restored && matches!(self.indexed.plan.intent, Intent::Rollback { .. }) {
                self.done_at.insert(host.clone(), start + took);
            }
            results.insert(host.clone(), restored.then_some(()).ok_or_else(|| "chance".to_owned()));
        }
        Answer::RolledBack(results)
    }

    fn fates(&self) -> BTreeMap<CiId, Fate> {
        let fate = |(host, run): (&CiId, &domain::run::HostRun)| {
            let fate = match run.state {
                _ if self.done_at.contains_key(host) => Fate::Done { at_ms: self.done_at[host] },
                HostState::RolledBack => Fate::RolledBack,
                state if state.may_be_down() => Fate::Down,
                _ => Fate::NotStarted,
            };
            (host.clone(), fate)
        };
        self.run.hosts.iter().map(fate).collect()
    }
}

fn fates_of(player: &Player, plan: &Plan) -> BTreeMap<CiId, Fate> {
    let fate = |host: usize| match player.state[host] {
        State::Done => Fate::Done { at_ms: player.patched_at[host].unwrap() },
        State::RolledBack => Fate::RolledBack,
        State::Down => Fate::Down,
        State::Pending | State::LeftOut => Fate::NotStarted,
    };
    plan.targets.keys().cloned().zip((0..).map(fate)).collect()
}

/// A plan, the hosts that are up, and when it may run.
#[derive(Debug, Clone)]
struct Case {
    plan: Plan,
    up: Vec<bool>,
    schedule: Option<Schedule>,
    seed: u64,
}

#[derive(Debug, Clone)]
struct HostCase {
    service: usize,
    up: bool,
    frozen: bool,
    mode: RollbackMode,
    expected_seconds: u32,
    reboot_pending: bool,
}

fn host() -> impl Strategy<Value = HostCase> {
    let mode = prop_oneof![
        3 => Just(RollbackMode::Snapshot), 1 => Just(RollbackMode::Downgrade), 1 => Just(RollbackMode::None)
    ];
    let pending = prop::bool::weighted(0.2);
    (0..4_usize, prop::bool::weighted(0.9), any::<bool>(), mode, 1..1200_u32, pending).prop_map(
        |(service, up, frozen, mode, expected_seconds, reboot_pending)| HostCase {
            service,
            up,
            frozen,
            mode,
            expected_seconds,
            reboot_pending,
        },
    )
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let reboots = prop::option::of(5..90_u32);
    (5..90_u32, 0..4_u32, any::<bool>(), 0..90_i64, reboots).prop_map(|(minutes, cutoff, finishes, freeze_at, reboots)| {
        let overrun = if finishes { "finish_started" } else { "stop_new" };
        let window = serde_json::json!({ "opens": "0 22 * * *", "duration_minutes": minutes, "time_zone": "UTC",
            "cutoff_minutes": cutoff, "overrun": overrun });
        let starts = begins() + TimeDelta::minutes(freeze_at);
        let freezes = serde_json::json!([{ "uid": "a", "name": "a", "starts": starts,
            "ends": starts + TimeDelta::minutes(20), "scope": { "frozen": "yes" } }]);
        let freezes: FreezeCalendar = serde_json::from_value(freezes).unwrap();
        let reboot_window = reboots.map(|minutes| {
            let window = serde_json::json!({ "opens": "20 22 * * *", "duration_minutes": minutes, "time_zone": "UTC" });
            serde_json::from_value(window).unwrap()
        });
        let window = Some(serde_json::from_value(window).unwrap());
        Schedule { begins: begins(), window, reboot_window, freezes }
    })
}

prop_compose! {
    fn case()(
        hosts in prop::collection::vec(host(), 1..14),
        wave_sizes in prop::collection::vec(1..6_usize, 8),
        kinds in prop::collection::vec(prop_oneof![1 => Just(WaveKind::Pilot), 4 => Just(WaveKind::Batch)], 8),
        soak_seconds in prop_oneof![Just(0_u32), Just(90)],
        tests in any::<bool>(),
        (max_parallel, forks, retries) in (1..6_u32, 1..6_u32, 0..3_u32),
        error_threshold in 0..4_u32,
        min_up in prop::collection::vec(0..4_u32, 3),
        max_unavailable in prop::option::of(1..4_u32),
        retention in prop::option::of(Just(72)),
        rollback in prop_oneof![Just(Rollback::Auto), Just(Rollback::Never)],
        is_rollback in prop::bool::weighted(0.2),
        schedule in prop::option::of(schedule()),
        seed in any::<u64>(),
    ) -> Case {
        let targets: BTreeMap<CiId, Target> = hosts.iter().enumerate().map(|(number, host)| {
            let frozen = if host.frozen { "yes" } else { "no" };
            (id(number), Target {
                os: "debian12".into(),
                packaging: Packaging::Dpkg,
                tags: BTreeMap::from([("frozen".to_owned(), frozen.to_owned())]),
                services: vec![],
                connection: Connection::Model,
                updates: vec![],
                rollback_mode: host.mode,
                omitted: Vec::new(),
                expected_seconds: host.expected_seconds,
                reboot_pending: host.reboot_pending,
                unverified: None,
                transaction: Default::default(),
                owner_email: None,
                bootstrap_python: false,
            })
        }).collect();
        let members = |service: usize| {
            (0..hosts.len()).filter(|host| hosts[*host].service == service).map(id).collect::<Vec<_>>()
        };
        let services = min_up.iter().enumerate().map(|(service, min_up)| {
            let name = CiId::new(format!("service-{service}")).unwrap();
            let max_unavailable = max_unavailable.filter(|_| service == 1);
            (name, ServiceBudget { min_up: *min_up, members: members(service), max_unavailable })
        });
        let mut rest = (0..hosts.len()).collect::<std::collections::VecDeque<_>>();
        let mut waves = Vec::new();
        for (number, size) in wave_sizes.into_iter().chain([usize::MAX]).enumerate() {
            let taken: Vec<CiId> = (0..size.min(rest.len())).filter_map(|_| rest.pop_front()).map(id).collect();
            if taken.is_empty() {
                break;
            }
            waves.push(Wave {
                name: format!("wave-{number}"),
                kind: kinds.get(number).copied().unwrap_or(WaveKind::Batch),
                hosts: taken,
                gate: Gate { tests: tests && !is_rollback, soak_seconds },
                start: None,
                checks: vec![],
            });
        }
        let intent = if is_rollback {
            let snapshots = targets.keys().map(|host| (host.clone(), Uuid::nil())).collect();
            Intent::Rollback { of_run: RunId(Uuid::nil()), snapshots }
        } else {
            Intent::Patch
        };
        Case {
            up: hosts.iter().map(|host| host.up || is_rollback).collect(),
            schedule: schedule.filter(|_| !is_rollback),
            seed,
            plan: Plan {
                intent,
                strategy: Rollout::Rolling,
                waves,
                targets,
                services: services.collect(),
                limits: Limits {
                    max_parallel,
                    error_threshold,
                    retries,
                    forks: Some(forks),
                    max_unavailable_without_service: max_unavailable,
                },
                workflow: HostWorkflow::default(),
                reboot: Reboot::IfRequired,
                rollback,
                snapshot_retention_hours: retention,
                staging_tests: vec![],
                unscanned: BTreeMap::new(),
                not_ready: BTreeMap::new(),
                up_to_date: 0,
                pin: Default::default(),
                notes: vec![],
            },
        }
    }
}

/// Much goes wrong, so that every rule is reached.
fn model() -> DurationModel {
    let host = HostModel {
        failure_probability: 0.25,
        lost_probability: 0.05,
        rollback_failure_probability: 0.2,
        ..HostModel::default()
    };
    let tests = Distribution::Triangular { low: 1.0, mode: 2.0, high: 9.0 };
    DurationModel { host, tests, ..DurationModel::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn fast_player_and_machine_agree_on_every_host(case in case()) {
        let Case { plan, up, schedule, seed } = &case;
        let hosts = plan.targets.keys().zip(up).map(|(host, up)| {
            (host.clone(), HostNode { services: BTreeSet::new(), criticality: 3, severity: 1.0, up: *up })
        });
        let graph = HostGraph { hosts: hosts.collect(), ..HostGraph::default() };
        let model = model();
        let indexed = IndexedPlan::new(plan, &graph, &model, schedule.as_ref());
        let driven = Driven::play(&indexed, *seed);
        let mut player = Player::new(&indexed, *seed, 0);
        player.play();
        if driven.waits_for_members {
            prop_assert!(player.halted, "the machine waits for hosts that never come up");
        } else {
            prop_assert_eq!(player.halted, driven.run.state() == RunState::Halted);
            prop_assert_eq!(fates_of(&player, plan), driven.fates());
            prop_assert_eq!(player.now, driven.now);
        }
    }
}
