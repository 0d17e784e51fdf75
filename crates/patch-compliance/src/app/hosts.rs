//! Managed hosts: active hosts and VMs in the CMDB with an `os` tag.

use std::collections::{BTreeSet, HashMap};

use advisories::os_key;
use api_types::cmdb::Ci;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{compliance::ComplianceStatus, ids::CiId, selector::Selector};
use serde_json::Value;
use service_kit::{ApiError, ApiResult, problem_types};
use sqlx::PgConnection;

use super::{
    os_tag,
    package_set_matching::{AdvisoryIndex, MissingAdvisories},
    policy_results::{self, count_host},
};
use crate::{
    App,
    store::{
        self,
        affected::PairChanges,
        hosts::{HostRecord, KnownHost},
        rollups::Changes,
    },
    upstream_error,
};

pub use crate::store::hosts::{find_tags, list_reboot_pending, list_returnable};

/// Maximum hosts read from the CMDB.
const MAX_HOSTS: usize = 1_000_000;
/// Up to this many CIs are read one by one.
const MAX_SINGLE_READS: usize = 50;
/// How often all hosts are compared with the CMDB, in addition to following its changes.
const FULL_LIST_INTERVAL: TimeDelta = TimeDelta::hours(6);

/// The managed hosts that a selector selects now, from the CMDB.
pub async fn list_managed(app: &App, selector: &Selector) -> ApiResult<Vec<Ci>> {
    let mut cis = if !selector.all && selector.tags.is_empty() && selector.ids.is_empty() {
        Vec::new()
    } else if !selector.ids.is_empty() && selector.ids.len() <= MAX_SINGLE_READS {
        get_each(app, &selector.ids).await?
    } else {
        // Of the tag `os`, the CMDB selects every spelling of the release.
        let tags: Vec<_> =
            selector.tags.iter().map(|(key, value)| ("tag", format!("{key}:{value}"))).collect();
        app.cmdb.list_cis(&tags, MAX_HOSTS).await.map_err(upstream_error)?
    };
    cis.retain(|ci| is_managed(ci) && os_tag::selects(selector, &ci.id, &ci.tags));
    Ok(cis)
}

async fn get_each(app: &App, ids: &BTreeSet<CiId>) -> ApiResult<Vec<Ci>> {
    let mut cis = Vec::new();
    for id in ids {
        match app.cmdb.get_ci(id).await {
            Ok(ci) => cis.push(ci),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(upstream_error(error)),
        }
    }
    Ok(cis)
}

fn is_managed(ci: &Ci) -> bool {
    ci.is_managed() == Some(true)
}

/// The attribute `driver`; `ssh` by default.
pub fn driver(ci: &Ci) -> &str {
    ci.attributes.get("driver").and_then(Value::as_str).unwrap_or("ssh")
}

/// The hosts among these that were scanned since `since`.
pub async fn scanned_since(
    conn: &mut PgConnection,
    hosts: &[CiId],
    since: DateTime<Utc>,
) -> ApiResult<BTreeSet<CiId>> {
    let ids: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let found = store::hosts::find_hosts(conn, &ids).await?;
    let fresh = found.into_iter().filter(|host| host.last_scanned.is_some_and(|at| at >= since));
    Ok(fresh.filter_map(|host| CiId::new(host.ci_id).ok()).collect())
}

/// Follows the changes of the CMDB, or reads all its hosts if that is not possible.
pub async fn synchronise(app: &App) -> ApiResult<()> {
    let now = app.clock.now();
    let cursor = store::hosts::find_cursor(&mut *app.pool.acquire().await?).await?;
    if let Some((token, listed_at)) = cursor
        && listed_at > now - FULL_LIST_INTERVAL
    {
        match follow(app, token).await {
            Ok(()) => return Ok(()),
            Err(error) if error.status().is_client_error() => {
                tracing::warn!("cannot follow the changes of the CMDB; reading all its hosts: {error}");
            }
            Err(error) => return Err(error),
        }
    }
    list_whole(app, now).await
}

async fn follow(app: &App, mut token: String) -> ApiResult<()> {
    loop {
        let changes = app.cmdb.list_changes(Some(&token)).await.map_err(refused)?;
        let (managed, others): (Vec<Ci>, Vec<Ci>) = changes.items.into_iter().partition(is_managed);
        let others: Vec<String> = others.into_iter().map(|ci| ci.id.into()).collect();
        let mut transaction = app.pool.begin().await?;
        store::lock_synchronisation(&mut transaction).await?;
        let gone = store::hosts::list_active(&mut transaction, &others).await?;
        apply_hosts(&mut transaction, app, managed, gone).await?;
        if changes.next_token != token {
            store::hosts::upsert_cursor(&mut transaction, &changes.next_token, None).await?;
        }
        transaction.commit().await?;
        token = changes.next_token;
        if !changes.more {
            return Ok(());
        }
    }
}

/// A refusal by the CMDB is not an error of this service's caller; it means that the token is not valid any more.
fn refused(error: api_client::ClientError) -> ApiError {
    match error.status() {
        Some(409 | 422) => ApiError::new(problem_types::UNKNOWN_TOKEN, error.to_string()),
        _ => upstream_error(error),
    }
}

/// Page by page, so that a million hosts fit in memory. Changes in the meantime follow from the token that was read
/// before.
async fn list_whole(app: &App, now: DateTime<Utc>) -> ApiResult<()> {
    let token = app.cmdb.list_changes(None).await.map_err(upstream_error)?.next_token;
    let (mut page_token, mut after): (Option<String>, Option<String>) = (None, None);
    loop {
        let page = app.cmdb.list_page_of_cis(page_token.as_deref()).await.map_err(upstream_error)?;
        let until = page.next_page_token.as_ref().and(page.items.last()).map(|ci| ci.id.to_string());
        let managed: Vec<Ci> = page.items.into_iter().filter(is_managed).collect();
        let listed: Vec<String> = managed.iter().map(|ci| ci.id.to_string()).collect();
        let mut transaction = app.pool.begin().await?;
        store::lock_synchronisation(&mut transaction).await?;
        let gone =
            store::hosts::list_absent(&mut transaction, after.as_deref(), until.as_deref(), &listed).await?;
        apply_hosts(&mut transaction, app, managed, gone).await?;
        if until.is_none() {
            store::hosts::upsert_cursor(&mut transaction, &token, Some(now)).await?;
        }
        transaction.commit().await?;
        if until.is_none() {
            return Ok(());
        }
        (page_token, after) = (page.next_page_token, until);
    }
}

/// Applies the hosts of the CMDB and their removals here, with all counters.
async fn apply_hosts(conn: &mut PgConnection, app: &App, managed: Vec<Ci>, gone: Vec<i32>) -> ApiResult<()> {
    let records: Vec<HostRecord> = managed.into_iter().map(record).collect();
    let names: Vec<String> = records.iter().map(|record| record.ci_id.clone()).collect();
    store::lock_results_shared(conn).await?;
    let mut host_nos = store::hosts::list_host_nos(conn, &names).await?;
    host_nos.extend(&gone);
    host_nos.sort_unstable();
    store::hosts::lock_hosts(conn, &host_nos).await?;
    let known = store::hosts::list_known(conn, &host_nos).await?;
    let known_by_id: HashMap<&str, &KnownHost> =
        known.iter().map(|host| (host.ci_id.as_str(), host)).collect();
    let differs = |record: &HostRecord| {
        known_by_id.get(record.ci_id.as_str()).is_none_or(|host| {
            !host.active || host.tags.0 != record.tags || host.driver != record.driver
                // A release that had no known spelling before.
                || host.os_key != record.os_key
        })
    };
    let fresh: Vec<HostRecord> = records.into_iter().filter(differs).collect();
    let (mut counts, mut pairs) = (Changes::new(), PairChanges::default());
    let revision = app.criteria.current(conn).await?;
    let findings: Vec<i32> = known.iter().flat_map(|host| host.findings.iter().copied()).collect();
    let advisory_index = AdvisoryIndex::load(conn, &app.criteria, &findings).await?;
    let nothing = MissingAdvisories::default();
    for host in known.iter().filter(|host| host.active && gone.binary_search(&host.id).is_ok()) {
        count_host(&mut counts, &host.tags.0, host.status, -1);
        pairs.add(host.id, &advisory_index.missing(&host.findings), &nothing);
    }
    for record in &fresh {
        let host = known_by_id.get(record.ci_id.as_str()).copied();
        if let Some(host) = host.filter(|host| host.active) {
            count_host(&mut counts, &host.tags.0, host.status, -1);
        }
        count_host(&mut counts, &record.tags, host.map_or(ComplianceStatus::Unknown, |host| host.status), 1);
        if let Some(host) = host.filter(|host| !host.active) {
            pairs.add(host.id, &nothing, &advisory_index.missing(&host.findings));
        }
    }
    store::hosts::deactivate_hosts(conn, &gone).await?;
    let mut changed: Vec<i32> = fresh
        .iter()
        .filter_map(|record| known_by_id.get(record.ci_id.as_str()).map(|host| host.id))
        .collect();
    changed.extend(store::hosts::upsert_hosts(conn, &fresh).await?);
    store::rollups::count(conn, &counts).await?;
    store::affected::change_pairs(conn, pairs).await?;
    changed.extend(&gone);
    changed.sort_unstable();
    policy_results::recompute(conn, &revision, &changed, app.clock.now()).await?;
    if !changed.is_empty() {
        tracing::info!(
            "synchronised with the CMDB: {} hosts are new or changed, {} are gone",
            fresh.len(),
            gone.len()
        );
    }
    Ok(())
}

/// [`synchronise`] for callers that can continue with the known hosts.
pub(crate) async fn try_synchronise(app: &App) {
    if let Err(error) = synchronise(app).await {
        tracing::warn!("cannot read the hosts of the CMDB now: {}", service_kit::error::chain(&error));
    }
}

fn record(ci: Ci) -> HostRecord {
    let driver = driver(&ci).to_owned();
    let os = ci.tags.get("os").cloned().unwrap_or_default();
    HostRecord { ci_id: ci.id.into(), os_key: os_key(&os), os, driver, tags: ci.tags }
}
