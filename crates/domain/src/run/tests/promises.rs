//! What a plan promises holds while it runs: openings, members that are down, the change, scans.

use super::*;

/// Applies the answer to the pending action at a time.
fn answer(run: &mut Run, plan: &Plan, answer: Answer, now: DateTime<Utc>) {
    let step = run.pending.as_ref().unwrap().step;
    run.apply(Some(plan), Event::Answered { step, answer }, now).unwrap();
}

/// Plays until an action of this name is pending.
fn play_until(run: &mut Run, plan: &Plan, name: &str) {
    for _ in 0..100 {
        match &run.pending {
            Some(pending) if pending.action.name() == name => return,
            Some(pending) => answer(run, plan, good_answer(&pending.action.clone()), at(0)),
            None => break,
        }
    }
    panic!("`{name}` was never requested");
}

/// No staging and no pilots: two batches of two.
fn simple_plan() -> Plan {
    let mut plan = plan(Rollback::Auto, 0);
    plan.waves.drain(..2);
    plan.targets.retain(|host, _| ["p2", "p3", "p4", "p5"].contains(&host.as_str()));
    plan.services.clear();
    plan
}

fn started(actions: &[Action]) -> Vec<usize> {
    let batch = |action: &Action| if let Action::Patch { hosts } = action { Some(hosts.len()) } else { None };
    actions.iter().filter_map(batch).collect()
}

#[test]
fn run_waits_for_its_next_opening_and_loses_no_time_of_its_own() {
    let (plan, mut run) = (simple_plan(), Run::new(Rules::default(), at(0)));
    play_until(&mut run, &plan, "open");
    let (deadline, week) = (run.deadline.unwrap(), 7 * 86_400);
    answer(&mut run, &plan, not_yet(WaitCause::Window, at(week)), at(0));
    assert_eq!(run.state(), RunState::AwaitingWindow);
    assert_eq!(run.deadline.unwrap() - deadline, TimeDelta::seconds(week));
    assert_eq!(run.pending.as_ref().unwrap().not_before, at(week));
    assert!(run.hosts.values().all(|host| host.snapshot.is_none()), "a week-old snapshot would lose a week");

    let actions = play(&mut run, &plan, good_answer);
    let snapshots = actions.iter().filter(|action| matches!(action, Action::Snapshot { .. })).count();
    assert_eq!((snapshots, started(&actions)), (2, vec![2, 2]), "each batch gets new snapshots");
    assert_eq!(run.state(), RunState::Succeeded);
}

#[test]
fn pause_is_shown_before_the_wait() {
    let (plan, mut run) = (simple_plan(), Run::new(Rules::default(), at(0)));
    play_until(&mut run, &plan, "open");
    answer(&mut run, &plan, not_yet(WaitCause::Freeze, at(600)), at(0));
    run.apply(Some(&plan), Event::Pause { reason: "a person".to_owned() }, at(1)).unwrap();
    assert_eq!(run.state(), RunState::Paused);
}

#[test]
fn each_batch_needs_a_change_that_is_in_force() {
    let (plan, mut run) = (simple_plan(), Run::new(Rules::default(), at(0)));
    let mut admissions = 0;
    let actions = play(&mut run, &plan, |action| match action {
        Action::Admit { .. } => {
            admissions += 1;
            match admissions {
                1 => good_answer(action),
                _ => Answer::ChangeIs(Approval::Refused { reason: "change CHG1 was failed".to_owned() }),
            }
        }
        _ => good_answer(action),
    });
    assert_eq!(started(&actions), [2]);
    assert_eq!(run.state(), RunState::Halted);
    assert_eq!(run.stop.as_ref().unwrap().reason(), "change CHG1 was failed");
    let states = ["p2", "p3", "p4", "p5"].map(|host| run.hosts[&id(host)].state);
    use HostState::{Skipped, Succeeded};
    assert_eq!(states, [Succeeded, Succeeded, Skipped, Skipped]);
}

#[test]
fn members_that_are_down_elsewhere_are_missing_from_their_service() {
    let mut plan = simple_plan();
    let members = ["p2", "p3", "p4", "p5", "other"].map(id).to_vec();
    plan.services.insert(id("web"), ServiceBudget { min_up: 3, members, max_unavailable: None });
    let mut run = Run::new(Rules::default(), at(0));
    let down = |hosts: &BTreeSet<CiId>, down: &[&str]| Answer::Admitted {
        hosts: hosts.clone(),
        left_out: BTreeMap::new(),
        down: down.iter().map(|host| id(host)).collect(),
    };
    let mut admissions = 0;
    let mut holds = Vec::new();
    let mut actions = Vec::new();
    while let Some(Pending { action, hold, .. }) = run.pending.clone() {
        holds.extend(hold.map(|hold| hold.cause));
        let given = match &action {
            Action::Admit { hosts, .. } => {
                admissions += 1;
                match admissions {
                    1 => down(hosts, &["other"]),
                    2 => down(hosts, &["other", "p5"]),
                    3 => down(hosts, &["other"]),
                    _ => down(hosts, &[]),
                }
            }
            action => good_answer(action),
        };
        answer(&mut run, &plan, given, at(0));
        actions.push(action);
    }
    assert_eq!(started(&actions), [1, 1, 2], "one member fewer while `other` is down");
    assert_eq!(holds, [WaitCause::MembersDown], "with two down the run waits");
    assert_eq!(run.state(), RunState::Succeeded);
}

#[test]
fn host_that_is_down_already_can_be_patched() {
    let mut plan = simple_plan();
    let members = ["p2", "p3"].map(id).to_vec();
    plan.services.insert(id("web"), ServiceBudget { min_up: 1, members, max_unavailable: None });
    let mut run = Run::new(Rules::default(), at(0));
    play_until(&mut run, &plan, "open");
    let admitted = Answer::Admitted {
        hosts: ["p2", "p3"].map(id).into(),
        left_out: BTreeMap::new(),
        down: [id("p2")].into(),
    };
    answer(&mut run, &plan, admitted, at(0));
    let Some(Pending { action: Action::Patch { hosts }, .. }) = &run.pending else { panic!("{run:?}") };
    assert_eq!(*hosts, [id("p2")].into(), "it serves nothing, and `p3` is the last that does");
}

#[test]
fn no_batch_has_more_hosts_than_a_playbook_works_on_at_once() {
    let mut plan = simple_plan();
    plan.limits = Limits { max_parallel: 4, forks: Some(1), ..plan.limits };
    let mut run = Run::new(Rules::default(), at(0));
    assert_eq!(started(&play(&mut run, &plan, good_answer)), [1, 1, 1, 1]);
}

/// The end of a run with these targets left, hosts that could not be scanned, and hosts that miss nothing.
fn end_with(targets: bool, unscanned: &[&str], up_to_date: u32) -> Run {
    let mut plan = simple_plan();
    if !targets {
        plan.targets.clear();
        plan.waves.clear();
    }
    plan.unscanned = unscanned.iter().map(|host| (id(host), "connection refused".to_owned())).collect();
    plan.up_to_date = up_to_date;
    let mut run = Run::new(Rules::default(), at(0));
    play(&mut run, &plan, good_answer);
    run
}

#[test]
fn host_that_could_not_be_scanned_is_no_success() {
    let none = end_with(false, &["dead-1", "dead-2"], 0);
    assert_eq!(none.state(), RunState::Failed);
    assert!(none.stop.as_ref().unwrap().reason().contains("none of 2 hosts could be scanned"));
    assert_eq!(none.hosts[&id("dead-1")].state, HostState::Skipped);
    let error = none.hosts[&id("dead-1")].error.as_deref().unwrap();
    assert_eq!(error, "could not be scanned: connection refused");

    assert_eq!(end_with(false, &["dead-1"], 3).state(), RunState::CompletedWithErrors);
    assert_eq!(end_with(true, &["dead-1"], 0).state(), RunState::CompletedWithErrors);
    assert_eq!(end_with(true, &[], 3).state(), RunState::Succeeded);
}

#[test]
fn host_that_is_not_ready_is_skipped_and_if_none_is_the_run_fails_without_a_change() {
    let reason = "real hosts need a private key";
    let failure = PreflightFailure { check: PreflightCheck::Access, reason: reason.to_owned() };
    let end_with = |targets: bool, dry_run: bool| {
        let mut plan = simple_plan();
        if !targets {
            plan.targets.clear();
            plan.waves.clear();
        }
        plan.not_ready = BTreeMap::from([(id("real-1"), vec![failure.clone()])]);
        // What misses nothing does not make it a success.
        plan.up_to_date = 3;
        let mut run = Run::new(Rules { dry_run, ..Rules::default() }, at(0));
        let actions = play(&mut run, &plan, good_answer);
        (run, actions)
    };
    let (none, actions) = end_with(false, false);
    assert_eq!(none.state(), RunState::Failed);
    let stopped = none.stop.as_ref().unwrap().reason();
    assert_eq!(stopped, format!("the only host, `real-1`, is not ready: access: {reason}"));
    assert!(!actions.iter().any(|action| matches!(action, Action::OpenChange)), "{actions:?}");
    assert_eq!(none.hosts[&id("real-1")].state, HostState::Skipped);

    let (some, _) = end_with(true, false);
    assert_eq!(some.state(), RunState::CompletedWithErrors);
    let error = some.hosts[&id("real-1")].error.as_deref().unwrap();
    assert_eq!(error, format!("not ready: access: {reason}"));
    assert_eq!(end_with(true, true).0.state(), RunState::CompletedWithErrors, "a dry run reports it, too");
}

#[test]
fn host_that_was_rolled_back_by_order_has_not_failed() {
    let (plan, mut run) = (simple_plan(), Run::new(Rules::default(), at(0)));
    let mut patched = 0;
    for _ in 0..100 {
        let Some(Pending { action, .. }) = run.pending.clone() else { break };
        if matches!(action, Action::Patch { .. }) {
            patched += 1;
            if patched == 2 {
                begin_updates(&mut run, &plan);
                run.apply(Some(&plan), Event::RollBack { reason: "by order".to_owned() }, at(0)).unwrap();
                answer(&mut run, &plan, bad_answer(&action), at(0));
                continue;
            }
        }
        answer(&mut run, &plan, good_answer(&action), at(0));
    }
    assert_eq!(run.state(), RunState::RolledBack);
    assert!(run.hosts.values().all(|host| host.state == HostState::RolledBack));
    let failed = ["p2", "p3", "p4", "p5"].map(|host| run.hosts[&id(host)].has_failed());
    assert_eq!(failed, [false, false, true, true], "only those that failed first");
}

#[test]
fn host_on_which_the_update_has_not_begun_is_never_rolled_back() {
    let (plan, mut run) = (simple_plan(), Run::new(Rules::default(), at(0)));
    let mut rolled_back = BTreeSet::new();
    for _ in 0..100 {
        let Some(Pending { step, action, .. }) = run.pending.clone() else { break };
        match &action {
            // The playbook ends before `p2` had its turn, and after the update of `p3` has begun.
            Action::Patch { hosts } if hosts.contains(&id("p2")) => {
                let event = Event::HostProgressed { step, host: id("p3"), state: HostState::Patching };
                run.apply(Some(&plan), event, at(0)).unwrap();
                answer(&mut run, &plan, bad_answer(&action), at(0));
                continue;
            }
            Action::RollBack { hosts } => rolled_back.extend(hosts.clone()),
            _ => {}
        }
        answer(&mut run, &plan, good_answer(&action), at(0));
    }
    assert_eq!(rolled_back, [id("p3")].into());
    assert_eq!(run.hosts[&id("p2")].state, HostState::Failed);
}

#[test]
fn order_to_roll_back_reverts_only_what_was_changed() {
    let (plan, mut run) = (simple_plan(), Run::new(Rules::default(), at(0)));
    play_until(&mut run, &plan, "patch");
    run.apply(Some(&plan), Event::RollBack { reason: "by order".to_owned() }, at(0)).unwrap();
    let action = run.pending.clone().unwrap().action;
    let interrupted =
        |hosts: &BTreeSet<CiId>| hosts.iter().map(|host| (host.clone(), HostResult::Interrupted)).collect();
    let Action::Patch { hosts } = &action else { panic!("{action:?}") };
    answer(&mut run, &plan, Answer::Patched { unfinished: interrupted(hosts) }, at(0));
    let actions = play(&mut run, &plan, good_answer);
    assert!(!actions.iter().any(|action| matches!(action, Action::RollBack { .. })), "{actions:?}");
    assert_eq!(run.state(), RunState::RolledBack);
}
