mod any_order;
mod operator;
mod plan_ahead;
mod promises;
mod skipping;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::*;
use crate::{
    ids::{ChangeId, CiId, ServiceName},
    package::Packaging,
    plan::{Connection, Gate, Intent, Limits, Plan, ServiceBudget, Target, Wave, WaveKind},
    preflight::{PreflightCheck, PreflightFailure},
    strategy::Strategy as RolloutStrategy,
    workflow::{HostWorkflow, Reboot, Rollback, RollbackMode},
};

fn id(name: &str) -> CiId {
    CiId::new(name).unwrap()
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_770_000_000 + seconds, 0).unwrap()
}

/// Two staging hosts, one pilot, four more; a service of the last five that needs three of them.
fn plan(rollback: Rollback, retries: u32) -> Plan {
    let target = Target {
        os: "debian12".to_owned(),
        packaging: Packaging::Dpkg,
        tags: BTreeMap::new(),
        services: vec![ServiceName::new("nginx").unwrap().into()],
        connection: Connection::Model,
        updates: Vec::new(),
        rollback_mode: RollbackMode::Snapshot,
        omitted: Vec::new(),
        expected_seconds: 60,
        reboot_pending: false,
        unverified: None,
        transaction: Default::default(),
        owner_email: None,
        bootstrap_python: false,
    };
    let wave = |name: &str, kind, hosts: &[&str]| Wave {
        name: name.to_owned(),
        kind,
        hosts: hosts.iter().map(|name| id(name)).collect(),
        gate: Gate { tests: kind == WaveKind::Staging, soak_seconds: 0 },
        start: None,
        checks: Vec::new(),
    };
    let waves = vec![
        wave("staging", WaveKind::Staging, &["s1", "s2"]),
        wave("pilot", WaveKind::Pilot, &["p1"]),
        wave("batch 1", WaveKind::Batch, &["p2", "p3"]),
        wave("batch 2", WaveKind::Batch, &["p4", "p5"]),
    ];
    let members = ["p1", "p2", "p3", "p4", "p5"].map(id).to_vec();
    Plan {
        intent: Intent::Patch,
        strategy: RolloutStrategy::BatchRolling,
        targets: waves
            .iter()
            .flat_map(|wave| &wave.hosts)
            .map(|host| (host.clone(), target.clone()))
            .collect(),
        waves,
        services: BTreeMap::from([(id("web"), ServiceBudget { min_up: 3, members, max_unavailable: None })]),
        limits: Limits {
            max_parallel: 2,
            error_threshold: 1,
            retries,
            forks: None,
            max_unavailable_without_service: None,
        },
        workflow: HostWorkflow::default(),
        reboot: Reboot::IfRequired,
        rollback,
        snapshot_retention_hours: Some(72),
        staging_tests: Vec::new(),
        unscanned: BTreeMap::new(),
        not_ready: BTreeMap::new(),
        up_to_date: 0,
        pin: Default::default(),
        notes: Vec::new(),
    }
}

fn not_yet(cause: WaitCause, retry_at: DateTime<Utc>) -> Answer {
    Answer::NotYet { cause, reason: "the maintenance window is closed".to_owned(), retry_at }
}

/// The answer with which everything succeeds.
fn good_answer(action: &Action) -> Answer {
    let each = |hosts: &BTreeSet<CiId>| hosts.iter().map(|host| (host.clone(), Ok(()))).collect();
    match action {
        Action::Plan => Answer::Planned,
        Action::OpenChange => Answer::ChangeOpened { change_id: ChangeId::new("CHG0000001").unwrap() },
        Action::CheckChange { .. } => Answer::ChangeIs(Approval::Approved),
        Action::Validate { .. } => Answer::Valid,
        Action::Replan { .. } => Answer::PlanHolds { gone: BTreeMap::new() },
        Action::BeginWork { .. } => Answer::WorkBegun,
        Action::Snapshot { hosts } => {
            Answer::Snapshots(hosts.iter().map(|host| (host.clone(), Ok(Uuid::nil()))).collect())
        }
        Action::Test { hosts, .. } => {
            let run = TestRun { passed: ["port".to_owned()].into(), failed: BTreeSet::new() };
            Answer::Tests(hosts.iter().map(|host| (host.clone(), run.clone())).collect())
        }
        Action::Patch { hosts } => {
            Answer::Patched { unfinished: hosts.iter().map(|h| (h.clone(), HostResult::Succeeded)).collect() }
        }
        Action::RollBack { hosts } => Answer::RolledBack(each(hosts)),
        Action::Soak { .. } => Answer::Soaked,
        Action::Recover { hosts } => Answer::Recovered(each(hosts)),
        Action::Verify { hosts } => {
            Answer::Verified(hosts.iter().map(|host| (host.clone(), Verification::Healthy)).collect())
        }
        Action::Rescan { hosts } => Answer::Rescanned(each(hosts)),
        Action::Report => Answer::Reported,
        Action::Admit { hosts, .. } => {
            Answer::Admitted { hosts: hosts.clone(), left_out: BTreeMap::new(), down: BTreeSet::new() }
        }
        Action::RunChecks { .. } => Answer::Valid,
        Action::Alert => Answer::Alerted,
    }
}

fn bad_answer(action: &Action) -> Answer {
    let reason = "it broke".to_owned();
    let each =
        |hosts: &BTreeSet<CiId>| hosts.iter().map(|host| (host.clone(), Err(reason.clone()))).collect();
    match action {
        Action::CheckChange { .. } => Answer::ChangeIs(Approval::Refused { reason }),
        Action::Validate { .. } | Action::BeginWork { .. } => Answer::Invalid { reason },
        Action::Replan { .. } => Answer::PlanVoid { reason },
        Action::Test { hosts, .. } => {
            let run = TestRun { passed: BTreeSet::new(), failed: ["port".to_owned()].into() };
            Answer::Tests(hosts.iter().map(|host| (host.clone(), run.clone())).collect())
        }
        Action::Patch { hosts } => {
            let failed = |h: &CiId| {
                (h.clone(), HostResult::Failed { reason: "postinst failed".to_owned(), step: None })
            };
            Answer::Patched { unfinished: hosts.iter().map(failed).collect() }
        }
        Action::RollBack { hosts } => Answer::RolledBack(each(hosts)),
        Action::Recover { hosts } => Answer::Recovered(each(hosts)),
        Action::Verify { hosts } => {
            let failed = |h: &CiId| (h.clone(), Verification::Failed { reason: "port closed".to_owned() });
            Answer::Verified(hosts.iter().map(failed).collect())
        }
        Action::Rescan { hosts } => Answer::Rescanned(each(hosts)),
        _ => Answer::CouldNot { reason },
    }
}

/// Reports that the update has begun on each host of the pending batch.
fn begin_updates(run: &mut Run, plan: &Plan) {
    let Some(Pending { step, action: Action::Patch { hosts }, .. }) = run.pending.clone() else { return };
    for host in hosts {
        let event = Event::HostProgressed { step, host, state: HostState::Patching };
        run.apply(Some(plan), event, at(0)).unwrap();
    }
}

/// Plays a run, answering each action by `respond`, and returns the requested actions.
fn play(run: &mut Run, plan: &Plan, mut respond: impl FnMut(&Action) -> Answer) -> Vec<Action> {
    let mut actions = Vec::new();
    for _ in 0..500 {
        let Some(Pending { step, action, .. }) = run.pending.clone() else { break };
        begin_updates(run, plan);
        let answer = respond(&action);
        run.apply(Some(plan), Event::Answered { step, answer }, at(0)).unwrap();
        actions.push(action);
    }
    actions
}

fn names(actions: &[Action]) -> Vec<&'static str> {
    actions.iter().map(Action::name).collect()
}

#[test]
fn run_goes_through_its_whole_life() {
    let (plan, mut run) = (plan(Rollback::Auto, 0), Run::new(Rules::default(), at(0)));
    let actions = play(&mut run, &plan, good_answer);
    let expected = [
        "plan",
        "open_change",
        "check_change",
        "validate",
        "begin_work",
        "snapshot",
        "test_before",
        "open",
        "patch",
        "test_after",
        "open",
        "patch",
        "open",
        "patch",
        "open",
        "patch",
        "verify",
        "report",
        "alert",
    ];
    assert_eq!(names(&actions), expected);
    assert_eq!(run.state(), RunState::Succeeded);
    assert!(run.hosts.values().all(|host| host.state == HostState::Succeeded && host.attempts == 1));
}

#[test]
fn regression_in_staging_keeps_production_untouched() {
    let (plan, mut run) = (plan(Rollback::Never, 0), Run::new(Rules::default(), at(0)));
    play(&mut run, &plan, |action| match action {
        Action::Test { phase: TestPhase::After, .. } => bad_answer(action),
        _ => good_answer(action),
    });
    assert_eq!(run.state(), RunState::Halted);
    assert!(
        run.hosts
            .iter()
            .filter(|(id, _)| id.as_str().starts_with('p'))
            .all(|(_, host)| host.state == HostState::Skipped)
    );
    assert!(run.stop.unwrap().reason().contains("2 tests passed before the update and fail after it"));
}

#[test]
fn test_that_failed_before_is_not_a_regression() {
    let (plan, mut run) = (plan(Rollback::Never, 0), Run::new(Rules::default(), at(0)));
    play(&mut run, &plan, |action| match action {
        Action::Test { .. } => bad_answer(action),
        _ => good_answer(action),
    });
    assert_eq!(run.state(), RunState::Succeeded);
}

#[test]
fn failed_host_is_restored_and_retried() {
    let (plan, mut run) = (plan(Rollback::Auto, 1), Run::new(Rules::default(), at(0)));
    let mut failed = false;
    let actions = play(&mut run, &plan, |action| match action {
        Action::Patch { hosts } if hosts.contains(&id("p2")) && !failed => {
            failed = true;
            let result = |h: &CiId| {
                if h == &id("p2") {
                    HostResult::Failed { reason: "postinst failed".to_owned(), step: None }
                } else {
                    HostResult::Succeeded
                }
            };
            Answer::Patched { unfinished: hosts.iter().map(|h| (h.clone(), result(h))).collect() }
        }
        _ => good_answer(action),
    });
    assert!(actions.contains(&Action::RollBack { hosts: [id("p2")].into() }));
    assert_eq!(run.hosts[&id("p2")].attempts, 2);
    assert_eq!(run.state(), RunState::Succeeded);
}

#[test]
fn pilot_that_fails_stops_the_run() {
    let (plan, mut run) = (plan(Rollback::Auto, 0), Run::new(Rules::default(), at(0)));
    play(&mut run, &plan, |action| match action {
        Action::Patch { hosts } if hosts.contains(&id("p1")) => bad_answer(action),
        _ => good_answer(action),
    });
    assert_eq!(run.state(), RunState::Halted);
    assert_eq!(run.hosts[&id("p1")].state, HostState::RolledBack);
    assert_eq!(run.hosts[&id("p2")].state, HostState::Skipped);
}

#[test]
fn failed_host_counts_against_the_budget() {
    let (plan, mut run) = (plan(Rollback::Never, 0), Run::new(Rules::default(), at(0)));
    let actions = play(&mut run, &plan, |action| match action {
        Action::Patch { hosts } if hosts.contains(&id("p2")) => {
            let result = |h: &CiId| {
                if h == &id("p2") {
                    HostResult::Failed { reason: "postinst failed".to_owned(), step: None }
                } else {
                    HostResult::Succeeded
                }
            };
            Answer::Patched { unfinished: hosts.iter().map(|h| (h.clone(), result(h))).collect() }
        }
        _ => good_answer(action),
    });
    let batches: Vec<usize> = actions
        .iter()
        .filter_map(|a| if let Action::Patch { hosts } = a { Some(hosts.len()) } else { None })
        .collect();
    assert_eq!(batches, [2, 1, 2, 1, 1], "after p2 failed and stayed down only one more may be down");
    assert_eq!(run.state(), RunState::CompletedWithErrors);
}

#[test]
fn inconclusive_gate_pauses_and_asks() {
    let (plan, mut run) = (plan(Rollback::Auto, 0), Run::new(Rules::default(), at(0)));
    let mut asked = 0;
    play(&mut run, &plan, |action| match action {
        Action::Test { phase: TestPhase::After, .. } if asked == 0 => {
            asked += 1;
            Answer::CouldNot { reason: "staging is unreachable".to_owned() }
        }
        _ => good_answer(action),
    });
    assert_eq!(run.state(), RunState::Paused);
    assert!(run.paused.as_ref().unwrap().reason.contains("staging is unreachable"));
    run.apply(Some(&plan), Event::Resume, at(1)).unwrap();
    play(&mut run, &plan, good_answer);
    assert_eq!(run.state(), RunState::Succeeded);
}

#[test]
fn answer_to_an_older_step_changes_nothing() {
    let (plan, mut run) = (plan(Rollback::Auto, 0), Run::new(Rules::default(), at(0)));
    run.apply(Some(&plan), Event::Answered { step: 1, answer: Answer::Planned }, at(0)).unwrap();
    let before = run.clone();
    let again = run.apply(Some(&plan), Event::Answered { step: 1, answer: Answer::Planned }, at(0));
    assert_eq!(again, Err(Refused::StaleStep { given: 1 }));
    assert_eq!(run, before);
}

#[test]
fn run_expires_when_nobody_approves() {
    let (plan, mut run) = (plan(Rollback::Auto, 0), Run::new(Rules::default(), at(0)));
    for _ in 0..3 {
        let Pending { step, action, .. } = run.pending.clone().unwrap();
        let answer = match action {
            Action::CheckChange { .. } => Answer::ChangeIs(Approval::Waiting),
            _ => good_answer(&action),
        };
        run.apply(Some(&plan), Event::Answered { step, answer }, at(0)).unwrap();
    }
    run.apply(Some(&plan), Event::DeadlinePassed, at(73 * 3600)).unwrap();
    play(&mut run, &plan, good_answer);
    assert_eq!(run.state(), RunState::Expired);
}
