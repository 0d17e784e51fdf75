//! Which hosts are down now for a reason outside a run. They are missing from their services.

use std::collections::{BTreeMap, BTreeSet};

use domain::{
    ids::{CiId, RunId},
    plan::{Connection, Target},
    run::DownCause,
};
use service_kit::ApiResult;
use sqlx::PgConnection;

use crate::{App, store::host_states, upstream_error};

/// Most CIs in maintenance that are read.
const MAX_IN_MAINTENANCE: usize = 1_000_000;

/// The hosts among `hosts` that are down without being part of `run`, each with the first cause that is found. `asks_driver`:
/// whether the driver of the machines is asked which are powered off.
pub(crate) async fn list_down(
    app: &App,
    conn: &mut PgConnection,
    run: Option<RunId>,
    hosts: &BTreeSet<CiId>,
    asks_driver: bool,
) -> ApiResult<BTreeMap<CiId, DownCause>> {
    let mut down = BTreeMap::new();
    if hosts.is_empty() {
        return Ok(down);
    }
    let mut add = |host: CiId, cause: DownCause| {
        if hosts.contains(&host) {
            down.entry(host).or_insert(cause);
        }
    };
    if asks_driver {
        let off = app.sim.list_vms(&[("power", "off".to_owned())]).await.map_err(upstream_error)?;
        off.into_iter().for_each(|machine| add(machine.id, DownCause::PoweredOff));
    }
    let own = run.map(|run| format!("run:{run}"));
    let filter = [("in_maintenance", "true".to_owned())];
    for ci in app.cmdb.list_cis(&filter, MAX_IN_MAINTENANCE).await.map_err(upstream_error)? {
        if ci.maintenance.is_some_and(|maintenance| Some(&maintenance.owner) != own.as_ref()) {
            add(ci.id, DownCause::Maintenance);
        }
    }
    let ids: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    for host in host_states::list_unreachable(&mut *conn, &ids).await? {
        add(host, DownCause::Unreachable);
    }
    for last in host_states::list_last_states(conn, run, &ids).await? {
        if !last.state.may_be_down() {
            continue;
        }
        if last.state.is_working() {
            add(last.host, DownCause::OtherRun);
        } else if !last.scanned_since {
            add(last.host, DownCause::FailedEarlier);
        }
    }
    Ok(down)
}

/// Whether these targets have machines that a driver knows.
pub(crate) fn has_driver<'a>(mut targets: impl Iterator<Item = &'a Target>, takes_snapshots: bool) -> bool {
    takes_snapshots || targets.any(|target| target.connection == Connection::Model)
}

/// `web-1` (powered_off), `web-2` (maintenance)
pub(crate) fn named(down: &BTreeMap<CiId, DownCause>) -> String {
    let shown = down.iter().take(10).map(|(host, cause)| format!("`{host}` ({cause})"));
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if down.len() > 10 {
        text += &format!(" and {} more", down.len() - 10);
    }
    text
}
