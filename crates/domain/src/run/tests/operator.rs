//! A run whose records may be older than what was done waits for an operator, and looks before it goes on.

use super::*;

fn needs_operator(run: &mut Run, plan: &Plan, now: DateTime<Utc>) {
    let event = Event::NeedsOperator { reason: "the database was restored".to_owned() };
    run.apply(Some(plan), event, now).unwrap();
}

/// Plays with good answers until an action of this name is pending for the `nth` time.
fn play_until(run: &mut Run, plan: &Plan, name: &str, nth: usize) {
    let mut seen = 0;
    for _ in 0..100 {
        let Pending { step, action, .. } = run.pending.clone().unwrap();
        seen += usize::from(action.name() == name);
        if seen == nth {
            return;
        }
        run.apply(Some(plan), Event::Answered { step, answer: good_answer(&action) }, at(0)).unwrap();
    }
    panic!("`{name}` was never requested");
}

#[test]
fn every_stage_waits_for_an_operator() {
    let plan = plan(Rollback::Auto, 0);
    for name in ["plan", "check_change", "validate", "snapshot", "open", "patch", "verify", "report"] {
        let mut run = Run::new(Rules::default(), at(0));
        play_until(&mut run, &plan, name, 1);
        needs_operator(&mut run, &plan, at(1));
        assert_eq!(run.state(), RunState::Paused, "{name}");
        assert!(run.waits_for_operator(), "{name}");
        // An action that was in progress may still end. What it asks for is withheld.
        let Pending { step, action, .. } = run.pending.clone().unwrap();
        run.apply(Some(&plan), Event::Answered { step, answer: good_answer(&action) }, at(2)).unwrap();
        assert!(run.waits_for_operator(), "{name}");
        run.apply(Some(&plan), Event::Resume, at(3)).unwrap();
        play(&mut run, &plan, good_answer);
        assert_eq!(run.state(), RunState::Succeeded, "{name}");
    }
}

#[test]
fn hosts_in_work_are_made_safe_scanned_and_admitted_again() {
    let (plan, mut run) = (plan(Rollback::Auto, 0), Run::new(Rules::default(), at(0)));
    play_until(&mut run, &plan, "patch", 3);
    begin_updates(&mut run, &plan);
    needs_operator(&mut run, &plan, at(1));
    run.apply(Some(&plan), Event::Resume, at(90_000)).unwrap();
    let actions = play(&mut run, &plan, good_answer);
    assert_eq!(names(&actions)[..4], ["settle", "rescan", "open", "patch"]);
    let in_work = BTreeSet::from([id("p2"), id("p3")]);
    assert_eq!(actions[0], Action::Recover { hosts: in_work.clone() });
    let waiting = BTreeSet::from([id("p2"), id("p3"), id("p4"), id("p5")]);
    assert_eq!(actions[1], Action::Rescan { hosts: waiting });
    assert_eq!(actions[3], Action::Patch { hosts: in_work });
    assert_eq!(run.state(), RunState::Succeeded);
}

#[test]
fn host_that_cannot_be_scanned_keeps_the_run_waiting() {
    let (plan, mut run) = (plan(Rollback::Auto, 0), Run::new(Rules::default(), at(0)));
    play_until(&mut run, &plan, "patch", 3);
    needs_operator(&mut run, &plan, at(1));
    run.apply(Some(&plan), Event::Resume, at(2)).unwrap();
    let actions = play(&mut run, &plan, |action| match action {
        Action::Rescan { .. } => bad_answer(action),
        _ => good_answer(action),
    });
    assert_eq!(names(&actions), ["settle", "rescan"]);
    assert!(run.waits_for_operator());
    assert!(run.paused.as_ref().unwrap().reason.contains("`p2` could not be scanned: it broke"));
    run.apply(Some(&plan), Event::Resume, at(3)).unwrap();
    assert_eq!(run.pending.as_ref().unwrap().action.name(), "rescan", "it looks again");
}

#[test]
fn approved_run_plans_again_before_the_work() {
    let (plan, mut run) = (
        plan(Rollback::Auto, 0),
        Run::new(Rules { replan_after_seconds: Some(7 * 86_400), ..Rules::default() }, at(0)),
    );
    play_until(&mut run, &plan, "validate", 1);
    needs_operator(&mut run, &plan, at(1));
    run.apply(Some(&plan), Event::Resume, at(2)).unwrap();
    let actions = play(&mut run, &plan, good_answer);
    assert_eq!(names(&actions)[..3], ["validate", "replan", "begin_work"]);
}

#[test]
fn cancelled_run_makes_its_hosts_safe_and_starts_none() {
    let (plan, mut run) = (plan(Rollback::Auto, 0), Run::new(Rules::default(), at(0)));
    play_until(&mut run, &plan, "patch", 3);
    needs_operator(&mut run, &plan, at(1));
    run.apply(Some(&plan), Event::Cancel { reason: "a person".to_owned() }, at(2)).unwrap();
    let actions = play(&mut run, &plan, good_answer);
    assert_eq!(names(&actions)[0], "settle");
    assert!(!names(&actions).contains(&"patch"));
    assert_eq!(run.state(), RunState::Cancelled);
}

#[test]
fn wait_that_is_renewed_has_its_whole_time_again() {
    let (plan, mut run) = (plan(Rollback::Auto, 0), Run::new(Rules::default(), at(0)));
    play_until(&mut run, &plan, "open", 1);
    needs_operator(&mut run, &plan, at(1));
    needs_operator(&mut run, &plan, at(500_000));
    assert_eq!(run.deadline, Some(at(500_000 + 86_400)));
    assert_eq!(run.paused.as_ref().unwrap().since, at(1));
}

#[test]
fn pauses_stored_before_causes_were_are_read() {
    let stored = r#"{"reason":"a person","since":"2026-03-01T00:00:00Z"}"#;
    let pause: Pause = serde_json::from_str(stored).unwrap();
    assert_eq!(pause.cause, None);
}
