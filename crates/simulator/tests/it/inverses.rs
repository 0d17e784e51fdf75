use domain::{quantity::HostCount, strategy::Strategy};
use planner::PlanRequest;
use simulator::{Answer, Deadline, meet_deadline};

use crate::fixture::{exact, id, request};

/// One host at a time: five waves of 150 s, with 15 s around them.
fn one_by_one() -> PlanRequest {
    PlanRequest { max_parallel: HostCount::Number(1), ..request(Strategy::Rolling) }
}

fn ask(request: &PlanRequest, seconds: f64) -> (Answer, String) {
    let found = meet_deadline(request, Deadline { seconds, confidence: 0.95 }, &exact(), 20, 1);
    (found.answer, found.reason)
}

#[test]
fn deadline_that_is_met_needs_no_change() {
    assert_eq!(ask(&one_by_one(), 765.0).0, Answer::AsItIs);
}

#[test]
fn smallest_parallelism_and_smallest_window_are_offered() {
    let (answer, reason) = ask(&one_by_one(), 700.0);
    // Two at a time: db-1 db-2 may not go together, nor two of web, so three waves.
    assert_eq!(answer, Answer::Change { max_parallel: Some(2), window_seconds: Some(765.0) });
    assert!(
        reason.contains("max_parallel 2 in 3 waves, or a window of 13 min at max_parallel 1"),
        "{reason}"
    );
}

#[test]
fn min_up_is_never_traded_for_time() {
    let (answer, reason) = ask(&one_by_one(), 400.0);
    assert_eq!(answer, Answer::Change { max_parallel: None, window_seconds: Some(765.0) });
    assert!(reason.contains("must keep every min_up"), "{reason}");
}

#[test]
fn runs_that_halt_meet_no_deadline() {
    let mut model = exact();
    model.host.failure_probability = 0.5;
    let deadline = Deadline { seconds: 1e9, confidence: 0.95 };
    let found = meet_deadline(&one_by_one(), deadline, &model, 200, 1);
    assert_eq!(found.answer, Answer::Never);
    assert!(found.reason.contains("too many runs halt"), "{}", found.reason);
}

#[test]
fn plans_with_errors_are_not_considered() {
    let mut request = one_by_one();
    request.graph.services.get_mut(&id("db")).unwrap().min_up = 2;
    let (answer, reason) = ask(&request, 1e9);
    assert_eq!(
        (answer, reason.as_str()),
        (Answer::Never, "no degree of parallelism makes a plan without errors")
    );
}
