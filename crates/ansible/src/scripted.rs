//! A runner that plays what a test wrote, through the same types as the real one.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::{mpsc, watch};

use crate::{
    error::StartError,
    event::Event,
    process::Orphan,
    run::{EVENT_BUFFER, PlaybookRun, RunningPlaybook, StopHandle, StopLevel},
    runner::{PlaybookRunner, StartFuture},
};

/// One thing a scripted run does.
#[derive(Debug, Clone)]
pub enum Script {
    Tell(Event),
    Pause(Duration),
    /// Goes on when the run is asked to stop.
    AwaitStop,
}

type Author = dyn Fn(&PlaybookRun) -> Result<Vec<Script>, String> + Send + Sync;

/// The fake: for every run it asks its author what happens.
#[derive(Clone)]
pub struct ScriptedRunner {
    author: Arc<Author>,
    runs: Arc<Mutex<Vec<PlaybookRun>>>,
}

impl ScriptedRunner {
    /// `author` gives the script of a run, or the reason why it cannot be started. Its last event should be `Ended`.
    pub fn new(author: impl Fn(&PlaybookRun) -> Result<Vec<Script>, String> + Send + Sync + 'static) -> Self {
        Self { author: Arc::new(author), runs: Arc::default() }
    }

    /// What was started so far.
    pub fn runs(&self) -> Vec<PlaybookRun> {
        self.runs.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

impl PlaybookRunner for ScriptedRunner {
    fn start(&self, run: PlaybookRun) -> StartFuture<'_> {
        Box::pin(async move {
            let script = (self.author)(&run).map_err(StartError::Scripted)?;
            self.runs.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(run);
            let (events, received) = mpsc::channel(EVENT_BUFFER);
            let (stop, stopped) = watch::channel(StopLevel::None);
            tokio::spawn(play(script, events, stopped));
            // Pid 0 belongs to no process, so that ending the orphan of a fake run ends nothing.
            let process = Orphan { pid: 0, start_time: 0 };
            Ok(RunningPlaybook { process, log: PathBuf::new(), events: received, stop: StopHandle(stop) })
        })
    }
}

async fn play(script: Vec<Script>, events: mpsc::Sender<Event>, mut stop: watch::Receiver<StopLevel>) {
    for line in script {
        match line {
            Script::Tell(event) => {
                let _ = events.send(event).await;
            }
            Script::Pause(duration) => tokio::time::sleep(duration).await,
            Script::AwaitStop => {
                // An error means nobody is left to ask for it.
                let _ = stop.wait_for(|level| *level > StopLevel::None).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{End, Ended, ExitKind, Inventory, Playbook};

    #[tokio::test]
    async fn script_waits_for_the_stop_and_runs_are_remembered() {
        let ended = Ended { end: End::Stopped, exit: ExitKind::HostsFailed, unfinished: Default::default() };
        let script = [Script::AwaitStop, Script::Tell(Event::Ended(ended.clone()))];
        let runner = ScriptedRunner::new(move |_| Ok(script.to_vec()));
        let run = PlaybookRun::new(Playbook::PatchRhel, Inventory::new(), "unused");
        let mut running = runner.start(run).await.unwrap();
        running.request_stop();
        assert_eq!(running.wait().await, Some(ended));
        assert_eq!(runner.runs()[0].playbook, Playbook::PatchRhel);
        assert!(!running.process().is_alive());
    }

    #[tokio::test]
    async fn author_may_refuse() {
        let runner = ScriptedRunner::new(|_| Err("no".into()));
        let run = PlaybookRun::new(Playbook::PatchRhel, Inventory::new(), "unused");
        assert!(matches!(runner.start(run).await, Err(StartError::Scripted(_))));
    }
}
