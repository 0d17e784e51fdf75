//! What a run does to hosts.

use std::collections::BTreeSet;

use api_types::cmdb::SetMaintenance;
use domain::{
    ids::CiId,
    plan::{Intent, Plan},
    run::{Action, Answer, HostState},
    workflow::Reboot,
};
use futures::{FutureExt, future::BoxFuture};
use patch_compliance::app::compliance;
use service_kit::ApiResult;

use super::{admit, hosts, patch, plan, snapshot, staging_tests, verify};
use crate::engine::Task;
use crate::{
    app::{
        change_text::{self, counted},
        runs,
        transition::{Evidence, LogLines},
    },
    engine::{ChangeText, SubjectWork, Work},
    upstream_error,
};

pub(super) struct HostWork;

impl SubjectWork for HostWork {
    fn plan<'a>(&'a self, task: &'a Task<'a>) -> Work<'a> {
        plan::plan(task).boxed()
    }

    fn perform<'a>(&'a self, task: &'a Task<'a>) -> Work<'a> {
        async move {
            match &task.pending.action {
                Action::Admit { wave, hosts } => admit::admit_hosts(task, *wave, hosts).await,
                Action::Snapshot { hosts } => snapshot::snapshot(task, hosts).await,
                Action::Test { phase, hosts } => staging_tests::test(task, *phase, hosts).await,
                Action::Patch { hosts } => patch::patch(task, hosts).await,
                Action::RollBack { hosts } => snapshot::roll_back(task, hosts).await,
                Action::Recover { hosts } => hosts::recover(task, hosts).await,
                Action::Verify { hosts } => verify::verify(task, hosts).await,
                Action::Rescan { hosts } => verify::rescan(task, hosts).await,
                other => {
                    let reason = format!("`{}` does not apply to hosts", other.name());
                    Ok((Answer::CouldNot { reason: reason.clone() }, Evidence::logged(reason)))
                }
            }
        }
        .boxed()
    }

    fn change_text(&self, task: &Task<'_>, plan: &Plan, what: &str) -> ApiResult<ChangeText> {
        let row = &task.loaded.row;
        let packages: usize = plan.targets.values().map(|target| target.updates.len()).sum();
        let (hosts, waves) = (counted(plan.targets.len(), "host"), counted(plan.waves.len(), "wave"));
        let (short_description, work) = match &plan.intent {
            Intent::Rollback { of_run, .. } => (
                format!("Roll back {hosts}: {what}"),
                format!("Run {} undoes run {of_run} on {hosts} in {waves}.", row.id),
            ),
            Intent::Patch | Intent::Deploy(_) => (
                format!("Patch {hosts}: {what}"),
                format!(
                    "Run {} installs {} on {hosts} in {waves}.{}",
                    row.id,
                    counted(packages, "package update"),
                    in_total(plan),
                ),
            ),
        };
        let address = format!("{}/dashboard/runs/{}", task.app.settings.public_url, row.id);
        let details = change_text::describe(plan, row.prediction.as_ref(), &address);
        let reboots = match &row.policy.reboot_window {
            Some(_) if row.waits_for_openings() && plan.reboot != Reboot::Never => {
                "Hosts are rebooted only in the reboot window of the policy, if necessary by a later run.\n"
            }
            _ => "",
        };
        Ok(ChangeText {
            short_description,
            description: format!("{work}\n{reboots}{details}"),
            backout_plan: change_text::backout(plan),
        })
    }

    fn count_text(&self, count: usize) -> String {
        counted(count, "host")
    }

    fn done_text(&self) -> &'static str {
        "hosts patched"
    }

    fn locked_together(&self, plan: &Plan) -> BTreeSet<CiId> {
        plan.subjects().into_iter().cloned().collect()
    }

    /// Writes the patch state of each CI to the CMDB and ends its maintenance.
    fn report<'a>(&'a self, task: &'a Task<'a>) -> BoxFuture<'a, ApiResult<Option<simulator::Actual>>> {
        async move {
            let (row, app) = (&task.loaded.row, task.app);
            let now = app.clock.now();
            let of_state = |wanted: fn(HostState) -> bool| {
                row.machine.hosts.iter().filter(move |(_, host)| wanted(host.state)).map(|(id, _)| id.clone())
            };
            let patched: Vec<CiId> = of_state(|state| state == HostState::Succeeded).collect();
            if !patched.is_empty() && !row.dry_run {
                let mut conn = app.pool.acquire().await?;
                compliance::record_patched(&mut conn, &patched, now).await?;
            }
            for (host, _) in row.machine.hosts.iter().filter(|(_, run)| run.was_touched()) {
                end_maintenance(task, host).await?;
                let mut state = compliance::patch_state(&app.compliance, host, now).await?;
                state.run_id = Some(row.id.0);
                match app.cmdb.set_patch_state(host, &state).await {
                    Err(error) if error.is_transient() => return Err(upstream_error(error)),
                    // The CI was decommissioned in the meantime: there is nothing to update.
                    Err(error) => {
                        tracing::warn!(run.id = %row.id, "the CMDB refused the patch state of `{host}`: {error}")
                    }
                    Ok(_) => {}
                }
            }
            runs::get_actual(app, row.id).await
        }
        .boxed()
    }

    fn alert<'a>(&'a self, _: &'a Task<'a>) -> BoxFuture<'a, ApiResult<LogLines>> {
        std::future::ready(Ok(Vec::new())).boxed()
    }
}

/// What package managers install and remove in addition; empty if no host has such a package.
fn in_total(plan: &Plan) -> String {
    let transactions = || plan.targets.values().filter_map(|target| target.transaction.resolved());
    let new: usize = transactions().map(|transaction| transaction.installs.len()).sum();
    let removed: usize = transactions().map(|transaction| transaction.removals.len()).sum();
    match (new, removed) {
        (0, 0) => String::new(),
        (new, 0) => format!(" With them: {}.", counted(new, "new package")),
        (new, removed) => format!(
            " With them: {}, and {} REMOVED.",
            counted(new, "new package"),
            counted(removed, "package")
        ),
    }
}

/// Ends the run's own maintenance on a host, also on a host that was lost during the run.
async fn end_maintenance(task: &Task<'_>, host: &CiId) -> ApiResult<()> {
    let owner = format!("run:{}", task.loaded.row.id);
    let ci = match task.app.cmdb.get_ci(host).await {
        Ok(ci) => ci,
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(upstream_error(error)),
    };
    if ci.maintenance.is_some_and(|maintenance| maintenance.owner == owner) {
        task.app.cmdb.set_maintenance(host, &SetMaintenance::Off { owner }).await.map_err(upstream_error)?;
    }
    Ok(())
}
