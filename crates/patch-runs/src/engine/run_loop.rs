//! The loop of one run: performs the pending action, reacts to orders in the meantime, and stores the answer.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use domain::run::{Answer, Event, Pending, Run};
use leases::Lease;
use service_kit::ApiError;
use tokio::sync::{broadcast, watch};

use super::{RETRY_AFTER, StopSignal, SubjectWork, Task, perform};
use crate::{
    App,
    app::{
        installation::{self, Standing},
        owned_run::OwnedRun,
        run_changes,
        transition::{Evidence, LoadedRun, TransitionError},
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
    let owned = OwnedRun::new(lease);
    let run = owned.id();
    let mut changes = app.changes.subscribe();
    tracing::info!(run.id = %run, run.epoch = owned.lease.epoch().0, "claimed run {run}");
    loop {
        let lapsed = owned.lease.lapsed();
        let turn = tokio::select! {
            () = app.shutdown.cancelled() => Ok(Turn::Release),
            () = lapsed.cancelled() => Ok(Turn::Release),
            turn = turn(&app, &*customers, &owned, &mut changes) => turn,
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
    if let Err(error) = owned.lease.release().await {
        tracing::debug!(run.id = %run, "cannot release the lease of run {run}; it will expire: {error}");
    }
}

async fn turn(
    app: &App,
    customers: &dyn SubjectWork,
    owned: &OwnedRun,
    changes: &mut broadcast::Receiver<Change>,
) -> Result<Turn, TransitionError> {
    let mut conn = app.pool.acquire().await?;
    let loaded = owned.load(&mut conn).await?;
    drop(conn);
    let machine = &loaded.row.machine;
    if machine.state().is_final() {
        return Ok(Turn::Ended);
    }
    if machine.waits_for_operator() && installation::standing(app).await? != Standing::Confirmed {
        // Nobody works on it until an administrator confirms.
        return Ok(Turn::Release);
    }
    let now = app.clock.now();
    if machine.deadline.is_some_and(|deadline| deadline <= now) {
        owned.apply(app, Event::DeadlinePassed, Evidence::default()).await?;
        return Ok(Turn::Again);
    }
    match machine.pending.clone().filter(|_| !machine.waits_for_operator()) {
        Some(pending) if pending.not_before <= now => {
            if !pending.action.is_interruptible() && installation::look(app).await? != Standing::Confirmed {
                return Ok(Turn::Release);
            }
            perform_pending(app, customers, owned, &loaded, &pending, changes).await
        }
        pending => {
            let until =
                [pending.map(|pending| pending.not_before), machine.deadline].into_iter().flatten().min();
            tokio::select! {
                () = run_changes::wait_for_change(changes, owned.id()) => {}
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
    owned: &OwnedRun,
    loaded: &LoadedRun,
    pending: &Pending,
    changes: &mut broadcast::Receiver<Change>,
) -> Result<Turn, TransitionError> {
    let run = owned.id();
    let mut transaction = owned.lease.begin().await?;
    let (earlier_attempts, process) = run_records::begin_action(
        &mut transaction,
        run,
        pending.step,
        owned.lease.epoch().0,
        app.clock.now(),
    )
    .await?;
    transaction.commit().await?;
    perform::end_orphan(process.as_ref()).await;
    let (stop, stop_signal) = watch::channel(StopSignal::Continue);
    let task = Task { app, customers, owned, loaded, pending, is_repeat: earlier_attempts > 0, stop_signal };
    let (answer, evidence) = tokio::select! {
        done = perform::perform(task) => match done {
            Ok(done) => done,
            Err(error) if is_unavailable(&error) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(run.id = %run, "{} failed: {}", pending.action.name(), service_kit::error::chain(&error));
                (Answer::CouldNot { reason: error.to_string() }, Evidence::logged(format!("{} failed: {error}", pending.action.name())))
            }
        },
        superseded = watch_orders(app, owned, &loaded.row.machine, pending, &stop, changes) => {
            return superseded.map(|()| Turn::Again);
        }
    };
    store_answer(app, owned, pending.step, answer, evidence).await
}

/// Passes a stop of the run on to the action, and applies the run's deadline. Returns when the run no longer waits for the
/// action.
async fn watch_orders(
    app: &App,
    owned: &OwnedRun,
    machine: &Run,
    pending: &Pending,
    stop: &watch::Sender<StopSignal>,
    changes: &mut broadcast::Receiver<Change>,
) -> Result<(), TransitionError> {
    let run = owned.id();
    // A requested stop has its own deadline.
    let mut deadline = machine.deadline;
    if machine.stop.is_some() {
        stop.send_replace(StopSignal::Stop);
    }
    loop {
        tokio::select! {
            () = run_changes::wait_for_change(changes, run) => {}
            () = sleep_until(app, deadline), if deadline.is_some() => {
                match owned.apply(app, Event::DeadlinePassed, Evidence::default()).await {
                    // Refused: the deadline has changed in the meantime.
                    Ok(()) | Err(TransitionError::Refused(_)) => deadline = None,
                    Err(error) => return Err(error),
                }
            }
        }
        match read_machine(app, owned).await {
            Ok(machine) => {
                deadline = machine.deadline;
                match action_state(&machine, pending) {
                    ActionState::Wanted => {}
                    ActionState::Stopping => drop(stop.send_replace(StopSignal::Stop)),
                    ActionState::Superseded => return Ok(()),
                }
            }
            Err(error) => tracing::debug!(run.id = %run, "cannot read the run now: {error}"),
        }
    }
}

/// Stores an answer. While the database is unavailable it retries, so that a short outage does not lose what was done.
async fn store_answer(
    app: &App,
    owned: &OwnedRun,
    step: u64,
    answer: Answer,
    evidence: Evidence,
) -> Result<Turn, TransitionError> {
    let until = tokio::time::Instant::now() + ANSWER_RETRY_LIMIT;
    loop {
        let event = Event::Answered { step, answer: answer.clone() };
        match owned.apply(app, event, evidence.clone()).await {
            Ok(()) => return Ok(Turn::Again),
            Err(TransitionError::Failed(error))
                if is_unavailable(&error) && tokio::time::Instant::now() < until =>
            {
                tracing::warn!(run.id = %owned.id(), "cannot store the answer to action {step} yet: {error}");
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

async fn read_machine(app: &App, owned: &OwnedRun) -> Result<Run, ApiError> {
    let mut conn = app.pool.acquire().await?;
    owned.load_machine(&mut conn).await
}

fn action_state(machine: &Run, pending: &Pending) -> ActionState {
    let must_stop = machine.stop.is_some() || machine.waits_for_operator();
    match (&machine.pending, must_stop) {
        (Some(current), false) if current.step == pending.step => ActionState::Wanted,
        (Some(current), true) if current.step == pending.step => ActionState::Stopping,
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
