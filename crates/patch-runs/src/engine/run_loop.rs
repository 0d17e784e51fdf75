//! The loop of one run: performs the pending action, reacts to orders in the meantime, and stores the answer.

use std::{pin::pin, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use domain::{
    ids::RunId,
    run::{Answer, Event, Pending, Run},
};
use leases::Lease;
use service_kit::ApiError;
use tokio::sync::{broadcast, watch};

use super::{RETRY_AFTER, StopSignal, SubjectWork, Task, perform};
use crate::{
    App,
    app::{
        run_changes,
        transition::{self, Evidence, LoadedRun, TransitionError},
    },
    state::Change,
    store::run_records,
    vault::token_file,
};

/// How long to retry to store an answer. Then the run is released, so that another process can claim it.
const ANSWER_RETRY_LIMIT: Duration = Duration::from_secs(120);

/// What follows one turn of the loop.
enum Turn {
    Again,
    Ended,
    /// Another process owns the run, or this process must stop.
    Release,
}

pub(super) async fn run_to_end(app: App, customers: Arc<dyn SubjectWork>, lease: Lease) {
    let run = RunId(*lease.key());
    let mut changes = app.changes.subscribe();
    tracing::info!(run.id = %run, run.epoch = lease.epoch().0, "claimed run {run}");
    loop {
        let lapsed = lease.lapsed();
        let turn = tokio::select! {
            () = app.shutdown.cancelled() => Ok(Turn::Release),
            () = lapsed.cancelled() => Ok(Turn::Release),
            turn = turn(&app, &*customers, &lease, run, &mut changes) => turn,
        };
        match turn {
            Ok(Turn::Again) | Err(TransitionError::Refused(_)) => {}
            Ok(Turn::Ended) => {
                tracing::info!(run.id = %run, "run {run} has ended");
                if let Err(error) = token_file::wipe(&app.compliance.settings.work_dir, run) {
                    tracing::warn!(run.id = %run, "cannot wipe the Vault token of run {run} now; housekeeping will retry: {error}");
                }
                break;
            }
            Ok(Turn::Release) | Err(TransitionError::Lost) => break,
            Err(TransitionError::Failed(error)) => {
                tracing::warn!(run.id = %run, "run {run} cannot continue now: {}", service_kit::error::chain(&error));
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }
    if let Err(error) = lease.release().await {
        tracing::debug!(run.id = %run, "cannot release the lease of run {run}; it will expire: {error}");
    }
}

async fn turn(
    app: &App,
    customers: &dyn SubjectWork,
    lease: &Lease,
    run: RunId,
    changes: &mut broadcast::Receiver<Change>,
) -> Result<Turn, TransitionError> {
    let mut conn = app.pool.acquire().await?;
    let loaded = transition::load(&mut conn, run).await?;
    drop(conn);
    let machine = &loaded.row.machine;
    if machine.state().is_final() {
        return Ok(Turn::Ended);
    }
    let now = app.clock.now();
    if machine.deadline.is_some_and(|deadline| deadline <= now) {
        transition::apply_as_owner(app, lease, Event::DeadlinePassed, Evidence::default()).await?;
        return Ok(Turn::Again);
    }
    match machine.pending.clone() {
        Some(pending) if pending.not_before <= now => {
            perform_pending(app, customers, lease, &loaded, &pending, changes).await
        }
        pending => {
            let until =
                [pending.map(|pending| pending.not_before), machine.deadline].into_iter().flatten().min();
            tokio::select! {
                () = run_changes::wait_for_change(changes, run) => {}
                () = sleep_until(app, until) => {}
            }
            Ok(Turn::Again)
        }
    }
}

/// Performs an action to its end, or drops it if the run no longer waits for it.
async fn perform_pending(
    app: &App,
    customers: &dyn SubjectWork,
    lease: &Lease,
    loaded: &LoadedRun,
    pending: &Pending,
    changes: &mut broadcast::Receiver<Change>,
) -> Result<Turn, TransitionError> {
    let run = loaded.row.id;
    let mut transaction = lease.begin().await?;
    let (earlier_attempts, process) =
        run_records::begin_action(&mut transaction, run, pending.step, lease.epoch().0, app.clock.now())
            .await?;
    transaction.commit().await?;
    perform::end_orphan(process.as_ref()).await;
    let (stop, stop_signal) = watch::channel(StopSignal::Continue);
    let task = Task { app, customers, lease, loaded, pending, is_repeat: earlier_attempts > 0, stop_signal };
    let mut work = pin!(perform::perform(task));
    if loaded.row.machine.stop.is_some() {
        stop.send_replace(StopSignal::Stop);
    }
    // Changes while the action is performed: a requested stop has its own deadline.
    let mut deadline = loaded.row.machine.deadline;
    let (answer, evidence) = loop {
        tokio::select! {
            done = &mut work => match done {
                Ok(done) => break done,
                Err(error) if is_unavailable(&error) => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(run.id = %run, "{} failed: {}", pending.action.name(), service_kit::error::chain(&error));
                    break (Answer::CouldNot { reason: error.to_string() }, Evidence::logged(format!("{} failed: {error}", pending.action.name())));
                }
            },
            () = run_changes::wait_for_change(changes, run) => match read_machine(app, run).await {
                Ok(machine) => {
                    deadline = machine.deadline;
                    match action_state(&machine, pending) {
                        ActionState::Wanted => {}
                        ActionState::Stopping => { stop.send_replace(StopSignal::Stop); }
                        ActionState::Superseded => return Ok(Turn::Again),
                    }
                }
                Err(error) => tracing::debug!(run.id = %run, "cannot read the run now: {error}"),
            },
            () = sleep_until(app, deadline), if deadline.is_some() => {
                match transition::apply_as_owner(app, lease, Event::DeadlinePassed, Evidence::default()).await {
                    Ok(machine) => deadline = machine.deadline,
                    // The deadline has changed in the meantime; the next read of the run returns it.
                    Err(TransitionError::Refused(_)) => deadline = None,
                    Err(error) => return Err(error),
                }
            }
        }
    };
    store_answer(app, lease, run, pending.step, answer, evidence).await
}

/// Stores an answer. While the database is unavailable it retries, so that a short outage does not lose what was done.
async fn store_answer(
    app: &App,
    lease: &Lease,
    run: RunId,
    step: u64,
    answer: Answer,
    evidence: Evidence,
) -> Result<Turn, TransitionError> {
    let until = tokio::time::Instant::now() + ANSWER_RETRY_LIMIT;
    loop {
        let event = Event::Answered { step, answer: answer.clone() };
        match transition::apply_as_owner(app, lease, event, evidence.clone()).await {
            Ok(_) => return Ok(Turn::Again),
            Err(TransitionError::Failed(error))
                if is_unavailable(&error) && tokio::time::Instant::now() < until =>
            {
                tracing::warn!(run.id = %run, "cannot store the answer to action {step} yet: {error}");
                tokio::time::sleep(RETRY_AFTER).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether a dependency is unavailable, so that a retry can succeed.
fn is_unavailable(error: &ApiError) -> bool {
    error.status() == axum::http::StatusCode::SERVICE_UNAVAILABLE
}

/// Whether the run still waits for the answer to an action.
enum ActionState {
    Wanted,
    Stopping,
    Superseded,
}

async fn read_machine(app: &App, run: RunId) -> Result<Run, ApiError> {
    let mut conn = app.pool.acquire().await?;
    Ok(crate::store::runs::get_run(&mut conn, run).await?.machine)
}

fn action_state(machine: &Run, pending: &Pending) -> ActionState {
    match (&machine.pending, &machine.stop) {
        (Some(current), None) if current.step == pending.step => ActionState::Wanted,
        (Some(current), Some(_)) if current.step == pending.step => ActionState::Stopping,
        _ => ActionState::Superseded,
    }
}

/// Waits for an instant of the service's clock, which tests move.
async fn sleep_until(app: &App, until: Option<DateTime<Utc>>) {
    match until {
        Some(until) => app.clock.sleep_until(until).await,
        None => std::future::pending().await,
    }
}
