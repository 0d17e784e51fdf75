//! What package sets lack: stored advisories matched with stored packages.

use std::collections::{BTreeSet, HashMap, HashSet};

use advisories::{Index, Match, PackageKind, match_host, matching::match_running_kernel};
use service_kit::ApiResult;
use sqlx::PgConnection;

use crate::{
    service::App,
    store::{
        self,
        package_sets::{PendingRow, StoredSet},
    },
};

/// Sets evaluated in one transaction, which keeps other writers waiting.
const BATCH: i64 = 200;

/// Evaluates every set that is due, and gives the hosts whose pending fixes changed by it.
pub(crate) async fn evaluate_due(app: &App) -> ApiResult<u64> {
    let mut changed_hosts = 0;
    loop {
        let mut transaction = app.pool.begin().await?;
        store::lock_results(&mut transaction).await?;
        let sets = store::package_sets::list_due(&mut transaction, BATCH).await?;
        if sets.is_empty() {
            return Ok(changed_hosts);
        }
        let changed = evaluate(&mut transaction, &sets).await?;
        let hosts = store::hosts::list_with_sets(&mut transaction, &changed).await?;
        store::compliance::recompute(&mut transaction, &hosts, app.clock.now()).await?;
        transaction.commit().await?;
        changed_hosts += hosts.len() as u64;
    }
}

/// Evaluates sets, and gives those whose pending fixes changed. The caller holds [`store::lock_results`].
pub(crate) async fn evaluate(conn: &mut PgConnection, sets: &[StoredSet]) -> ApiResult<Vec<i32>> {
    let releases: BTreeSet<String> = sets.iter().map(|set| set.inventory.facts.os.to_string()).collect();
    let names: BTreeSet<&String> = sets.iter().flat_map(|set| &set.names).collect();
    let releases: Vec<String> = releases.into_iter().collect();
    let names: Vec<String> = names.into_iter().cloned().collect();
    let (fixes, numbers) = store::advisories::load_fixes(conn, &releases, &names).await?;
    let index = Index::new(fixes);
    let mut rows = Vec::new();
    for set in sets {
        let mut matches = match_host(&index, &set.inventory);
        matches.extend(match_running_kernel(&index, &set.inventory));
        for found in &matches {
            let Some(&advisory_no) = numbers.get(&found.advisory.id) else { continue };
            rows.push(pending_row(set.no, advisory_no, found));
        }
    }
    rows.sort();
    rows.dedup_by(|a, b| {
        (a.set_no, a.advisory_no, &a.package, &a.fixed) == (b.set_no, b.advisory_no, &b.package, &b.fixed)
    });
    let mut seen = HashSet::new();
    for row in &mut rows {
        row.is_first = seen.insert((row.set_no, row.advisory_no));
    }

    let all: Vec<i32> = sets.iter().map(|set| set.no).collect();
    let before = store::package_sets::list_pending_rows(conn, &all).await?;
    let (before, after) = (by_set(&before), by_set(&rows));
    let changed: Vec<i32> = all.iter().copied().filter(|no| before.get(no) != after.get(no)).collect();
    let differs: HashSet<i32> = changed.iter().copied().collect();
    let fresh: Vec<PendingRow> = rows.iter().filter(|row| differs.contains(&row.set_no)).cloned().collect();
    store::package_sets::replace_pending(conn, &changed, &fresh).await?;
    store::package_sets::mark_evaluated(conn, &all).await?;
    Ok(changed)
}

fn by_set(rows: &[PendingRow]) -> HashMap<i32, Vec<&PendingRow>> {
    let mut sets = HashMap::<i32, Vec<&PendingRow>>::new();
    for row in rows {
        sets.entry(row.set_no).or_default().push(row);
    }
    sets
}

fn pending_row(set_no: i32, advisory_no: i32, found: &Match<'_>) -> PendingRow {
    let package = found.package;
    // The fixed version of a source is none of its packages' where their versions differ.
    let is_installable_name =
        found.affected.package_kind == PackageKind::Binary || package.source_version.is_none();
    let target = match (is_installable_name, found.installable) {
        (true, Some(false)) => None,
        (true, _) => Some(found.fixed().to_owned()),
        (false, _) => package.candidate.clone(),
    };
    PendingRow {
        set_no,
        advisory_no,
        package: package.name.clone(),
        fixed: found.fixed().to_owned(),
        installed: package.version.clone(),
        candidate: package.candidate.clone(),
        target,
        state: found.state.as_str().to_owned(),
        rule: found.rule.as_str().to_owned(),
        published: found.advisory.published,
        is_first: false,
    }
}
