//! Runs as text: log lines, Markdown, CSV.

use std::fmt::Write as _;

use api_types::patch::{ChangedPackage, HostStatus, LogLine, PendingRestart, RunReport};
use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use domain::text::inert_cell;
use futures::{Stream, StreamExt};
use service_kit::ApiResult;

/// A log as text or NDJSON, streamed.
pub(super) fn log_response(
    lines: impl Stream<Item = ApiResult<LogLine>> + Send + 'static,
    as_text: bool,
) -> Response {
    let content_type = if as_text { "text/plain; charset=utf-8" } else { "application/x-ndjson" };
    // Compression asks once more after the end.
    let body = lines
        .map(move |line| line.map(|line| if as_text { text_line(&line) } else { json_line(&line) }))
        .fuse();
    ([(header::CONTENT_TYPE, content_type)], Body::from_stream(body)).into_response()
}

fn text_line(line: &LogLine) -> String {
    let at = line.at.format("%Y-%m-%dT%H:%M:%S%.3fZ");
    let host = line.ci_id.as_ref().map(|host| format!(" {host}:")).unwrap_or_default();
    format!("{at}{host} {}\n", printable(&line.text))
}

fn json_line(line: &LogLine) -> String {
    serde_json::to_string(line).map(|json| json + "\n").unwrap_or_default()
}

/// Escapes control characters, because logs are shown on terminals.
fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// A report for a change record or a mail.
pub(super) fn markdown(report: &RunReport) -> String {
    let mut text = String::new();
    let run = &report.run;
    let _ = writeln!(text, "# Run {}: {}\n", run.id, run.state.name());
    let _ = writeln!(text, "| | |\n| --- | --- |");
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "| {name} | {} |", value.replace('|', "\\|"));
    };
    row("requested by", run.requested_by.clone());
    row("change", run.change_id.as_ref().map_or("none".to_owned(), ToString::to_string));
    row("plan", run.plan_hash.as_ref().map_or("none".to_owned(), ToString::to_string));
    row("strategy", run.strategy.map_or("none".to_owned(), |strategy| strategy.to_string()));
    row(
        "hosts",
        format!(
            "{} patched, {} failed, {} skipped, of {}",
            run.hosts.succeeded,
            run.hosts.failed,
            run.hosts.skipped + run.hosts.cancelled,
            run.hosts.total
        ),
    );
    row("packages changed", report.packages_changed.to_string());
    row("reboots", report.reboots.to_string());
    row(
        "staging tests",
        format!(
            "{} before, {} after, {} regressions",
            report.tests.before, report.tests.after, report.tests.regressions
        ),
    );
    if let (Some(before), Some(after)) = (report.compliance_before, report.compliance_after) {
        row(
            "compliant hosts",
            format!("{} before, {} after, of {}", before.compliant, after.compliant, after.total),
        );
    }
    if let Some(reason) = &run.reason {
        row("reason", reason.clone());
    }
    if let Some(incident) = &report.incident_id {
        row("incident", incident.clone());
    }
    let _ = writeln!(text, "\n## Predicted and actual\n\n| | predicted | actual |\n| --- | --- | --- |");
    if let Some(prediction) = &report.prediction {
        let actual =
            report.actual.duration_seconds.map_or("none".to_owned(), |seconds| format!("{seconds:.0} s"));
        let _ = writeln!(
            text,
            "| duration | P50 {:.0} s, P95 {:.0} s | {actual} |",
            prediction.duration_p50_seconds, prediction.duration_p95_seconds
        );
        let _ = writeln!(
            text,
            "| failed hosts | {:.1} | {} |",
            prediction.expected_failed_hosts, report.actual.failed_hosts
        );
        let _ = writeln!(
            text,
            "| halted | {:.0} % | {} |",
            prediction.halt_probability * 100.0,
            if report.actual.halted { "yes" } else { "no" }
        );
        let _ = writeln!(
            text,
            "| hosts down at once | {} | {} |",
            prediction.max_hosts_down, report.actual.max_hosts_down
        );
    }
    let _ = writeln!(text, "\n## Stages\n\n| stage | seconds |\n| --- | --- |");
    for stage in &report.stages {
        let _ = writeln!(text, "| {} | {:.1} |", stage.stage, stage.seconds);
    }
    let _ = writeln!(
        text,
        "\n## Hosts\n\n| host | wave | state | attempts | packages | rebooted | pending restart | reason |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    for host in &report.hosts {
        let wave =
            host.wave.and_then(|wave| report.waves.get(wave as usize)).map_or("", |wave| wave.name.as_str());
        let _ = writeln!(
            text,
            "| {} | {wave} | {} | {} | {} | {} | {} | {} |",
            host.ci_id,
            host.state.name(),
            host.attempts,
            host.changed.len(),
            if host.rebooted { "yes" } else { "no" },
            pending_restart(host, ", "),
            host.error.as_deref().unwrap_or_default().replace('|', "\\|").replace('\n', " "),
        );
    }
    packages(&mut text, report);
    text
}

/// What was changed on each host, and what was left out.
fn packages(text: &mut String, report: &RunReport) {
    if report.hosts.iter().any(|host| !host.changed.is_empty()) {
        let _ = writeln!(text, "\n## Packages\n\n| host | package | from | to |\n| --- | --- | --- | --- |");
    }
    for host in &report.hosts {
        for ChangedPackage { package, from, to } in &host.changed {
            let from = from.as_deref().unwrap_or("newly installed");
            let to = to.as_deref().unwrap_or("removed");
            let _ = writeln!(text, "| {} | {package} | {from} | {to} |", host.ci_id);
        }
    }
    if !report.left_out.is_empty() {
        let _ = writeln!(text, "\n## Left out\n\n| host | package | why |\n| --- | --- | --- |");
    }
    for (host, left_out) in &report.left_out {
        for one in left_out {
            let why = one.explanation().replace('|', "\\|").replace('\n', " ");
            let _ = writeln!(text, "| {host} | {} | {why} |", one.package);
        }
    }
}

/// The services of a host that run replaced code until they are restarted; `unknown` if nobody could look.
fn pending_restart(host: &HostStatus, between: &str) -> String {
    match &host.pending_restart {
        PendingRestart::NotChecked | PendingRestart::Failed { .. } => "unknown".to_owned(),
        PendingRestart::Checked { services } => {
            let names: Vec<&str> = services.iter().map(|service| service.name.as_str()).collect();
            names.join(between).replace('|', "\\|")
        }
    }
}

/// One line per host.
pub(super) fn csv(report: &RunReport) -> String {
    let mut text = "run_id,ci_id,wave,state,attempts,packages_changed,rebooted,snapshot_id,started_at,ended_at,error,pending_restart,packages_installed,packages_removed,left_out\r\n".to_owned();
    for host in &report.hosts {
        let cells = [
            report.run.id.to_string(),
            host.ci_id.to_string(),
            host.wave.map(|wave| wave.to_string()).unwrap_or_default(),
            host.state.name().to_owned(),
            host.attempts.to_string(),
            host.changed.len().to_string(),
            host.rebooted.to_string(),
            host.snapshot_id.map(|id| id.to_string()).unwrap_or_default(),
            host.started_at.map(|at| at.to_rfc3339()).unwrap_or_default(),
            host.ended_at.map(|at| at.to_rfc3339()).unwrap_or_default(),
            host.error.clone().unwrap_or_default(),
            pending_restart(host, " "),
            host.changed.iter().filter(|package| package.from.is_none()).count().to_string(),
            host.changed.iter().filter(|package| package.to.is_none()).count().to_string(),
            left_out(report, host),
        ];
        text.push_str(&cells.map(|cell| csv_cell(&cell)).join(","));
        text.push_str("\r\n");
    }
    text
}

fn left_out(report: &RunReport, host: &HostStatus) -> String {
    let names = report.left_out.get(&host.ci_id).into_iter().flatten().map(|one| one.package.as_str());
    names.collect::<Vec<_>>().join(" ")
}

fn csv_cell(cell: &str) -> String {
    let inert = inert_cell(cell);
    if inert.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", inert.replace('"', "\"\""))
    } else {
        inert.into_owned()
    }
}
