//! A playbook of a run: recorded, so that a later owner can end it, and stopped with this process.

use std::{path::PathBuf, time::Duration};

use ansible::{End, Ended, Event, KillOnDrop, LeaseFile, PlaybookRun, RunningPlaybook};
use domain::ids::RunId;
use leases::LeaseTime;
use service_kit::{ApiError, ApiResult, problem_types};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::{StopSignal, Task};
use crate::{App, app::playbooks, store::run_records};

/// A playbook in progress.
pub struct ActivePlaybook {
    running: RunningPlaybook,
    stop_signal: watch::Receiver<StopSignal>,
    stopping: bool,
    app: App,
    _kill_on_drop: KillOnDrop,
    _extends_lease: AbortOnDropHandle<()>,
}

/// A new folder for the files of an action's playbook.
pub fn run_dir(app: &App, run: RunId, step: u64) -> PathBuf {
    let attempt = uuid::Uuid::now_v7().simple().to_string();
    app.compliance.settings.work_dir.join("runs").join(run.to_string()).join(format!("{step:04}-{attempt}"))
}

/// Starts a playbook and records which process it is.
pub async fn start(task: &Task<'_>, mut run: PlaybookRun) -> ApiResult<ActivePlaybook> {
    let lease_time = task.owned.lease.remaining();
    run.lease = Some(lease_time.left());
    let running = task.app.runner.start(run).await.map_err(|error| {
        ApiError::new(
            problem_types::ANSIBLE,
            format!("cannot start the playbook: {}", service_kit::error::chain(&error)),
        )
    })?;
    let kill_on_drop = running.kill_on_drop();
    let extends_lease = AbortOnDropHandle::new(tokio::spawn(extend_lease(running.lease_file(), lease_time)));
    let process = serde_json::to_value(running.process())?;
    let mut transaction = task.owned.begin().await?;
    run_records::update_action_process(
        &mut transaction,
        task.loaded.row.id,
        task.pending.step,
        Some(&process),
    )
    .await?;
    transaction.commit().await?;
    Ok(ActivePlaybook {
        running,
        stop_signal: task.stop_signal.clone(),
        stopping: false,
        app: task.app.clone(),
        _kill_on_drop: kill_on_drop,
        _extends_lease: extends_lease,
    })
}

/// Keeps the playbook's lease as long as the run's. If this process is paused, nothing extends it.
async fn extend_lease(file: LeaseFile, time: LeaseTime) {
    loop {
        tokio::time::sleep(EXTEND_EVERY).await;
        if let Err(error) = file.extend(time.left()) {
            tracing::warn!("cannot extend the lease of a playbook, which stops when it ends: {error}");
        }
    }
}

impl ActivePlaybook {
    /// The next event.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.receive().await {
                Some(Event::HostKeyLearned { host, key }) => {
                    playbooks::pin_host_key(&self.app, &host, &key).await;
                }
                event => return event,
            }
        }
    }

    /// The next event, and those that follow within a short time. Empty when the playbook has ended.
    pub async fn next_events(&mut self) -> Vec<Event> {
        let mut events: Vec<Event> = self.next().await.into_iter().collect();
        let until = tokio::time::Instant::now() + GATHER_FOR;
        let mut keys = Vec::new();
        while !events.is_empty() && events.len() < GATHER_AT_MOST {
            match tokio::time::timeout_at(until, self.receive()).await {
                Ok(Some(Event::HostKeyLearned { host, key })) => keys.push((host, key)),
                Ok(Some(event)) => events.push(event),
                Ok(None) | Err(_) => break,
            }
        }
        for (host, key) in keys {
            playbooks::pin_host_key(&self.app, &host, &key).await;
        }
        events
    }

    /// Receives an event. Requests a stop of the playbook as soon as the run wants one.
    async fn receive(&mut self) -> Option<Event> {
        loop {
            if !self.stopping && *self.stop_signal.borrow_and_update() == StopSignal::Stop {
                self.stopping = true;
                self.running.request_stop();
            }
            tokio::select! {
                event = self.running.next_event() => return event,
                changed = self.stop_signal.changed(), if !self.stopping => if changed.is_err() { self.stopping = true },
            }
        }
    }

    /// Whether a stop was requested.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }
}

/// Why a playbook ended without a result.
pub fn end_reason(ended: Option<&Ended>) -> String {
    match ended {
        Some(ended) => match ended.end {
            End::Succeeded | End::HostsFailed => "the playbook ended without a result".to_owned(),
            End::Stopped | End::Terminated | End::Killed => "the playbook was stopped".to_owned(),
            End::TimedOut => "the playbook exceeded its time limit".to_owned(),
            End::Silent => "the playbook gave no sign of life for too long and was ended".to_owned(),
            other => format!("the playbook failed ({other:?}, {:?})", ended.exit),
        },
        None => "the playbook ended without a result".to_owned(),
    }
}

/// How long events are gathered, so that they are stored together.
const GATHER_FOR: Duration = Duration::from_millis(100);
const GATHER_AT_MOST: usize = 2000;
/// Between two extensions of a playbook's lease: well below the time that one heartbeat gives.
const EXTEND_EVERY: Duration = Duration::from_secs(1);
/// Time for the start and the end of a playbook, in addition to the work on its hosts.
pub const MARGIN: Duration = Duration::from_secs(120);

pub use playbooks::playbook_run;
