//! Waiting for what a platform does in the background.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use terminal::Failure;

/// Asks again and again until there is an answer; `None` when there was none within `timeout`.
pub async fn poll<T>(
    timeout: Duration,
    every: Duration,
    mut ask: impl AsyncFnMut() -> Result<Option<T>, Failure>,
) -> Result<Option<T>, Failure> {
    let deadline = Instant::now() + timeout;
    loop {
        let answer = ask().await?;
        if answer.is_some() || Instant::now() >= deadline {
            return Ok(answer);
        }
        sleep(every).await;
    }
}
