//! From the callback plugin's lines to events.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use domain::ids::CiId;
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    io::AsyncRead,
    sync::{mpsc, watch},
    time,
};

use crate::{
    event::{Event, HostResult, HostStats, HostStatus, Step},
    lines::BoundedLines,
    secret::Redactor,
};

const LONGEST_EVENT_BYTES: usize = 1024 * 1024;
/// A worker that outlives its parent keeps the pipe open; after this silence nobody waits for it.
const SILENCE_AFTER_EXIT: Duration = Duration::from_secs(2);

/// An event as the callback plugin writes it.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    PlaybookStarted { pid: u32 },
    PlayStarted { play: String },
    TaskStarted { task: String },
    HostStarted { host: CiId, task: String },
    HostResult(Box<ResultLine>),
    NoHostsMatched,
    Stats { hosts: BTreeMap<CiId, HostStats> },
}

#[derive(Deserialize)]
struct ResultLine {
    host: CiId,
    task: String,
    status: HostStatus,
    item: Option<String>,
    message: Option<String>,
    data: Option<Value>,
    duration_ms: u64,
    ignored: bool,
}

impl From<Line> for Event {
    fn from(line: Line) -> Self {
        match line {
            Line::PlaybookStarted { pid } => Self::PlaybookStarted { pid },
            Line::PlayStarted { play } => Self::PlayStarted { play },
            Line::TaskStarted { task } => Self::TaskStarted { step: Step::of_task(&task), task },
            Line::HostStarted { host, task } => Self::HostStarted { host, step: Step::of_task(&task), task },
            Line::HostResult(result) => {
                let ResultLine { host, task, status, item, message, data, duration_ms, ignored } = *result;
                let step = Step::of_task(&task);
                Self::HostResult(HostResult {
                    host,
                    task,
                    step,
                    status,
                    item,
                    message,
                    data,
                    duration_ms,
                    ignored,
                })
            }
            Line::NoHostsMatched => Self::NoHostsMatched,
            Line::Stats { hosts } => Self::Stats { hosts },
        }
    }
}

/// What the whole stream has said, for judging how the run ended.
#[derive(Default)]
pub(crate) struct Heard {
    /// Hosts with a last word.
    pub finished: BTreeSet<CiId>,
    pub stats: bool,
}

impl Heard {
    fn note(&mut self, event: &Event) {
        match event {
            Event::HostResult(result) if result.outcome().is_some() => {
                self.finished.insert(result.host.clone());
            }
            Event::Stats { hosts } => {
                self.stats = true;
                self.finished.extend(hosts.keys().cloned());
            }
            _ => {}
        }
    }
}

/// Hands on every event, waiting for a slow receiver; with no receiver it reads on, so that the play is not stopped.
pub(crate) async fn read_events(
    pipe: impl AsyncRead + Unpin,
    redactor: Redactor,
    events: mpsc::Sender<Event>,
    mut exited: watch::Receiver<bool>,
) -> Heard {
    let mut heard = Heard::default();
    let mut lines = BoundedLines::new(pipe, LONGEST_EVENT_BYTES);
    loop {
        let abandoned = async {
            // An error means the supervisor is gone, which is an exit too.
            let _ = exited.wait_for(|exited| *exited).await;
            time::sleep(SILENCE_AFTER_EXIT).await;
        };
        let line = tokio::select! {
            biased;
            line = lines.next() => line,
            () = abandoned => return heard,
        };
        match line {
            Ok(Some(line)) => {
                let Some(event) = parse(&line.bytes, &redactor) else { continue };
                heard.note(&event);
                let _ = events.send(event).await;
            }
            Ok(None) => return heard,
            Err(error) => {
                tracing::warn!(%error, "the event stream of ansible-playbook cannot be read any more");
                return heard;
            }
        }
    }
}

fn parse(line: &[u8], redactor: &Redactor) -> Option<Event> {
    match serde_json::from_slice::<Line>(line) {
        Ok(mut line) => {
            redact(&mut line, redactor);
            Some(line.into())
        }
        Err(error) => {
            tracing::warn!(%error, "a line of the event stream is not understood and is left out");
            None
        }
    }
}

/// Only what hosts and modules report can hold a secret; the stream's own words stay as they are.
fn redact(line: &mut Line, redactor: &Redactor) {
    let Line::HostResult(result) = line else { return };
    for text in [&mut result.item, &mut result.message].into_iter().flatten() {
        *text = redactor.redact(text).into_owned();
    }
    if let Some(data) = &mut result.data {
        redactor.redact_json(data);
    }
}
