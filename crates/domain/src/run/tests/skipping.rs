//! An operator leaves single hosts out of a run.

use super::*;

fn skip(run: &mut Run, plan: &Plan, host: &str) -> Result<(), Refused> {
    run.apply(
        Some(plan),
        Event::SkipHost { host: id(host), reason: "it is being replaced".to_owned() },
        at(0),
    )
}

fn answer(run: &mut Run, plan: &Plan) {
    let Pending { step, action, .. } = run.pending.clone().unwrap();
    begin_updates(run, plan);
    run.apply(Some(plan), Event::Answered { step, answer: good_answer(&action) }, at(0)).unwrap();
}

fn answer_until(run: &mut Run, plan: &Plan, wanted: impl Fn(&Action) -> bool) {
    for _ in 0..100 {
        if wanted(&run.pending.as_ref().expect("the run waits").action) {
            return;
        }
        answer(run, plan);
    }
    panic!("the action was never requested");
}

fn patches(host: &str) -> impl Fn(&Action) -> bool {
    let host = id(host);
    move |action| matches!(action, Action::Patch { hosts } if hosts.contains(&host))
}

#[test]
fn skipped_host_is_never_patched_and_the_others_are() {
    let (plan, mut run) = (plan(Rollback::Auto, 0), Run::new(Rules::default(), at(0)));
    answer_until(&mut run, &plan, |action| matches!(action, Action::CheckChange { .. }));
    skip(&mut run, &plan, "p4").unwrap();
    let actions = play(&mut run, &plan, good_answer);
    assert!(!actions.iter().any(patches("p4")), "{actions:?}");
    assert!(actions.iter().any(patches("p5")));
    let host = &run.hosts[&id("p4")];
    assert_eq!((host.state, host.error.as_deref()), (HostState::Skipped, Some("it is being replaced")));
    assert_eq!(run.state(), RunState::CompletedWithErrors);
}

#[test]
fn host_that_is_admitted_can_still_be_skipped() {
    let (plan, mut run) = (plan(Rollback::Auto, 0), Run::new(Rules::default(), at(0)));
    let admits = |action: &Action| matches!(action, Action::Admit { hosts, .. } if hosts.contains(&id("p2")));
    answer_until(&mut run, &plan, admits);
    skip(&mut run, &plan, "p2").unwrap();
    let actions = play(&mut run, &plan, good_answer);
    assert!(!actions.iter().any(patches("p2")), "{actions:?}");
}

#[test]
fn host_whose_work_has_begun_is_not_skipped() {
    let (plan, mut run) = (plan(Rollback::Auto, 0), Run::new(Rules::default(), at(0)));
    answer_until(&mut run, &plan, patches("p2"));
    let before = run.clone();
    for host in ["p2", "s1", "unknown"] {
        assert!(matches!(skip(&mut run, &plan, host), Err(Refused::NotSkipped { .. })), "{host}");
    }
    assert_eq!(run, before);
}

#[test]
fn staging_and_pilots_keep_a_host_that_proves_the_update() {
    let (plan, mut run) = (plan(Rollback::Auto, 0), Run::new(Rules::default(), at(0)));
    answer_until(&mut run, &plan, |action| matches!(action, Action::CheckChange { .. }));
    assert!(matches!(skip(&mut run, &plan, "p1"), Err(Refused::NotSkipped { .. })), "the only pilot");
    skip(&mut run, &plan, "s1").unwrap();
    assert!(matches!(skip(&mut run, &plan, "s2"), Err(Refused::NotSkipped { .. })), "the last of staging");
}

#[test]
fn failed_host_is_not_tried_again_after_it_was_skipped() {
    let (plan, mut run) = (plan(Rollback::Never, 1), Run::new(Rules::default(), at(0)));
    answer_until(&mut run, &plan, patches("p2"));
    let Pending { step, action, .. } = run.pending.clone().unwrap();
    run.apply(Some(&plan), Event::Answered { step, answer: bad_answer(&action) }, at(0)).unwrap();
    skip(&mut run, &plan, "p2").unwrap();
    let actions = play(&mut run, &plan, good_answer);
    assert!(!actions.iter().any(patches("p2")), "{actions:?}");
    assert!(run.hosts[&id("p2")].state.is_failure());
}
