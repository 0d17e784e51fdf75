//! `policy preview --preflight`: waits for the dry run that checks the hosts, and prints which of them are ready.

use std::time::Duration;

use api_client::patch::PatchClient;
use api_types::patch::{PolicyPreview, RunDetail};
use domain::{
    ids::{CiId, RunId},
    plan::{Connection, Plan},
    preflight::PreflightCheck,
};
use serde::Serialize;

use crate::poll::poll;
use terminal::{Columns, Printer, note, print};
use terminal::{CommandResult, ExitStatus, Failure};

/// As for a scan, which the dry run contains.
const TIMEOUT: Duration = Duration::from_secs(2 * 3600);
const EVERY: Duration = Duration::from_millis(500);
const HOSTS: Columns = "host=ci_id ready check reason";

/// What preflight says about one host; a host that fails several checks has several of them.
#[derive(Serialize)]
struct Checked<'a> {
    ci_id: &'a CiId,
    /// `yes`, `no`, or `not_checked`: the host is a model, or could not be scanned.
    ready: &'static str,
    check: Option<PreflightCheck>,
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Preflighted<'a> {
    #[serde(flatten)]
    preview: &'a PolicyPreview,
    hosts: Vec<Checked<'a>>,
}

pub async fn run(
    client: &PatchClient,
    preview: &PolicyPreview,
    run: RunId,
    printer: Printer,
) -> CommandResult {
    note(&format!("run {run} checks the hosts"));
    let ended = until_ended(client, run).await?;
    let plan = match ended.summary.plan_hash {
        Some(_) => Some(client.get_run_plan(run).await?),
        None => None,
    };
    let hosts = plan.as_ref().map(checked).unwrap_or_default();
    let unready = hosts.iter().filter(|host| host.check.is_some() || host.reason.is_some()).count();
    let ready = hosts.iter().filter(|host| host.ready == "yes").count();
    if printer.is_for_people() {
        print("\n")?;
    }
    if printer.is_document() {
        printer.item(&Preflighted { preview, hosts })?;
    } else {
        printer.list(&hosts, HOSTS)?;
    }
    if plan.is_none() {
        note(ended.summary.reason.as_deref().unwrap_or("no host misses an update, so none was checked"));
    }
    Ok(match (unready, ready) {
        (0, _) if plan.is_none() && ended.summary.reason.is_some() => ExitStatus::Failed,
        (0, _) => ExitStatus::Ok,
        (_, 0) => ExitStatus::Failed,
        _ => ExitStatus::Partial,
    })
}

fn checked(plan: &Plan) -> Vec<Checked<'_>> {
    let targets = plan.targets.iter().map(|(ci_id, target)| {
        let ready = if target.connection == Connection::Model { "not_checked" } else { "yes" };
        Checked { ci_id, ready, check: None, reason: None }
    });
    let not_ready = plan.not_ready.iter().flat_map(|(ci_id, failures)| {
        failures.iter().map(move |failure| Checked {
            ci_id,
            ready: "no",
            check: Some(failure.check),
            reason: Some(&failure.reason),
        })
    });
    let unscanned = plan.unscanned.iter().map(|(ci_id, reason)| Checked {
        ci_id,
        ready: "not_checked",
        check: None,
        reason: Some(reason),
    });
    let mut hosts: Vec<Checked<'_>> = targets.chain(not_ready).chain(unscanned).collect();
    hosts.sort_by_key(|host| host.ci_id);
    hosts
}

async fn until_ended(client: &PatchClient, id: RunId) -> Result<RunDetail, Failure> {
    let ended = poll(TIMEOUT, EVERY, async || {
        Ok(Some(client.get_run(id).await?).filter(|run| run.summary.state.is_final()))
    });
    ended.await?.ok_or_else(|| {
        Failure::new(format!("run {id} has not ended after two hours"))
            .hint(format!("`patchctl run show {id}` shows its progress"))
    })
}
