//! `--watch`: prints a list again and again, until ctrl-C.

use std::time::Duration;

use chrono::Utc;

use terminal::{CommandResult, Failure, OK};
use terminal::{is_terminal, print};

/// On a terminal each list replaces the one before; elsewhere an empty line is between them. The first failure ends it.
pub async fn run(
    every: Duration,
    title: &str,
    mut list: impl AsyncFnMut() -> CommandResult,
) -> CommandResult {
    let mut is_first = true;
    loop {
        start(every, title, is_first)?;
        is_first = false;
        let once = async {
            list().await?;
            tokio::time::sleep(every).await;
            Ok::<(), Failure>(())
        };
        tokio::select! {
            ended = once => ended?,
            _ = tokio::signal::ctrl_c() => return OK,
        }
    }
}

fn start(every: Duration, title: &str, is_first: bool) -> Result<(), Failure> {
    const CLEAR: &str = "\u{1b}[H\u{1b}[2J";
    if is_terminal() {
        let now = Utc::now().format("%H:%M:%S UTC");
        return print(&format!(
            "{CLEAR}patchctl {title}, every {} s, {now}; ctrl-C ends it\n\n",
            every.as_secs()
        ));
    }
    if is_first { Ok(()) } else { print("\n") }
}
