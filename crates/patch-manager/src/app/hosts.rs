//! The hosts that are managed: active hosts and VMs of the CMDB that say which operating system they run.

use std::collections::{BTreeMap, BTreeSet};

use api_types::cmdb::{Ci, CiStatus, CiType};
use chrono::{DateTime, Utc};
use domain::{
    ids::CiId,
    package::Packaging,
    plan::{Connection, Target},
    selector::Selector,
    workflow::RollbackMode,
};
use serde_json::Value;
use service_kit::ApiResult;
use sqlx::PgConnection;

use super::{playbooks::HOST_KEY, remote};
use crate::{
    service::App,
    store::{self, hosts::HostRecord, policies::os_key},
};

/// Hosts read from the CMDB at most.
const MOST: usize = 1_000_000;
/// Up to this many CIs named by id are asked for one by one.
const FEW: usize = 50;
/// Hosts stored in one statement.
const BATCH: usize = 1000;

/// The managed hosts that a selector means now, read from the CMDB.
pub(crate) async fn list_managed(app: &App, selector: &Selector) -> ApiResult<Vec<Ci>> {
    let mut cis = if !selector.all && selector.tags.is_empty() && selector.ids.is_empty() {
        Vec::new()
    } else if !selector.ids.is_empty() && selector.ids.len() <= FEW {
        get_each(app, &selector.ids).await?
    } else {
        let tags: Vec<_> =
            selector.tags.iter().map(|(key, value)| ("tag", format!("{key}:{value}"))).collect();
        app.cmdb.list_cis(&tags, MOST).await.map_err(remote::failed)?
    };
    cis.retain(|ci| is_managed(ci) && selector.selects(&ci.id, &ci.tags));
    Ok(cis)
}

async fn get_each(app: &App, ids: &BTreeSet<CiId>) -> ApiResult<Vec<Ci>> {
    let mut cis = Vec::new();
    for id in ids {
        match app.cmdb.get_ci(id).await {
            Ok(ci) => cis.push(ci),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(remote::failed(error)),
        }
    }
    Ok(cis)
}

fn is_managed(ci: &Ci) -> bool {
    matches!(ci.ci_type, CiType::Host | CiType::Vm)
        && ci.status == CiStatus::Active
        && ci.tags.get("os").is_some_and(|os| !os.is_empty())
}

/// The managed hosts that a selector means now, as targets of playbooks, without updates. Hosts whose operating system
/// is not known are left out.
pub(crate) async fn targets(app: &App, selector: &Selector) -> ApiResult<BTreeMap<CiId, Target>> {
    let (targets, refused) = split_targets(list_managed(app, selector).await?);
    for (host, reason) in refused {
        tracing::warn!("`{host}` is left out: {reason}");
    }
    Ok(targets)
}

/// Targets, and the CIs that can be none with the reason.
pub(crate) fn split_targets(cis: Vec<Ci>) -> (BTreeMap<CiId, Target>, BTreeMap<CiId, String>) {
    let mut targets = BTreeMap::new();
    let mut refused = BTreeMap::new();
    for ci in cis {
        let os = ci.tags.get("os").cloned().unwrap_or_default();
        match Packaging::of_os(&os) {
            Some(packaging) => {
                targets.insert(ci.id.clone(), target(ci, os, packaging));
            }
            None => {
                refused.insert(
                    ci.id,
                    format!("its tag `os` is `{os}`, which names no operating system known here"),
                );
            }
        }
    }
    (targets, refused)
}

fn target(ci: Ci, os: String, packaging: Packaging) -> Target {
    let services = ci.attributes.get("services").and_then(Value::as_array);
    let services =
        services.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    Target {
        os,
        packaging,
        services,
        connection: connection(&ci),
        tags: ci.tags,
        updates: Vec::new(),
        rollback_mode: RollbackMode::None,
    }
}

/// By the attribute `driver`; without it a host is entered over SSH, at its `address` or its own name.
fn connection(ci: &Ci) -> Connection {
    let text = |name: &str| ci.attributes.get(name).and_then(Value::as_str).map(str::to_owned);
    match driver(ci) {
        "model" => Connection::Model,
        _ => Connection::Ssh {
            address: text("address").unwrap_or_else(|| ci.id.to_string()),
            port: ci.attributes.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok()),
            user: text("user"),
            host_key: text(HOST_KEY),
            jump: ci.attributes.get("jump_host").and_then(|jump| serde_json::from_value(jump.clone()).ok()),
            python: text("python"),
        },
    }
}

fn driver(ci: &Ci) -> &str {
    ci.attributes.get("driver").and_then(Value::as_str).unwrap_or("ssh")
}

/// Those of these hosts whose last scan is not older than `since`.
pub(crate) async fn scanned_since(
    conn: &mut PgConnection,
    hosts: &[CiId],
    since: DateTime<Utc>,
) -> ApiResult<BTreeSet<CiId>> {
    let ids: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let found = store::hosts::find_hosts(conn, &ids).await?;
    let fresh = found.into_iter().filter(|host| host.last_scanned.is_some_and(|at| at >= since));
    Ok(fresh.filter_map(|host| CiId::new(host.ci_id).ok()).collect())
}

/// Makes the hosts known here those of the CMDB, and reckons new and changed ones anew.
pub(crate) async fn synchronise(app: &App) -> ApiResult<()> {
    let listed = list_managed(app, &Selector { all: true, ..Selector::default() }).await?;
    let records: Vec<HostRecord> = listed.into_iter().map(record).collect();
    let ids: Vec<String> = records.iter().map(|record| record.ci_id.clone()).collect();
    let mut transaction = app.pool.begin().await?;
    store::lock_results(&mut transaction).await?;
    let mut changed = Vec::new();
    for batch in records.chunks(BATCH) {
        changed.extend(store::hosts::upsert_hosts(&mut transaction, batch).await?);
    }
    let gone = store::hosts::deactivate_others(&mut transaction, &ids).await?;
    store::compliance::recompute(&mut transaction, &changed, app.clock.now()).await?;
    transaction.commit().await?;
    if gone > 0 || !changed.is_empty() {
        tracing::info!("took {} new or changed hosts over from the CMDB; {gone} are gone", changed.len());
    }
    Ok(())
}

/// [`synchronise`], where the work can go on with what is known already.
pub(crate) async fn try_synchronise(app: &App) {
    if let Err(error) = synchronise(app).await {
        tracing::warn!("the hosts of the CMDB cannot be read now: {}", service_kit::error::chain(&error));
    }
}

fn record(ci: Ci) -> HostRecord {
    let driver = driver(&ci).to_owned();
    let os = ci.tags.get("os").cloned().unwrap_or_default();
    HostRecord { ci_id: ci.id.into(), os_key: os_key(&os), os, driver, tags: ci.tags }
}
