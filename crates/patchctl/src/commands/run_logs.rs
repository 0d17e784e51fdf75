//! The log of a run: all of it, one host's, or line by line until the run ends.

use api_client::patch::PatchClient;
use api_types::patch::{CloudEvent, LogLine};
use clap::ValueEnum;
use domain::ids::{CiId, RunId};

use crate::arguments::LogFormat;
use crate::watch;
use terminal::{CommandResult, Failure, OK};
use terminal::{clean, hint, note, print};

pub async fn run(
    client: &PatchClient,
    id: RunId,
    host: Option<&CiId>,
    follow: bool,
    format: LogFormat,
) -> CommandResult {
    if follow {
        let show = |event: &CloudEvent| line_of(event).map_or(Ok(()), |line| show(&line, host, format));
        watch::follow(client, id, "0", show).await?;
        return OK;
    }
    let Some(host) = host else {
        let format = format.to_possible_value().unwrap_or_default();
        print(&client.get_run_logs(id, format.get_name()).await?)?;
        return OK;
    };
    let lines = parse(&client.get_run_logs(id, "ndjson").await?)?;
    let of_host = || lines.iter().filter(|line| line.ci_id.as_ref() == Some(host));
    if of_host().next().is_none() {
        note(&format!("the log of this run has no line of `{host}`"));
        hint(&format!("`patchctl run hosts {id}` lists the hosts of the run"));
    }
    of_host().try_for_each(|line| show(line, Some(host), format))?;
    OK
}

fn parse(text: &str) -> Result<Vec<LogLine>, Failure> {
    let line = |line: &str| {
        serde_json::from_str(line)
            .map_err(|error| Failure::new(format!("a line of the log cannot be read: {error}")))
    };
    text.lines().filter(|line| !line.is_empty()).map(line).collect()
}

/// The line of the log that an event reports, if it is one.
fn line_of(event: &CloudEvent) -> Option<LogLine> {
    if event.event_type != "patch.run.log.v1" {
        return None;
    }
    let text = |name: &str| event.data.get(name).and_then(serde_json::Value::as_str);
    Some(LogLine {
        sequence: event.id.parse().unwrap_or_default(),
        at: event.time,
        ci_id: text("ci_id").and_then(|id| CiId::new(id).ok()),
        text: text("text")?.to_owned(),
    })
}

fn show(line: &LogLine, host: Option<&CiId>, format: LogFormat) -> Result<(), Failure> {
    if host.is_some() && line.ci_id.as_ref() != host {
        return Ok(());
    }
    print(&match format {
        LogFormat::Ndjson => serde_json::to_string(line).unwrap_or_default(),
        LogFormat::Text => text_of(line),
    })
}

/// As the platform writes its text log.
fn text_of(line: &LogLine) -> String {
    let at = line.at.format("%Y-%m-%dT%H:%M:%S%.3fZ");
    let host = line.ci_id.as_ref().map(|host| format!(" {host}:")).unwrap_or_default();
    format!("{at}{host} {}", clean(&line.text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_events_of_the_log_are_lines() {
        let event = |event_type: &str| -> CloudEvent {
            serde_json::from_value(json!({
                "specversion": "1.0", "id": "7", "source": "/patch/runs/1", "type": event_type, "subject": null,
                "time": "2026-03-01T00:00:00Z", "data": { "ci_id": "web-07", "text": "drained\u{1b}[1m" },
            }))
            .unwrap()
        };
        let line = line_of(&event("patch.run.log.v1")).unwrap();
        assert_eq!(text_of(&line), "2026-03-01T00:00:00.000Z web-07: drained\u{fffd}[1m");
        assert!(line_of(&event("patch.host.state_changed.v1")).is_none());
    }

    #[test]
    fn lines_are_read_back() {
        let text = "{\"sequence\":1,\"at\":\"2026-03-01T00:00:00Z\",\"ci_id\":null,\"text\":\"planned\"}\n";
        assert_eq!(parse(text).unwrap()[0].text, "planned");
        assert!(parse("planned\n").is_err());
    }
}
