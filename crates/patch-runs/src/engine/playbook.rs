//! A playbook of a run: recorded, so that a later owner can end it, and stopped with this process.

use std::{path::PathBuf, time::Duration};

use ansible::{End, Ended, Event, KillOnDrop, PlaybookRun, RunningPlaybook};
use domain::ids::RunId;
use service_kit::{ApiError, ApiResult, problem_types};
use tokio::sync::watch;

use super::{StopSignal, Task};
use crate::app::transition;
use crate::{App, app::playbooks, store::run_records};

/// A playbook in progress.
pub struct ActivePlaybook {
    running: RunningPlaybook,
    stop_signal: watch::Receiver<StopSignal>,
    stopping: bool,
    app: App,
    _kill_on_drop: KillOnDrop,
}

/// A new folder for the files of an action's playbook.
pub fn run_dir(app: &App, run: RunId, step: u64) -> PathBuf {
    let attempt = uuid::Uuid::now_v7().simple().to_string();
    app.compliance.settings.work_dir.join("runs").join(run.to_string()).join(format!("{step:04}-{attempt}"))
}

/// Starts a playbook and records which process it is.
pub async fn start(task: &Task<'_>, run: PlaybookRun) -> ApiResult<ActivePlaybook> {
    let running = task.app.runner.start(run).await.map_err(|error| {
        ApiError::new(
            problem_types::ANSIBLE,
            format!("cannot start the playbook: {}", service_kit::error::chain(&error)),
        )
    })?;
    let kill_on_drop = running.kill_on_drop();
    let process = serde_json::to_value(running.process())?;
    let mut transaction = transition::begin_as_owner(task.lease).await?;
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
    })
}

impl ActivePlaybook {
    /// The next event. Requests a stop of the playbook as soon as the run wants one.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if !self.stopping && *self.stop_signal.borrow_and_update() == StopSignal::Stop {
                self.stopping = true;
                self.running.request_stop();
            }
            tokio::select! {
                event = self.running.next_event() => match event {
                    Some(Event::HostKeyLearned { host, key }) => {
                        playbooks::pin_host_key(&self.app, &host, &key).await;
                    }
                    event => return event,
                },
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
            other => format!("the playbook failed ({other:?}, {:?})", ended.exit),
        },
        None => "the playbook ended without a result".to_owned(),
    }
}

/// Time for the start and the end of a playbook, in addition to the work on its hosts.
pub const MARGIN: Duration = Duration::from_secs(120);

pub use playbooks::playbook_run;
