//! What a connection does: it waits for a request, receives the head of one, or is being answered.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    BoxError,
    body::{Body, Bytes, HttpBody},
};
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

/// A client that takes nothing of its answer for this long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Waiting,
    ReceivingHead,
    Answering,
}

#[derive(Debug, Clone, Copy)]
struct Now {
    doing: Doing,
    since: Instant,
    has_served: bool,
    /// Since when the client takes nothing.
    blocked_since: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Phase(Mutex<Now>);

impl Phase {
    pub fn new() -> Self {
        let since = Instant::now();
        Self(Mutex::new(Now { doing: Doing::Waiting, since, has_served: false, blocked_since: None }))
    }

    /// A whole head has arrived. The request is answered until the guard is dropped.
    pub fn begin(this: &Arc<Self>) -> Answering {
        this.turn(Doing::Answering);
        Answering(this.clone())
    }

    /// The handshake of TLS is over: the connection waits for its first request.
    pub fn is_secured(&self) {
        self.turn(Doing::Waiting);
    }

    pub fn bytes_arrived(&self) {
        let mut now = self.now();
        if now.doing == Doing::Waiting {
            (now.doing, now.since) = (Doing::ReceivingHead, Instant::now());
        }
    }

    pub fn bytes_left(&self) {
        self.now().blocked_since = None;
    }

    pub fn is_blocked(&self) {
        self.now().blocked_since.get_or_insert_with(Instant::now);
    }

    /// Of connections without a whole request, those that never had one make room first, then those that wait longest. `None`
    /// if a request is being answered.
    pub fn waits(&self) -> Option<(bool, Instant)> {
        let now = self.now();
        (now.doing != Doing::Answering).then_some((now.has_served, now.since))
    }

    /// Returns once the connection has waited too long.
    pub async fn until_overdue(&self, header_timeout: Duration, idle_timeout: Duration) {
        let longest_sleep = header_timeout.min(idle_timeout);
        loop {
            let deadline = self.deadline(header_timeout, idle_timeout);
            let at = Instant::now();
            match deadline {
                Some(deadline) if deadline <= at => return,
                // What the connection does may change before the deadline.
                Some(deadline) => tokio::time::sleep_until(deadline.min(at + longest_sleep)).await,
                None => tokio::time::sleep(longest_sleep).await,
            }
        }
    }

    fn deadline(&self, header_timeout: Duration, idle_timeout: Duration) -> Option<Instant> {
        let now = self.now();
        match now.doing {
            Doing::Waiting => Some(now.since + idle_timeout),
            Doing::ReceivingHead => Some(now.since + header_timeout),
            Doing::Answering => now.blocked_since.map(|since| since + WRITE_TIMEOUT),
        }
    }

    fn turn(&self, doing: Doing) {
        let mut now = self.now();
        now.has_served |= now.doing == Doing::Answering;
        (now.doing, now.since) = (doing, Instant::now());
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// While it lives, a request is being answered.
pub(super) struct Answering(Arc<Phase>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.turn(Doing::Waiting);
    }
}

/// The body of an answer; its end is the end of the request.
pub(super) struct Served {
    body: Body,
    _answering: Answering,
}

impl Served {
    pub fn new(body: Body, answering: Answering) -> Self {
        Self { body, _answering: answering }
    }
}

impl HttpBody for Served {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Duration = Duration::from_secs(15);
    const IDLE: Duration = Duration::from_secs(120);

    /// How long from `start` the connection may stay as it is.
    fn allowed(phase: &Phase, start: Instant) -> Option<u64> {
        phase.deadline(HEADER, IDLE).map(|deadline| (deadline - start).as_secs())
    }

    #[tokio::test]
    async fn half_sent_head_is_overdue_before_an_idle_connection() {
        let start = Instant::now();
        let phase = Arc::new(Phase::new());
        assert_eq!(allowed(&phase, start), Some(120));
        phase.bytes_arrived();
        assert_eq!(allowed(&phase, start), Some(15));
        let deadline = phase.deadline(HEADER, IDLE);
        // More bytes do not move the deadline.
        tokio::time::sleep(Duration::from_millis(5)).await;
        phase.bytes_arrived();
        assert_eq!(phase.deadline(HEADER, IDLE), deadline);
        assert_eq!(phase.waits().map(|(has_served, _)| has_served), Some(false));
        let answering = Phase::begin(&phase);
        phase.bytes_arrived();
        assert_eq!((allowed(&phase, start), phase.waits()), (None, None));
        drop(answering);
        assert_eq!(allowed(&phase, start), Some(120));
        assert_eq!(phase.waits().map(|(has_served, _)| has_served), Some(true));
    }

    #[tokio::test]
    async fn request_may_be_answered_for_long_if_the_client_takes_the_answer() {
        let start = Instant::now();
        let phase = Arc::new(Phase::new());
        let _answering = Phase::begin(&phase);
        phase.is_blocked();
        assert_eq!(allowed(&phase, start), Some(60));
        phase.bytes_left();
        assert_eq!(allowed(&phase, start), None);
    }

    #[tokio::test]
    async fn wait_ends_at_a_deadline_that_came_after_it_began() {
        let phase = Arc::new(Phase::new());
        let (header, idle) = (Duration::from_millis(20), Duration::from_secs(3600));
        let answering = Phase::begin(&phase);
        let overdue = phase.until_overdue(header, idle);
        let change = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            drop(answering);
            phase.bytes_arrived();
        };
        let both = async { tokio::join!(overdue, change) };
        assert!(tokio::time::timeout(Duration::from_secs(20), both).await.is_ok());
    }
}
