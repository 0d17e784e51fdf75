//! Whatever comes, in whatever order, a run stays sound and ends.

use proptest::prelude::*;

use super::*;

/// What may come at any time.
#[derive(Debug, Clone)]
enum Happening {
    Good,
    Bad,
    CouldNot,
    Stale,
    OneHostFinishes(bool),
    MembersDown,
    WindowCloses,
    ChangeEnds,
    Cancel,
    Skip(usize),
    Pause,
    NeedsOperator,
    Resume,
    Retry,
    RollBack,
    Deadline,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        12 => Just(Happening::Good),
        2 => Just(Happening::Bad),
        1 => Just(Happening::CouldNot),
        1 => Just(Happening::Stale),
        3 => any::<bool>().prop_map(Happening::OneHostFinishes),
        2 => Just(Happening::MembersDown),
        2 => Just(Happening::WindowCloses),
        1 => Just(Happening::ChangeEnds),
        1 => Just(Happening::Cancel),
        2 => (0..7usize).prop_map(Happening::Skip),
        1 => Just(Happening::Pause),
        1 => Just(Happening::NeedsOperator),
        2 => Just(Happening::Resume),
        1 => Just(Happening::Retry),
        1 => Just(Happening::RollBack),
        1 => Just(Happening::Deadline),
    ]
}

fn event_of(run: &Run, happening: &Happening) -> Option<(Event, i64)> {
    let pending = run.pending.as_ref();
    let answered = |answer: Answer| pending.map(|pending| Event::Answered { step: pending.step, answer });
    Some(match happening {
        Happening::Good => (answered(good_answer(&pending?.action))?, 0),
        Happening::Bad => (answered(bad_answer(&pending?.action))?, 0),
        Happening::CouldNot => (answered(Answer::CouldNot { reason: "away".to_owned() })?, 0),
        Happening::Stale => {
            (Event::Answered { step: run.steps.saturating_sub(1), answer: Answer::Soaked }, 0)
        }
        Happening::OneHostFinishes(well) => {
            let Pending { step, action: Action::Patch { hosts }, .. } = pending? else { return None };
            let result = if *well {
                HostResult::Succeeded
            } else {
                HostResult::Unreachable { reason: "lost".to_owned() }
            };
            (Event::HostFinished { step: *step, host: hosts.first()?.clone(), result }, 0)
        }
        Happening::MembersDown => {
            let Action::Admit { hosts, .. } = &pending?.action else { return None };
            let down = BTreeSet::from([id("p4"), id("p5")]);
            (answered(Answer::Admitted { hosts: hosts.clone(), left_out: BTreeMap::new(), down })?, 0)
        }
        Happening::WindowCloses => {
            let Action::Admit { .. } = &pending?.action else { return None };
            (answered(not_yet(WaitCause::Window, at(7 * 86_400)))?, 0)
        }
        Happening::ChangeEnds => {
            let Action::Admit { .. } = &pending?.action else { return None };
            (answered(Answer::ChangeIs(Approval::Refused { reason: "it was failed".to_owned() }))?, 0)
        }
        Happening::Cancel => (Event::Cancel { reason: "operator".to_owned() }, 0),
        Happening::Skip(number) => {
            let host = run.hosts.keys().nth(*number)?.clone();
            (Event::SkipHost { host, reason: "operator".to_owned() }, 0)
        }
        Happening::Pause => (Event::Pause { reason: "operator".to_owned() }, 0),
        Happening::NeedsOperator => (Event::NeedsOperator { reason: "restored".to_owned() }, 0),
        Happening::Resume => (Event::Resume, 0),
        Happening::Retry => (Event::RetryFailed, 0),
        Happening::RollBack => (Event::RollBack { reason: "operator".to_owned() }, 0),
        Happening::Deadline => (Event::DeadlinePassed, 90 * 86_400),
    })
}

fn assert_sound(before: &Run, run: &Run, plan: &Plan) {
    let ended = run.state().is_final();
    assert_eq!(run.deadline.is_none(), ended, "every state that is not final has a deadline");
    assert!(
        ended || run.pending.is_some() || run.paused.is_some(),
        "a run waits for an answer or for an operator"
    );
    if ended {
        assert!(run.pending.is_none() && run.paused.is_none());
        assert!(run.hosts.values().all(|host| host.state.is_final()), "{:?}", run.hosts);
    }
    if let Some(Pending { action: Action::Patch { hosts }, .. }) = &run.pending {
        assert!(
            run.stop.is_none() || hosts.iter().any(|h| run.hosts[h].attempts > 0),
            "no host is started after a stop"
        );
        let down = run.hosts.values().filter(|host| host.state.may_be_down()).count();
        assert!(down <= plan.limits.max_parallel as usize, "{down} hosts are down");
        // A failed host that is tried again is down already.
        let was_down = |host: &CiId| {
            run.down_elsewhere.contains(host)
                || before.hosts.get(host).is_some_and(|host| host.state.may_be_down())
        };
        let takes_one_down = !hosts.iter().all(was_down);
        for service in plan.services.values().filter(|_| takes_one_down) {
            let is_up = |m: &&CiId| !run.hosts[*m].state.may_be_down() && !run.down_elsewhere.contains(*m);
            let up = service.members.iter().filter(is_up).count();
            assert!(up >= service.min_up as usize, "{up} members are up");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_sequence_of_events_reaches_an_illegal_state(
        happenings in prop::collection::vec(happening(), 0..120),
        retries in 0u32..3,
        rollback in prop_oneof![Just(Rollback::Auto), Just(Rollback::Manual), Just(Rollback::Never)],
        dry_run in prop::bool::weighted(0.05),
        replan_after_seconds in prop::option::of(Just(0u32)),
    ) {
        let plan = plan(rollback, retries);
        let mut run = Run::new(Rules { dry_run, replan_after_seconds, ..Rules::default() }, at(0));
        let mut now = 0;
        let mut production_began_after_a_failed_gate = false;
        for happening in &happenings {
            let Some((event, later)) = event_of(&run, happening) else { continue };
            now += 1 + later;
            let before = run.clone();
            let was_halted = matches!(run.stop, Some(Stop::Halted { .. }));
            match run.apply(Some(&plan), event, at(now)) {
                Ok(()) => assert_sound(&before, &run, &plan),
                Err(_) => assert_eq!(run, before, "a refused event changes nothing"),
            }
            let began = run.steps > before.steps && matches!(&run.pending, Some(Pending { action: Action::Patch { .. }, .. }));
            production_began_after_a_failed_gate |= was_halted && began;
            // Saved and read back, it is the same run.
            let mut again: Run = serde_json::from_value(serde_json::to_value(&run).unwrap()).unwrap();
            again.hosts = run.hosts.clone();
            assert_eq!(again, run);
        }
        assert!(!production_began_after_a_failed_gate);
        // Whatever happened, deadlines end it.
        for _ in 0..12 {
            now += 90 * 86_400;
            if run.apply(Some(&plan), Event::DeadlinePassed, at(now)).is_err() {
                break;
            }
        }
        assert!(run.state().is_final(), "{:?}", run.state());
    }
}

#[test]
fn host_whose_packages_can_be_downgraded_is_rolled_back_without_a_snapshot() {
    let mut plan = plan(Rollback::Auto, 0);
    plan.targets.get_mut(&id("p1")).unwrap().rollback_mode = RollbackMode::Downgrade;
    let mut run = Run::new(Rules::default(), at(0));
    let actions = play(&mut run, &plan, |action| match action {
        Action::Patch { hosts } if hosts.contains(&id("p1")) => bad_answer(action),
        _ => good_answer(action),
    });
    let snapshotted =
        actions.iter().any(|a| matches!(a, Action::Snapshot { hosts } if hosts.contains(&id("p1"))));
    assert!(!snapshotted, "a snapshot that nobody needs was taken");
    assert_eq!(run.hosts[&id("p1")].state, HostState::RolledBack);
}
