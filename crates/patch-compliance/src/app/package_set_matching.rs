//! Finds the missing fixes of package sets: each set is matched with the stored advisories once, however many hosts have
//! it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use advisories::{
    HostFacts, InstalledPackage, Inventory, Match,
    kernel_name::series_of_image,
    match_host,
    matching::{match_running_kernel, offer, shows_architecture},
};
use rustc_hash::{FxHashMap, FxHashSet};
use service_kit::{ApiError, ApiResult};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;
use tokio::task::{spawn_blocking, yield_now};
use tokio_util::task::AbortOnDropHandle;

use super::{
    criteria_cache::{CriteriaCache, FixIndex, Revision},
    policy_results,
};
use crate::{
    App,
    store::{
        self,
        affected::{Pair, PairChanges},
        dictionary::{ContentDigest, NewFinding, by_digest},
    },
};

/// Maximum time that a change of a policy waits for its results.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Sets, or hosts, per transaction; inventories wait for it.
const BATCH: i64 = 2000;

/// Matches all due sets. Returns the number of hosts whose missing fixes changed.
pub(crate) async fn match_all_due(app: &App) -> ApiResult<u64> {
    let mut changed_hosts = 0;
    while !is_none_due(app).await? {
        changed_hosts += match_due_sets(app).await?;
    }
    Ok(changed_hosts)
}

/// Recomputes all due hosts.
pub(crate) async fn recompute_all_due(app: &App) -> ApiResult<()> {
    while recompute_due_hosts(app).await? {}
    Ok(())
}

/// Recomputes hosts that a change has made due, for as long as its caller can wait. Housekeeping does the rest, and
/// retries what fails.
pub(crate) async fn try_recompute_due(app: &App) {
    let deadline = Instant::now() + MAX_WAIT;
    loop {
        match recompute_due_hosts(app).await {
            Ok(true) if Instant::now() < deadline => {}
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(
                    "cannot recompute results now; housekeeping retries it: {}",
                    service_kit::error::chain(&error)
                );
                return;
            }
        }
    }
}

/// Recomputes hosts that are due because of a change of the criteria, not of their missing fixes. Returns whether there
/// were any.
pub(crate) async fn recompute_due_hosts(app: &App) -> ApiResult<bool> {
    let mut transaction = app.pool.begin().await?;
    // Checks without the lock: inventories must not wait when there is nothing to do.
    if !store::hosts::any_due(&mut transaction).await? {
        return Ok(false);
    }
    store::lock_results_exclusive(&mut transaction).await?;
    store::force_custom_plans(&mut transaction).await?;
    let hosts = store::hosts::take_due(&mut transaction, BATCH).await?;
    if hosts.is_empty() {
        return Ok(false);
    }
    let revision = app.criteria.current(&mut transaction).await?;
    policy_results::recompute(&mut transaction, &revision, &hosts, app.clock.now()).await?;
    transaction.commit().await?;
    Ok(true)
}

/// Whether no set is due. If so, the list of changed advisories is cleared.
async fn is_none_due(app: &App) -> ApiResult<bool> {
    let mut transaction = app.pool.begin().await?;
    if !store::package_sets::any_due(&mut transaction).await? {
        return Ok(true);
    }
    store::lock_results_exclusive(&mut transaction).await?;
    let is_none_due = store::package_sets::clear_changed_advisories(&mut transaction).await?;
    transaction.commit().await?;
    Ok(is_none_due)
}

/// Matches the due sets once, unless the criteria change in the meantime. Returns the number of hosts whose missing fixes
/// changed.
async fn match_due_sets(app: &App) -> ApiResult<u64> {
    let (mut changed_hosts, mut next) = (0, match_next_batch(app, 0).await?);
    while let Some(matched) = next {
        // Matches the next batch while this one is written.
        let (of_task, last) = (app.clone(), matched.last());
        let matching = tokio::spawn(async move { match_next_batch(&of_task, last).await });
        let matching = AbortOnDropHandle::new(matching);
        match write_matched(app, matched).await? {
            Some(changed) => changed_hosts += changed,
            None => break,
        }
        // A small pool may have had no second connection; now the first one is free.
        next = match matching.await.map_err(ApiError::internal)? {
            Ok(next) => next,
            Err(_) => match_next_batch(app, last).await?,
        };
    }
    Ok(changed_hosts)
}

/// A batch of due sets with their findings of the changed advisories.
struct MatchedBatch {
    revision: Arc<Revision>,
    /// Sorted.
    advisories: Vec<i32>,
    /// Sorted numbers of sets, with the numbers of their findings.
    sets: Vec<(i32, Vec<i32>)>,
}

impl MatchedBatch {
    fn last(&self) -> i32 {
        self.sets.last().map_or(i32::MAX, |(no, _)| *no)
    }
}

/// The due sets after `after`; `None` if there are none. They stay due, and no lock is held.
async fn match_next_batch(app: &App, after: i32) -> ApiResult<Option<MatchedBatch>> {
    let mut transaction = app.pool.begin().await?;
    let conn = &mut *transaction;
    store::force_custom_plans(conn).await?;
    // Read first: a write is refused if the revision has changed since.
    let revision = app.criteria.current(conn).await?;
    let mut sets = store::package_sets::list_due(conn, after, BATCH).await?;
    if sets.is_empty() {
        return Ok(None);
    }
    let mut advisories = store::package_sets::list_changed_advisories(conn).await?;
    advisories.sort_unstable();
    let fixes = revision.fixes.of_advisories(conn, &advisories).await?;
    let changed_packages = ChangedPackages::of(&fixes);
    let wanted: Vec<i32> = sets.iter().flat_map(|set| set.packages.iter().copied()).collect();
    let packages = app.criteria.packages(conn, &wanted).await?;
    // Seconds of work: not for a thread that serves others.
    let matching = spawn_blocking(move || {
        let mut found = Vec::with_capacity(sets.len());
        for set in &mut sets {
            let of_set = set.packages.iter().filter_map(|no| packages.get(no)).map(AsRef::as_ref);
            let packages = of_set.filter(|package| changed_packages.may_match(package)).cloned().collect();
            let inventory =
                set.facts.take().map(|facts| Inventory { facts: facts.0, packages, unread: Vec::new() });
            found.push(inventory.map(|inventory| missing_fixes(&fixes, &inventory)).unwrap_or_default());
        }
        (sets, found)
    });
    let (sets, found) = matching.await.map_err(ApiError::internal)?;
    let numbered = number_findings(conn, &app.criteria, &found).await?;
    transaction.commit().await?;
    let sets = sets.iter().map(|set| set.no).zip(numbered).collect();
    Ok(Some(MatchedBatch { revision, advisories, sets }))
}

/// Writes the findings of a batch. Returns the number of changed hosts; `None` if the criteria have changed: the sets
/// stay due.
async fn write_matched(app: &App, matched: MatchedBatch) -> ApiResult<Option<u64>> {
    let mut transaction = app.pool.begin().await?;
    let conn = &mut *transaction;
    store::lock_results_exclusive(conn).await?;
    store::force_custom_plans(conn).await?;
    let MatchedBatch { revision, advisories, sets } = matched;
    if !revision.is(store::policy_criteria::get_revision(conn).await?) {
        return Ok(None);
    }
    let numbers: Vec<i32> = sets.iter().map(|(no, _)| *no).collect();
    let stored_by_set: FxHashMap<i32, Vec<i32>> =
        store::package_sets::take_due(conn, &numbers).await?.into_iter().collect();
    let all: Vec<i32> =
        stored_by_set.values().chain(sets.iter().map(|(_, found)| found)).flatten().copied().collect();
    let advisory_index = AdvisoryIndex::load(conn, &app.criteria, &all).await?;
    // The findings of other advisories still hold.
    let is_changed =
        |no: &i32| advisory_index.get(*no).is_none_or(|advisory| advisories.binary_search(&advisory).is_ok());
    let (mut rows, mut pairs_of): (Vec<(i32, Vec<i32>)>, _) = (Vec::new(), FxHashMap::default());
    for (no, found) in &sets {
        // Another process has matched it, or no host has it any more.
        let Some(stored) = stored_by_set.get(no) else { continue };
        let (replaced, mut findings): (Vec<i32>, Vec<i32>) = stored.iter().copied().partition(is_changed);
        findings.extend(found);
        findings.sort_unstable();
        if findings != *stored {
            rows.push((*no, findings));
            pairs_of.insert(*no, (advisory_index.missing(&replaced), advisory_index.missing(found)));
        }
    }
    store::package_sets::upsert_findings(conn, &rows).await?;
    let of_sets: Vec<i32> = rows.iter().map(|(no, _)| *no).collect();
    let mut hosts = store::results::list_hosts_of_sets(conn, &of_sets).await?;
    let findings_of: FxHashMap<i32, Vec<i32>> = rows.into_iter().collect();
    let mut changes = PairChanges::default();
    for host in &mut hosts {
        let Some(set_no) = host.set_no else { continue };
        if let Some((before, after)) = pairs_of.get(&set_no) {
            changes.add(host.id, before, after);
        }
        host.findings = findings_of.get(&set_no).cloned().unwrap_or_default();
    }
    store::affected::change_pairs(conn, changes).await?;
    policy_results::recompute_hosts(conn, &revision, &hosts, app.clock.now()).await?;
    transaction.commit().await?;
    Ok(Some(hosts.len() as u64))
}

/// The packages that changed advisories can match.
struct ChangedPackages(FxHashSet<String>);

impl ChangedPackages {
    fn of(fixes: &FixIndex) -> Self {
        let affected = fixes.index.advisories().iter().flat_map(|advisory| &advisory.affected);
        Self(affected.map(|affected| affected.package.clone()).collect())
    }

    /// Kernels, packages of modules, and those that show the architectures affect the matching of others, too.
    fn may_match(&self, package: &InstalledPackage) -> bool {
        self.0.contains(&package.name)
            || self.0.contains(package.source_name())
            || package.module.is_some()
            || shows_architecture(package)
            || ["kernel", "linux"]
                .iter()
                .any(|start| package.name.starts_with(start) || package.source_name().starts_with(start))
    }
}

/// Matches new sets. Returns the findings of each, in order.
pub(crate) async fn match_new_sets(
    conn: &mut PgConnection,
    criteria: &CriteriaCache,
    revision: &Revision,
    inventories: &[&Inventory],
) -> ApiResult<Vec<Vec<i32>>> {
    let mut names_of: BTreeMap<String, FxHashSet<String>> = BTreeMap::new();
    for inventory in inventories {
        for release in inventory.facts.matched_releases() {
            let names = names_of.entry(release.to_string()).or_default();
            for name in inventory.packages.iter().flat_map(advisory_names) {
                if !names.contains(name.as_ref()) {
                    names.insert(name.into_owned());
                }
            }
        }
    }
    let mut fixes = HashMap::new();
    for (release, names) in &names_of {
        fixes.insert(release.clone(), revision.fixes.of_release(conn, release, names).await?);
    }
    let mut matched = Vec::with_capacity(inventories.len());
    for inventory in inventories {
        let mut found = Vec::new();
        for release in inventory.facts.matched_releases() {
            if let Some(fixes) = fixes.get(&release.to_string()) {
                found.extend(missing_fixes(fixes, inventory));
            }
        }
        matched.push(found);
        // Some milliseconds each: other tasks go on in between.
        yield_now().await;
    }
    number_findings(conn, criteria, &matched).await
}

/// Every name by which an advisory can mean a package.
pub(crate) fn advisory_names(package: &InstalledPackage) -> Vec<std::borrow::Cow<'_, str>> {
    let source = package.source_name();
    let mut names = vec![package.name.as_str().into()];
    if source != package.name {
        names.push(source.into());
    }
    // Notices name the newest kernel of a series; its number is part of its name.
    names.extend(series_of_image(&package.name).map(Into::into));
    // Signed kernel images are built from their own sources, and advisories name the kernel's source.
    if let Some(flavour) = source.strip_prefix("linux-signed") {
        names.push("linux".into());
        names.push(format!("linux{flavour}").into());
    }
    names
}

fn missing_fixes(fixes: &FixIndex, inventory: &Inventory) -> Vec<NewFinding> {
    let mut matches = match_host(&fixes.index, inventory);
    matches.extend(match_running_kernel(&fixes.index, inventory));
    let numbered = matches.iter().filter_map(|found| Some((*fixes.numbers.get(&found.advisory.id)?, found)));
    numbered.map(|(advisory_no, found)| new_finding(advisory_no, &inventory.facts, found)).collect()
}

fn new_finding(advisory_no: i32, facts: &HostFacts, found: &Match<'_>) -> NewFinding {
    let package = found.package;
    NewFinding {
        advisory_no,
        package: package.name.clone(),
        installed: package.version.clone(),
        fixed: found.fixed().to_owned(),
        candidate: package.candidate.clone(),
        target: offer::version_to_install(facts, found),
        state: found.state,
        rule: found.rule.kind(),
    }
}

fn digest(finding: &NewFinding) -> ContentDigest {
    let mut hash = Sha256::new();
    hash.update(finding.advisory_no.to_le_bytes());
    let names = [finding.state.name(), finding.rule.name()];
    for text in [&*finding.package, &finding.installed, &finding.fixed].into_iter().chain(names) {
        hash.update(text);
        hash.update([0]);
    }
    for text in [&finding.candidate, &finding.target] {
        hash.update([u8::from(text.is_some())]);
        hash.update(text.as_deref().unwrap_or_default());
        hash.update([0]);
    }
    hash.finalize().into()
}

/// The numbers of findings, sorted and without duplicates. New findings get a number.
async fn number_findings(
    conn: &mut PgConnection,
    criteria: &CriteriaCache,
    findings: &[Vec<NewFinding>],
) -> ApiResult<Vec<Vec<i32>>> {
    let digests: Vec<Vec<ContentDigest>> =
        findings.iter().map(|of_set| of_set.iter().map(digest).collect()).collect();
    let known: Vec<Vec<Option<i32>>> =
        digests.iter().map(|digests| criteria.cached_findings(digests)).collect();
    let mut missing: BTreeMap<ContentDigest, &NewFinding> = BTreeMap::new();
    for ((of_set, digests), known) in findings.iter().zip(&digests).zip(&known) {
        let unknown = of_set.iter().zip(digests).zip(known).filter(|(_, known)| known.is_none());
        missing.extend(unknown.map(|((finding, digest), _)| (*digest, finding)));
    }
    let mut numbers: FxHashMap<ContentDigest, i32> = FxHashMap::default();
    if !missing.is_empty() {
        let wanted: Vec<Vec<u8>> = missing.keys().map(|digest| digest.to_vec()).collect();
        let stored = by_digest(store::dictionary::find_findings(conn, &wanted).await?);
        criteria.cache_findings(&stored);
        missing.retain(|digest, _| !stored.contains_key(digest));
        numbers.extend(stored);
    }
    if !missing.is_empty() {
        let new: Vec<(ContentDigest, NewFinding)> =
            missing.iter().map(|(digest, finding)| (*digest, (*finding).clone())).collect();
        let inserted = by_digest(store::dictionary::insert_findings(conn, &new).await?);
        missing.retain(|digest, _| !inserted.contains_key(digest));
        numbers.extend(inserted);
        // Another transaction has inserted them and has ended: otherwise the insert would still wait for it.
        let rest: Vec<Vec<u8>> = missing.keys().map(|digest| digest.to_vec()).collect();
        if !rest.is_empty() {
            numbers.extend(by_digest(store::dictionary::find_findings(conn, &rest).await?));
        }
    }
    let in_order = |(digests, known): (&Vec<ContentDigest>, &Vec<Option<i32>>)| {
        let number =
            |(digest, known): (&ContentDigest, &Option<i32>)| known.or_else(|| numbers.get(digest).copied());
        let mut found: Vec<i32> = digests.iter().zip(known).filter_map(number).collect();
        found.sort_unstable();
        found.dedup();
        found
    };
    Ok(digests.iter().zip(&known).map(in_order).collect())
}

/// The advisories of findings.
pub(crate) struct AdvisoryIndex(FxHashMap<i32, i32>);

impl AdvisoryIndex {
    pub(crate) async fn load(
        conn: &mut PgConnection,
        criteria: &CriteriaCache,
        findings: &[i32],
    ) -> ApiResult<Self> {
        Ok(Self(criteria.advisories_of(conn, findings).await?))
    }

    fn get(&self, finding: i32) -> Option<i32> {
        self.0.get(&finding).copied()
    }

    /// The advisories of these findings.
    pub(crate) fn missing(&self, findings: &[i32]) -> MissingAdvisories {
        let pair = |no: &i32| Some((self.get(*no)?, Some(*no)));
        let mut missing: Vec<(i32, Option<i32>)> = findings.iter().filter_map(pair).collect();
        missing.sort_unstable();
        missing.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            if is_same {
                kept.1 = None;
            }
            is_same
        });
        MissingAdvisories(missing)
    }
}

/// Sorted advisories, each with its finding, or `None` if it has several.
#[derive(Default)]
pub(crate) struct MissingAdvisories(Vec<(i32, Option<i32>)>);

impl MissingAdvisories {
    fn get(&self, advisory: i32) -> Option<Option<i32>> {
        let place = self.0.binary_search_by_key(&advisory, |(no, _)| *no).ok()?;
        self.0.get(place).map(|(_, finding)| *finding)
    }

    /// The advisories that are not among the others.
    pub(crate) fn without<'a>(&'a self, others: &'a Self) -> impl Iterator<Item = i32> + 'a {
        self.0.iter().map(|(advisory, _)| *advisory).filter(|advisory| others.get(*advisory).is_none())
    }
}

impl PairChanges {
    /// Records that the missing fixes of a host changed.
    pub(crate) fn add(&mut self, host_id: i32, before: &MissingAdvisories, after: &MissingAdvisories) {
        for &(advisory_no, finding_no) in &after.0 {
            let pair = Pair { advisory_no, host_id, finding_no };
            match before.get(advisory_no) {
                None => self.new.push(pair),
                Some(stored) if stored != finding_no => self.changed.push(pair),
                Some(_) => {}
            }
        }
        let gone = before.without(after);
        self.old.extend(gone.map(|advisory_no| Pair { advisory_no, host_id, finding_no: None }));
    }
}
