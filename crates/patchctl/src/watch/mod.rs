//! Follows a run: reads its event stream, reconnects after every break, and shows the progress.

mod events;
mod stream;
mod view;

use std::time::Duration;

use api_client::patch::PatchClient;
use api_types::patch::{CloudEvent, RunDetail, RunTrigger};
use domain::ids::RunId;
use domain::run::RunState;
use tokio::time::Instant;

use terminal::{CommandResult, ExitStatus, Failure, OK};
use terminal::{Printer, print};

use stream::EventStream;
use view::View;

/// Give up when the platform is unreachable for longer than this; the run continues.
const PATIENCE: Duration = Duration::from_secs(600);
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Follows a run until it ends. Exit status: 0 succeeded, 3 some hosts failed, 1 anything else.
pub async fn run(client: &PatchClient, id: RunId, printer: Printer) -> CommandResult {
    let detail = client.get_run(id).await?;
    let mut view = View::new(printer, &detail);
    follow(client, id, "0", |event| view.show(event)).await?;
    let ended = client.get_run(id).await?;
    view.end(&ended);
    Ok(status_of(&ended))
}

/// Prints the events as JSON, one per line, until the run ends.
pub async fn events(client: &PatchClient, id: RunId, after: &str) -> CommandResult {
    follow(client, id, after, print_event).await?;
    OK
}

fn print_event(event: &CloudEvent) -> Result<(), Failure> {
    let text = serde_json::to_string(event);
    print(&text.map_err(|error| Failure::new(format!("the event cannot be printed: {error}")))?)
}

/// Passes every event to `show` once, in order, until the run has ended. A stream that breaks is opened again after the
/// last event that was read.
pub async fn follow(
    client: &PatchClient,
    id: RunId,
    after: &str,
    mut show: impl FnMut(&CloudEvent) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut last_event_id = after.to_owned();
    let mut wait = FIRST_WAIT;
    let mut last_contact = Instant::now();
    loop {
        match client.open_run_events(id, Some(&last_event_id)).await {
            Ok(response) => {
                let mut stream = EventStream::new(response);
                while let Some(event) = stream.next().await {
                    show(&event)?;
                    last_event_id.clone_from(&event.id);
                    (wait, last_contact) = (FIRST_WAIT, Instant::now());
                }
            }
            Err(error) if !error.is_transient() => return Err(error.into()),
            Err(error) if last_contact.elapsed() > PATIENCE => return Err(error.into()),
            Err(error) => tracing::debug!("{error}; opening the stream again"),
        }
        // The service closes the stream after the last event of an ended run; a stream may also break at any time.
        match client.get_run(id).await {
            Ok(run) if run.summary.state.is_final() => {
                return drain(client, id, &last_event_id, show).await;
            }
            Ok(_) => last_contact = Instant::now(),
            Err(error) if !error.is_transient() || last_contact.elapsed() > PATIENCE => {
                return Err(error.into());
            }
            Err(_) => {}
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Reads the events that arrived while the stream was down.
async fn drain(
    client: &PatchClient,
    id: RunId,
    last_event_id: &str,
    mut show: impl FnMut(&CloudEvent) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut stream = EventStream::new(client.open_run_events(id, Some(last_event_id)).await?);
    while let Ok(Some(event)) = tokio::time::timeout(Duration::from_secs(2), stream.next()).await {
        show(&event)?;
    }
    Ok(())
}

fn status_of(run: &RunDetail) -> ExitStatus {
    match run.summary.state {
        RunState::Succeeded => ExitStatus::Ok,
        RunState::RolledBack if run.summary.trigger == RunTrigger::Rollback => ExitStatus::Ok,
        RunState::CompletedWithErrors => ExitStatus::Partial,
        _ => ExitStatus::Failed,
    }
}

impl View {
    fn new(printer: Printer, run: &RunDetail) -> Self {
        if !printer.is_for_people() {
            Self::Events
        } else if terminal::is_terminal() {
            Self::live(run)
        } else {
            Self::Lines
        }
    }
}
