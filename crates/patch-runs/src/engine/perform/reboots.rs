//! One reboot per host and window: a run leaves its reboot to the run that waits for the host.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    ids::{CiId, RunId},
    policy::Policy,
    time::FreezeCalendar,
    workflow::Reboot,
};
use planner::Schedule;
use service_kit::ApiResult;

use crate::engine::Task;
use crate::{
    App,
    app::{
        calendars,
        transition::{Evidence, Report},
    },
    store::reboots,
};

/// How this run reboots each host: as its plan and earlier runs require, or not at all if a later run that is due now will do
/// it.
pub(super) async fn choose(task: &Task<'_>, hosts: &BTreeSet<CiId>) -> ApiResult<BTreeMap<CiId, Reboot>> {
    let (plan, row, app) = (task.plan()?, &task.loaded.row, task.app);
    let mut transaction = task.owned.begin().await?;
    let left_here = reboots::list_left_to(&mut transaction, row.id).await?;
    let mut chosen = BTreeMap::new();
    let mut log = Vec::new();
    for host in hosts {
        let wanted = strongest(plan.reboot, left_here.get(host).copied());
        let own = reboot_now(task, host, wanted)?;
        if own != wanted {
            let text = "if it needs a reboot, that waits for the reboot window".to_owned();
            log.push((Some(host.clone()), text));
        }
        let next = match own {
            Reboot::Never => None,
            Reboot::IfRequired | Reboot::Always => {
                next_run(app, &mut transaction, row.id, host, plan).await?
            }
        };
        if let Some(next) = next {
            reboots::insert_left(&mut transaction, row.id, host, next, own, app.clock.now()).await?;
            let text = format!("its reboot is left to run {next}, which patches it next in the same window");
            log.push((Some(host.clone()), text));
        }
        chosen.insert(host.clone(), if next.is_some() { Reboot::Never } else { own });
    }
    transaction.commit().await?;
    if !log.is_empty() {
        let evidence = Evidence { log, ..Evidence::default() };
        task.report(vec![Report { event: None, evidence }]).await?;
    }
    Ok(chosen)
}

/// What the reboot window allows of a wanted reboot, for as long as the work on the host is expected to take.
fn reboot_now(task: &Task<'_>, host: &CiId, wanted: Reboot) -> ApiResult<Reboot> {
    let (plan, row) = (task.plan()?, &task.loaded.row);
    let reboot_window = row.policy.reboot_window.clone().filter(|_| row.waits_for_openings());
    let (Some(target), true) = (plan.targets.get(host), reboot_window.is_some()) else { return Ok(wanted) };
    let begins = task.app.clock.now();
    let schedule = Schedule { begins, window: None, reboot_window, freezes: FreezeCalendar::default() };
    let openings = schedule.openings(&target.tags, false);
    Ok(openings.reboot_now(wanted, 0, u64::from(target.expected_seconds) * 1000))
}

/// The next run on a host that could start now if this run were not in progress.
async fn next_run(
    app: &App,
    conn: &mut sqlx::PgConnection,
    id: RunId,
    host: &CiId,
    plan: &domain::plan::Plan,
) -> ApiResult<Option<RunId>> {
    let now = app.clock.now();
    let is_open = |policy: &Policy| policy.window.as_ref().is_none_or(|window| window.admits_start(now));
    let waiting = reboots::list_next_runs(&mut *conn, id, host).await?;
    let Some((next, _)) = waiting.into_iter().find(|(_, policy)| is_open(policy)) else { return Ok(None) };
    let tags = plan.targets.get(host).map(|target| target.tags.clone()).unwrap_or_default();
    let freezes = calendars::find_freeze_names(conn, (now, now), &tags).await?;
    Ok(freezes.is_empty().then_some(next))
}

fn strongest(own: Reboot, left: Option<Reboot>) -> Reboot {
    match (own, left) {
        (Reboot::Always, _) | (_, Some(Reboot::Always)) => Reboot::Always,
        (Reboot::Never, None | Some(Reboot::Never)) => Reboot::Never,
        _ => Reboot::IfRequired,
    }
}

/// Hosts whose reboot was left to this run and that it did not patch successfully.
pub(super) async fn still_due(task: &Task<'_>) -> ApiResult<Vec<CiId>> {
    let mut conn = task.app.pool.acquire().await?;
    let left = reboots::list_left_to(&mut conn, task.loaded.row.id).await?;
    let hosts = &task.loaded.row.machine.hosts;
    let is_done =
        |host: &CiId| hosts.get(host).is_some_and(|run| run.state == domain::run::HostState::Succeeded);
    Ok(left.into_keys().filter(|host| !is_done(host)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reboot_that_was_left_is_never_weakened() {
        assert_eq!(strongest(Reboot::Never, None), Reboot::Never);
        assert_eq!(strongest(Reboot::Never, Some(Reboot::IfRequired)), Reboot::IfRequired);
        assert_eq!(strongest(Reboot::IfRequired, Some(Reboot::Always)), Reboot::Always);
        assert_eq!(strongest(Reboot::Always, Some(Reboot::IfRequired)), Reboot::Always);
    }
}
