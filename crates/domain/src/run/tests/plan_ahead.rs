//! Approved ahead: the run waits for its slot, plans again, and works only if the approved plan still holds.

use super::*;

const SLOT: i64 = 12 * 3600;

fn ahead() -> Run {
    let rules = Rules {
        approval_seconds: 3600,
        slot: Some(at(SLOT)),
        replan_after_seconds: Some(0),
        ..Rules::default()
    };
    Run::new(rules, at(0))
}

fn answer(run: &mut Run, plan: &Plan, answer: Answer, now: i64) {
    let step = run.pending.as_ref().unwrap().step;
    run.apply(Some(plan), Event::Answered { step, answer }, at(now)).unwrap();
}

/// Answers well, at a time, until an action of this name is pending.
fn play_until(run: &mut Run, plan: &Plan, name: &str, now: i64) {
    for _ in 0..100 {
        let action = run.pending.clone().expect("the run has not ended").action;
        if action.name() == name {
            return;
        }
        answer(run, plan, good_answer(&action), now);
    }
    panic!("`{name}` was never requested");
}

#[test]
fn approval_may_come_until_the_slot_and_the_wait_costs_no_time() {
    let (plan, mut run) = (plan(Rollback::Auto, 0), ahead());
    play_until(&mut run, &plan, "check_change", 0);
    assert_eq!(run.deadline, Some(at(SLOT)), "one hour would end before people are awake");
    play_until(&mut run, &plan, "validate", 60);
    let deadline = run.deadline.unwrap();
    answer(&mut run, &plan, not_yet(WaitCause::ChangeStart, at(SLOT)), 60);
    assert_eq!(run.state(), RunState::AwaitingWindow);
    assert_eq!(run.deadline.unwrap() - deadline, TimeDelta::seconds(SLOT - 60));
}

#[test]
fn run_without_approval_at_its_slot_expires() {
    let (plan, mut run) = (plan(Rollback::Auto, 0), ahead());
    play_until(&mut run, &plan, "check_change", 0);
    assert!(run.apply(Some(&plan), Event::DeadlinePassed, at(SLOT - 1)).is_err());
    run.apply(Some(&plan), Event::DeadlinePassed, at(SLOT)).unwrap();
    play(&mut run, &plan, good_answer);
    assert_eq!(run.state(), RunState::Expired);
}

#[test]
fn plan_that_still_holds_is_executed_without_the_hosts_that_are_gone() {
    let (plan, mut run) = (plan(Rollback::Auto, 0), ahead());
    play_until(&mut run, &plan, "replan", SLOT);
    let gone = BTreeMap::from([(id("p5"), "could not be scanned: no route to host".to_owned())]);
    answer(&mut run, &plan, Answer::PlanHolds { gone }, SLOT);
    let actions = play(&mut run, &plan, good_answer);
    assert!(matches!(actions[0], Action::BeginWork { .. }), "{actions:?}");
    assert_eq!(run.hosts[&id("p5")].state, HostState::Skipped);
    assert_eq!(run.hosts[&id("p5")].error.as_deref(), Some("could not be scanned: no route to host"));
    assert!(run.hosts.iter().all(|(host, run)| *host == id("p5") || run.state == HostState::Succeeded));
    assert_eq!(run.state(), RunState::CompletedWithErrors);
}

#[test]
fn void_approval_starts_nothing_and_is_reported() {
    let (plan, mut run) = (plan(Rollback::Auto, 0), ahead());
    play_until(&mut run, &plan, "replan", SLOT);
    answer(&mut run, &plan, Answer::PlanVoid { reason: "3 hosts gone (1 tolerated)".to_owned() }, SLOT);
    let actions = play(&mut run, &plan, good_answer);
    assert_eq!(actions, [Action::Report, Action::Alert], "the change is ended, nothing is begun");
    assert_eq!(run.state(), RunState::Voided);
    assert!(run.hosts.values().all(|host| host.state == HostState::Skipped && !host.was_touched()));
}

#[test]
fn plan_is_made_again_only_if_it_is_too_old() {
    let plan = plan(Rollback::Auto, 0);
    let replans = |replan_after_seconds, begins| {
        let mut run = Run::new(Rules { replan_after_seconds, ..Rules::default() }, at(0));
        play_until(&mut run, &plan, "validate", 0);
        answer(&mut run, &plan, Answer::Valid, begins);
        run.pending.unwrap().action.name() == "replan"
    };
    assert!(!replans(None, 90 * 86_400), "runs stored before this keep what was approved");
    assert!(!replans(Some(3600), 3599));
    assert!(replans(Some(3600), 3600));
}

#[test]
fn order_to_cancel_ends_the_new_planning() {
    let (plan, mut run) = (plan(Rollback::Auto, 0), ahead());
    play_until(&mut run, &plan, "replan", SLOT);
    run.apply(Some(&plan), Event::Cancel { reason: "not today".to_owned() }, at(SLOT)).unwrap();
    assert_eq!(run.pending.as_ref().unwrap().action, Action::Report);
}

#[test]
fn work_that_turns_out_larger_gets_more_time_and_a_late_report_of_it_does_not() {
    let mut run = ahead();
    let (step, deadline) = (run.pending.as_ref().unwrap().step, run.deadline.unwrap());
    run.apply(None, Event::TakesLonger { step, seconds: 90_000 }, at(100)).unwrap();
    assert_eq!(run.deadline.unwrap() - deadline, TimeDelta::seconds(90_000 + 100));
    assert!(run.apply(None, Event::TakesLonger { step: step + 1, seconds: 1 }, at(100)).is_err());
    run.apply(None, Event::TakesLonger { step, seconds: u32::MAX }, at(100)).unwrap();
    assert!(run.deadline.unwrap() < at(40 * 86_400), "no wait is endless");
    let extended = run.deadline;
    run.apply(None, Event::TakesLonger { step, seconds: 1 }, at(200)).unwrap();
    assert_eq!(run.deadline, extended, "a deadline never comes nearer");
}
