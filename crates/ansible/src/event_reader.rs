//! Turns the callback plugin's lines into events.

use std::{collections::BTreeSet, time::Duration};

use domain::{ids::CiId, workflow::WorkflowStep};
use serde::Deserialize;
use tokio::{
    io::AsyncRead,
    sync::{mpsc, watch},
    time::{self, Instant},
};

use crate::{
    event::{Event, HostResult, known_step},
    lines::BoundedLines,
    secret::Redactor,
};

const LONGEST_EVENT_BYTES: usize = 1024 * 1024;
/// A worker that outlives its parent keeps the pipe open; reading ends after this silence.
const SILENCE_AFTER_EXIT: Duration = Duration::from_secs(2);

/// An event as the callback plugin writes it.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line {
    HostStarted {
        host: CiId,
        task: String,
        #[serde(deserialize_with = "known_step")]
        step: Option<WorkflowStep>,
    },
    HostResult(Box<HostResult>),
    /// Written every five seconds.
    Heartbeat,
    /// The playbook completed on these hosts.
    Stats {
        hosts: BTreeSet<CiId>,
    },
}

/// When the playbook was heard of last.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LastLine {
    At(Instant),
    /// A slow receiver makes the playbook wait: the playbook itself is not silent.
    BeingPassedOn,
}

impl LastLine {
    pub fn now() -> Self {
        Self::At(Instant::now())
    }

    /// When the silence after it becomes too long.
    pub fn silent_at(self, allowed: Duration) -> Option<Instant> {
        match self {
            Self::At(at) => Some(at + allowed),
            Self::BeingPassedOn => None,
        }
    }
}

/// What the whole stream reported, for judging how the run ended.
#[derive(Default)]
pub(crate) struct StreamSummary {
    /// Hosts with an outcome.
    pub finished: BTreeSet<CiId>,
    pub has_stats: bool,
}

impl StreamSummary {
    /// The event that a line is for the receiver, if any.
    fn note(&mut self, line: Line) -> Option<Event> {
        match line {
            Line::HostStarted { host, task, step } => Some(Event::HostStarted { host, task, step }),
            Line::HostResult(result) => {
                if result.outcome().is_some() {
                    self.finished.insert(result.host.clone());
                }
                Some(Event::HostResult(*result))
            }
            Line::Heartbeat => None,
            Line::Stats { hosts } => {
                self.has_stats = true;
                self.finished.extend(hosts);
                None
            }
        }
    }
}

/// Passes on every event and waits for a slow receiver. Without a receiver it keeps reading, so that the play continues.
pub(crate) async fn read_events(
    pipe: impl AsyncRead + Unpin,
    redactor: Redactor,
    events: mpsc::Sender<Event>,
    mut exited: watch::Receiver<bool>,
    last_line: watch::Sender<LastLine>,
) -> StreamSummary {
    let mut summary = StreamSummary::default();
    let mut lines = BoundedLines::new(pipe, LONGEST_EVENT_BYTES);
    loop {
        let abandoned = async {
            // An error means the supervisor is gone, which is an exit, too.
            let _ = exited.wait_for(|exited| *exited).await;
            time::sleep(SILENCE_AFTER_EXIT).await;
        };
        let line = tokio::select! {
            biased;
            line = lines.next() => line,
            () = abandoned => return summary,
        };
        match line {
            Ok(Some(line)) => {
                if let Some(event) = parse(&line.bytes, &redactor).and_then(|line| summary.note(line)) {
                    last_line.send_replace(LastLine::BeingPassedOn);
                    let _ = events.send(event).await;
                }
                last_line.send_replace(LastLine::now());
            }
            Ok(None) => return summary,
            Err(error) => {
                tracing::warn!(%error, "cannot read the event stream of ansible-playbook any more");
                return summary;
            }
        }
    }
}

fn parse(line: &[u8], redactor: &Redactor) -> Option<Line> {
    match serde_json::from_slice::<Line>(line) {
        Ok(mut line) => {
            redact(&mut line, redactor);
            Some(line)
        }
        Err(error) => {
            tracing::warn!(%error, "skipped a line of the event stream that cannot be parsed");
            None
        }
    }
}

/// Only what hosts and modules report can hold a secret.
fn redact(line: &mut Line, redactor: &Redactor) {
    let Line::HostResult(result) = line else { return };
    for text in [&mut result.item, &mut result.message].into_iter().flatten() {
        *text = redactor.redact(text).into_owned();
    }
    if let Some(data) = &mut result.data {
        redactor.redact_json(data);
    }
}
