//! Background work at an interval.

use std::time::Duration;

use service_kit::{ApiResult, error::chain};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

pub(super) struct Schedule {
    task: &'static str,
    ticks: Interval,
    shutdown: CancellationToken,
    was_failing: bool,
}

impl Schedule {
    pub fn new(task: &'static str, interval: Duration, shutdown: CancellationToken) -> Self {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { task, ticks, shutdown, was_failing: false }
    }

    /// Waits for the next turn. False when the service stops.
    pub async fn next(&mut self) -> bool {
        self.shutdown.run_until_cancelled(self.ticks.tick()).await.is_some()
    }

    /// Logs a failure, such as a database that is away. Only the first of several in a row is a warning.
    pub fn report(&mut self, result: ApiResult<()>) {
        let Err(error) = result else {
            self.was_failing = false;
            return;
        };
        let source = chain(&error);
        if self.was_failing {
            tracing::debug!(error.source = source, "{} still fails", self.task);
        } else {
            tracing::warn!(error.source = source, "{} failed and will be retried", self.task);
        }
        self.was_failing = true;
    }
}
