//! `doctor`: what is wrong with the platform and with this machine, and what to do about it. It changes nothing.

mod machine;
mod platform;
mod services;

use std::future::Future;
use std::time::Duration;

use serde::Serialize;

use crate::arguments::GlobalOptions;
use crate::connect::{self, Connection};
use terminal::{Columns, Printer, note};
use terminal::{CommandResult, ExitStatus};

/// One question takes no longer; what is not answered by then is unknown.
const TIMEOUT: Duration = Duration::from_secs(15);

const FINDINGS: Columns = "check status detail remedy";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Ok,
    Warning,
    Failed,
    /// It could not be found out; the detail says why.
    Unknown,
}

/// What was found out about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    check: String,
    status: Status,
    detail: String,
    /// What to do, unless nothing is wrong.
    remedy: Option<String>,
}

impl Finding {
    fn ok(check: &str, detail: impl Into<String>) -> Self {
        Self { check: check.to_owned(), status: Status::Ok, detail: detail.into(), remedy: None }
    }

    fn warning(check: &str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Warning, remedy: Some(remedy.into()), ..Self::ok(check, detail) }
    }

    fn failed(check: &str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Failed, ..Self::warning(check, detail, remedy) }
    }

    fn unknown(check: &str, why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status: Status::Unknown, ..Self::warning(check, why, remedy) }
    }
}

/// Exit status 1 when a check failed, else 0.
pub async fn run(global: &GlobalOptions, printer: Printer) -> CommandResult {
    let findings = examine(global).await;
    printer.list(&findings, FINDINGS)?;
    let count = |status| findings.iter().filter(|one| one.status == status).count();
    if printer.is_for_people() {
        note(&format!(
            "{} ok, {} warnings, {} failed, {} unknown",
            count(Status::Ok),
            count(Status::Warning),
            count(Status::Failed),
            count(Status::Unknown)
        ));
    }
    Ok(if count(Status::Failed) > 0 { ExitStatus::Failed } else { ExitStatus::Ok })
}

async fn examine(global: &GlobalOptions) -> Vec<Finding> {
    let mut findings = Vec::new();
    match connect::addresses(global) {
        Ok(addresses) => findings.extend(services::examine(&addresses).await),
        Err(failure) => findings.push(Finding::failed(
            "services",
            failure.to_string(),
            "select the platform with --server or --port-base",
        )),
    }
    match Connection::new(global) {
        Ok(connection) => findings.extend(platform::examine(&connection).await),
        Err(failure) => findings.push(Finding::unknown(
            "platform",
            format!("nothing can be asked without a token: {failure}"),
            "set the file that contains your token with --token-file, or set PATCH_TOKEN",
        )),
    }
    findings.extend(machine::examine(global));
    findings
}

/// The finding, or that there was none in time.
async fn within_time(check: &str, examined: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    let late = || {
        let why = format!("no answer within {} s", TIMEOUT.as_secs());
        vec![Finding::unknown(
            check,
            why,
            "try again in a moment; `patchctl health` shows which service is busy",
        )]
    };
    tokio::time::timeout(TIMEOUT, examined).await.unwrap_or_else(|_| late())
}

/// What is left of a disk.
fn room(check: &str, free: u64, total: u64) -> Finding {
    const MIB: u64 = 1 << 20;
    let detail = format!("{} MiB free of {} MiB", free / MIB, total / MIB);
    let remedy =
        "make room, or move the folder to a larger disk; a full disk stops imports, runs and the database";
    match free {
        free if free < 256 * MIB => Finding::failed(check, detail, remedy),
        free if free < 2048 * MIB || free < total / 20 => Finding::warning(check, detail, remedy),
        _ => Finding::ok(check, detail),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_room_is_a_warning_and_almost_none_a_failure() {
        let status = |free_mib: u64, total_mib: u64| room("disk", free_mib << 20, total_mib << 20).status;
        assert_eq!(status(100_000, 200_000), Status::Ok);
        assert_eq!(status(1_000, 200_000), Status::Warning);
        assert_eq!(status(9_000, 200_000), Status::Warning);
        assert_eq!(status(200, 1_000), Status::Failed);
    }

    #[tokio::test]
    async fn answer_in_time_is_the_finding() {
        let found = within_time("x", async { vec![Finding::ok("x", "fine")] }).await;
        assert_eq!(found, [Finding::ok("x", "fine")]);
    }
}
