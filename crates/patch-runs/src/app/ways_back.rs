//! How the hosts of an ended run can be rolled back.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, RunId},
    plan::Plan,
    run::HostRun,
    workflow::RollbackMode,
};
use service_kit::ApiResult;
use uuid::Uuid;

use crate::{
    App,
    store::{runs, snapshots},
};

/// The hosts of an ended run that can be rolled back.
pub(crate) struct WaysBack {
    pub hosts: BTreeSet<CiId>,
    /// Of those that return to a snapshot. The others downgrade their packages.
    pub snapshots: BTreeMap<CiId, Uuid>,
}

/// A host that was changed returns to its snapshot while that is kept, or downgrades its packages if the plan says so.
/// A snapshot without a known expiry is not a way back.
fn ways_back(
    plan: &Plan,
    hosts: BTreeMap<CiId, HostRun>,
    expiries: &BTreeMap<Uuid, DateTime<Utc>>,
    now: DateTime<Utc>,
) -> WaysBack {
    let is_kept = |snapshot: &Uuid| expiries.get(snapshot).is_some_and(|expires_at| now < *expires_at);
    let mut ways = WaysBack { hosts: BTreeSet::new(), snapshots: BTreeMap::new() };
    for (id, host) in hosts.into_iter().filter(|(_, host)| host.update_begun) {
        let mode = plan.targets.get(&id).map(|target| target.rollback_mode);
        match host.snapshot.filter(is_kept) {
            Some(snapshot) => drop(ways.snapshots.insert(id.clone(), snapshot)),
            None if mode == Some(RollbackMode::Downgrade) => {}
            None => continue,
        }
        ways.hosts.insert(id);
    }
    ways
}

/// The plan of an ended run, and which of its hosts can be rolled back now. `None` if nothing was planned.
pub(crate) async fn find_ways_back(app: &App, of_run: RunId) -> ApiResult<Option<(Plan, WaysBack)>> {
    let mut conn = app.pool.acquire().await?;
    let Some(plan) = runs::find_plan(&mut conn, of_run).await? else { return Ok(None) };
    let hosts = runs::list_machine_hosts(&mut conn, of_run).await?;
    let taken = hosts.values().filter_map(|host| host.snapshot);
    let expiries = snapshots::list_expiries(&mut conn, taken).await?;
    let ways = ways_back(&plan, hosts, &expiries, app.clock.now());
    Ok(Some((plan, ways)))
}
