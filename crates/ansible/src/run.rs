//! A run to start, and a run that is under way.

use std::{path::PathBuf, time::Duration};

use tokio::sync::{mpsc, watch};

use crate::{
    event::{Ended, Event},
    inventory::Inventory,
    lease_file::LeaseFile,
    playbook::Playbook,
    process::Orphan,
    secret::Secret,
    variables::Variables,
};

/// How many events may wait for a slow receiver before the play waits with them.
pub(crate) const EVENT_BUFFER: usize = 256;

/// What to run, on which hosts.
#[derive(Debug, Clone)]
pub struct PlaybookRun {
    pub playbook: Playbook,
    pub inventory: Inventory,
    pub extra_vars: Variables,
    /// Hosts in work at once: the platform's playbooks start on another host only when one is done.
    pub forks: u16,
    /// Folder of only this run. The inventory and the log stay in it, secrets do not.
    pub run_dir: PathBuf,
    pub timeout: Duration,
    /// How long it may write nothing, not even a heartbeat, until it is ended. Heartbeats are five seconds apart.
    pub silent_after: Duration,
    /// How long it may begin steps unless [`LeaseFile::extend`] gives it more time; absent: until its timeout.
    pub lease: Option<Duration>,
    pub stop_graces: StopGraces,
    /// Token that the plugins present to the platform's services; passed in a file.
    pub api_token: Option<Secret>,
    /// Texts to keep out of every event and log, in addition to the token and the keys of the inventory.
    pub secrets: Vec<Secret>,
}

impl PlaybookRun {
    pub fn new(playbook: Playbook, inventory: Inventory, run_dir: impl Into<PathBuf>) -> Self {
        Self {
            playbook,
            inventory,
            extra_vars: Variables::new(),
            forks: 24,
            run_dir: run_dir.into(),
            timeout: Duration::from_secs(3600),
            silent_after: Duration::from_secs(60),
            lease: None,
            stop_graces: StopGraces::default(),
            api_token: None,
            secrets: Vec::new(),
        }
    }
}

/// How long each way of stopping may take before the next, harder one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopGraces {
    /// For the task that runs now, such as a package transaction.
    pub finish: Duration,
    /// Between SIGTERM and SIGKILL.
    pub terminate: Duration,
}

impl Default for StopGraces {
    fn default() -> Self {
        Self { finish: Duration::from_secs(600), terminate: Duration::from_secs(10) }
    }
}

/// How to stop a run; a later variant is harder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StopLevel {
    None,
    AtTaskBoundary,
    AtOnce,
}

/// Stops a run from a place other than the reader of its events.
#[derive(Debug, Clone)]
pub struct StopHandle(pub(crate) watch::Sender<StopLevel>);

impl StopHandle {
    /// Lets each host finish its current task and starts no other. Harder means follow after the run's graces.
    pub fn request(&self) {
        self.raise(StopLevel::AtTaskBoundary);
    }

    /// Terminates without waiting for tasks to finish.
    pub fn terminate(&self) {
        self.raise(StopLevel::AtOnce);
    }

    fn raise(&self, level: StopLevel) {
        self.0.send_if_modified(|current| {
            let harder = level > *current;
            *current = level.max(*current);
            harder
        });
    }
}

/// Terminates the run when dropped, so that no playbook outlives the code that waits for it.
#[derive(Debug)]
pub struct KillOnDrop(StopHandle);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.0.terminate();
    }
}

/// A run that is under way. It continues when this value is dropped; only its events are lost then.
#[derive(Debug)]
pub struct RunningPlaybook {
    pub(crate) process: Orphan,
    pub(crate) log: PathBuf,
    pub(crate) lease_file: LeaseFile,
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) stop: StopHandle,
}

impl RunningPlaybook {
    /// Pid and start time. Record them, so that a later process can find this one and end it.
    pub fn process(&self) -> Orphan {
        self.process
    }

    /// Extends its lease, if it was started with one.
    pub fn lease_file(&self) -> LeaseFile {
        self.lease_file.clone()
    }

    /// The output of `ansible-playbook`, redacted and bounded.
    pub fn log(&self) -> &PathBuf {
        &self.log
    }

    /// The next event; `None` after `Event::Ended`. A receiver that does not read makes the play wait.
    pub async fn next_event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    pub fn stop_handle(&self) -> StopHandle {
        self.stop.clone()
    }

    pub fn kill_on_drop(&self) -> KillOnDrop {
        KillOnDrop(self.stop.clone())
    }

    pub fn request_stop(&self) {
        self.stop.request();
    }

    /// Drops all events until the run has ended, and returns how it ended.
    pub async fn wait(&mut self) -> Option<Ended> {
        while let Some(event) = self.next_event().await {
            if let Event::Ended(ended) = event {
                return Some(ended);
            }
        }
        None
    }
}
