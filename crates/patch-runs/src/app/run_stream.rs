//! The events and the log of a run as streams that are read page by page.

use std::collections::VecDeque;

use api_types::patch::{CloudEvent, LogLine};
use domain::ids::RunId;
use futures::{Stream, stream};
use service_kit::{ApiError, ApiResult};
use tokio::sync::broadcast;

use super::run_changes;
use crate::{
    App,
    store::{run_records, runs},
};

const PAGE: i64 = 500;

/// The events after `after`, as they happen. The stream ends after the last event of an ended run.
pub(crate) async fn list_run_events(
    app: App,
    id: RunId,
    after: i64,
) -> ApiResult<impl Stream<Item = CloudEvent> + use<>> {
    let changes = app.changes.subscribe();
    let mut conn = app.pool.acquire().await?;
    runs::has_ended(&mut conn, id).await?;
    drop(conn);
    let follower = Follower { app, id, after, waiting: VecDeque::new(), changes };
    Ok(stream::unfold(follower, async |mut follower| follower.next().await.map(|event| (event, follower))))
}

struct Follower {
    app: App,
    id: RunId,
    after: i64,
    waiting: VecDeque<(i64, CloudEvent)>,
    changes: broadcast::Receiver<crate::state::Change>,
}

impl Follower {
    async fn next(&mut self) -> Option<CloudEvent> {
        loop {
            if let Some((sequence, event)) = self.waiting.pop_front() {
                self.after = sequence;
                return Some(event);
            }
            // `read` checks for the end before it reads events, so no event before the end is missed.
            match self.read().await {
                Ok((_, events)) if !events.is_empty() => self.waiting = events.into(),
                Ok((true, _)) => return None,
                Ok((false, _)) => self.wait().await?,
                Err(error) => {
                    tracing::debug!(run.id = %self.id, "cannot read events now: {error}");
                    self.wait().await?;
                }
            }
        }
    }

    async fn read(&self) -> ApiResult<(bool, Vec<(i64, CloudEvent)>)> {
        let mut conn = self.app.pool.acquire().await?;
        let ended = runs::has_ended(&mut conn, self.id).await?;
        let events = run_records::list_events(&mut conn, self.id, self.after, PAGE).await?;
        Ok((ended, events))
    }

    async fn wait(&mut self) -> Option<()> {
        tokio::select! {
            () = self.app.shutdown.cancelled() => None,
            () = run_changes::wait_for_change(&mut self.changes, self.id) => Some(()),
        }
    }
}

/// Most lines of a tail.
const MAX_TAIL: u32 = 1000;

/// The log, or its last `tail` lines.
pub(crate) async fn get_run_logs(
    app: App,
    id: RunId,
    tail: Option<u32>,
) -> ApiResult<impl Stream<Item = ApiResult<LogLine>> + use<>> {
    let mut conn = app.pool.acquire().await?;
    runs::has_ended(&mut conn, id).await?;
    let (waiting, is_complete) = match tail {
        None => (Vec::new(), false),
        Some(tail @ 1..=MAX_TAIL) => {
            (run_records::list_log_tail(&mut conn, id, i64::from(tail)).await?, true)
        }
        Some(other) => {
            return Err(ApiError::invalid("tail", format!("must be 1 to {MAX_TAIL}, not {other}")));
        }
    };
    drop(conn);
    let reader = LogReader { app, id, after: 0, waiting: waiting.into(), is_complete };
    Ok(stream::unfold(reader, async |mut reader| reader.next().await.map(|line| (line, reader))))
}

struct LogReader {
    app: App,
    id: RunId,
    after: i64,
    waiting: VecDeque<LogLine>,
    /// Nothing is read after the lines that wait.
    is_complete: bool,
}

impl LogReader {
    async fn next(&mut self) -> Option<ApiResult<LogLine>> {
        if self.waiting.is_empty() && !self.is_complete {
            match read_page(&self.app, self.id, self.after).await {
                Ok(lines) => self.waiting = lines.into(),
                Err(error) => {
                    self.is_complete = true;
                    return Some(Err(error));
                }
            }
        }
        let line = self.waiting.pop_front()?;
        self.after = line.sequence;
        Some(Ok(line))
    }
}

async fn read_page(app: &App, id: RunId, after: i64) -> ApiResult<Vec<LogLine>> {
    let mut conn = app.pool.acquire().await?;
    run_records::list_log(&mut conn, id, after, PAGE).await
}
