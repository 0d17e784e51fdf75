//! What package sets lack: stored advisories matched with packages, a set at a time, however many hosts have it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use advisories::{
    HostFacts, InstalledPackage, Inventory, Match, PackageKind, match_host, matching::match_running_kernel,
};
use rustc_hash::{FxHashMap, FxHashSet};
use service_kit::ApiResult;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::{
    measures::{Edition, FixIndex, Measures},
    reckoning,
};
use crate::{
    service::App,
    store::{
        self,
        affected::Pair,
        dictionary::{ContentDigest, NewFinding, by_digest},
    },
};

/// Who changes a policy waits this long for its results at most.
const PATIENCE: Duration = Duration::from_secs(10);
/// Sets, and hosts, evaluated in one transaction, which keeps inventories waiting.
const BATCH: i64 = 2000;

/// Evaluates everything that is due, and gives the hosts whose pending fixes changed by it.
pub(crate) async fn evaluate_due(app: &App) -> ApiResult<u64> {
    let mut changed_hosts = 0;
    while let Some(changed) = evaluate_due_sets(app).await? {
        changed_hosts += changed;
    }
    while reckon_due_hosts(app).await? {}
    Ok(changed_hosts)
}

/// Reckons hosts that a change has made due, for as long as its maker can be asked to wait; the rest, and what fails now,
/// is left to the upkeep.
pub(crate) async fn try_reckon(app: &App) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match reckon_due_hosts(app).await {
            Ok(true) if Instant::now() < deadline => {}
            Ok(_) => return,
            Err(error) => {
                tracing::warn!("results are reckoned later: {}", service_kit::error::chain(&error));
                return;
            }
        }
    }
}

/// Reckons hosts that are due, for a change of what they are measured against that leaves what they lack.
pub(crate) async fn reckon_due_hosts(app: &App) -> ApiResult<bool> {
    let mut transaction = app.pool.begin().await?;
    // Without the lock first: nobody who brings inventories is to wait because there might be something to do.
    if !store::hosts::any_due(&mut transaction).await? {
        return Ok(false);
    }
    store::exclude_scans(&mut transaction).await?;
    store::plan_anew(&mut transaction).await?;
    let hosts = store::hosts::take_due(&mut transaction, BATCH).await?;
    if hosts.is_empty() {
        return Ok(false);
    }
    let edition = app.measures.current(&mut transaction).await?;
    reckoning::reckon(&mut transaction, &edition, &hosts, app.clock.now()).await?;
    transaction.commit().await?;
    Ok(true)
}

/// One batch; `None` when no set is due.
async fn evaluate_due_sets(app: &App) -> ApiResult<Option<u64>> {
    let mut transaction = app.pool.begin().await?;
    let conn = &mut *transaction;
    if !store::package_sets::any_due(conn).await? {
        return Ok(None);
    }
    store::exclude_scans(conn).await?;
    store::plan_anew(conn).await?;
    let sets = store::package_sets::take_due(conn, BATCH).await?;
    if sets.is_empty() {
        store::package_sets::forget_changed_advisories(conn).await?;
        transaction.commit().await?;
        return Ok(None);
    }
    let mut changed_advisories = store::package_sets::list_changed_advisories(conn).await?;
    changed_advisories.sort_unstable();
    let edition = app.measures.current(conn).await?;
    let fixes = edition.fixes.of_advisories(conn, &changed_advisories).await?;
    let touched = Touched::by(&fixes);
    let wanted: Vec<i32> = sets.iter().flat_map(|set| set.packages.iter().copied()).collect();
    let packages = app.measures.packages(conn, &wanted).await?;
    let mut matched = Vec::with_capacity(sets.len());
    for set in &sets {
        let of_set = set.packages.iter().filter_map(|no| packages.get(no)).map(AsRef::as_ref);
        let packages = of_set.filter(|package| touched.concerns(package)).cloned().collect();
        matched.push(lacking(&fixes, &Inventory { facts: set.facts.0.clone(), packages }));
    }
    let numbered = number_findings(conn, &app.measures, &matched).await?;
    let all: Vec<i32> = sets.iter().map(|set| &set.findings).chain(&numbered).flatten().copied().collect();
    let known = edition.findings(conn, &all).await?;
    let is_changed = |no: &i32| {
        known.get(no).is_none_or(|finding| changed_advisories.binary_search(&finding.advisory_no).is_ok())
    };
    let advisories_of = |findings: &[i32]| -> BTreeSet<i32> {
        findings.iter().filter_map(|no| known.get(no)).map(|finding| finding.advisory_no).collect()
    };
    // What other advisories say of the set still holds.
    let (mut rows, mut pairs_of): (Vec<(i32, Vec<i32>)>, _) = (Vec::new(), FxHashMap::default());
    for (set, found) in sets.iter().zip(&numbered) {
        let (replaced, mut findings): (Vec<i32>, Vec<i32>) =
            set.findings.iter().copied().partition(is_changed);
        findings.extend(found);
        findings.sort_unstable();
        if findings != set.findings {
            rows.push((set.no, findings));
            pairs_of.insert(set.no, (advisories_of(&replaced), advisories_of(found)));
        }
    }
    store::package_sets::put_findings(conn, &rows).await?;
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
    changes.write(conn).await?;
    reckoning::reckon_measured(conn, &edition, &hosts, app.clock.now()).await?;
    transaction.commit().await?;
    Ok(Some(hosts.len() as u64))
}

/// Which packages a change of advisories can concern.
struct Touched(FxHashSet<String>);

impl Touched {
    fn by(fixes: &FixIndex) -> Self {
        let affected = fixes.index.advisories().iter().flat_map(|advisory| &advisory.affected);
        Self(affected.map(|affected| affected.package.clone()).collect())
    }

    /// Kernels and packages of modules say something about others, too.
    fn concerns(&self, package: &InstalledPackage) -> bool {
        self.0.contains(&package.name)
            || self.0.contains(package.source_name())
            || package.module.is_some()
            || ["kernel", "linux"]
                .iter()
                .any(|start| package.name.starts_with(start) || package.source_name().starts_with(start))
    }
}

/// Evaluates new sets; gives the numbers of what each lacks, in order.
pub(crate) async fn evaluate_new(
    conn: &mut PgConnection,
    measures: &Measures,
    edition: &Edition,
    inventories: &[&Inventory],
) -> ApiResult<Vec<Vec<i32>>> {
    let mut names_of: BTreeMap<String, FxHashSet<String>> = BTreeMap::new();
    for inventory in inventories {
        let HostFacts { os, channels, .. } = &inventory.facts;
        for release in std::iter::once(os).chain(channels) {
            let names = names_of.entry(release.to_string()).or_default();
            for name in inventory.packages.iter().flat_map(known_names) {
                if !names.contains(name.as_ref()) {
                    names.insert(name.into_owned());
                }
            }
        }
    }
    let mut fixes = HashMap::new();
    for (release, names) in &names_of {
        fixes.insert(release.clone(), edition.fixes.of_release(conn, release, names).await?);
    }
    let mut matched = Vec::with_capacity(inventories.len());
    for inventory in inventories {
        let mut found = Vec::new();
        let HostFacts { os, channels, .. } = &inventory.facts;
        for release in std::iter::once(os).chain(channels) {
            if let Some(fixes) = fixes.get(&release.to_string()) {
                found.extend(lacking(fixes, inventory));
            }
        }
        matched.push(found);
    }
    number_findings(conn, measures, &matched).await
}

/// Every name under which an advisory could speak of a package.
pub(crate) fn known_names(package: &InstalledPackage) -> Vec<std::borrow::Cow<'_, str>> {
    let source = package.source_name();
    let mut names = vec![package.name.as_str().into()];
    if source != package.name {
        names.push(source.into());
    }
    // Kernel images are signed in sources of their own, and advisories name the kernel's.
    if let Some(flavour) = source.strip_prefix("linux-signed") {
        names.push("linux".into());
        names.push(format!("linux{flavour}").into());
    }
    names
}

fn lacking(fixes: &FixIndex, inventory: &Inventory) -> Vec<NewFinding> {
    let mut matches = match_host(&fixes.index, inventory);
    matches.extend(match_running_kernel(&fixes.index, inventory));
    let numbered = matches.iter().filter_map(|found| Some((*fixes.numbers.get(&found.advisory.id)?, found)));
    numbered.map(|(advisory_no, found)| new_finding(advisory_no, found)).collect()
}

fn new_finding(advisory_no: i32, found: &Match<'_>) -> NewFinding {
    let package = found.package;
    // The fixed version of a source is none of its packages' where their versions differ.
    let is_installable_name =
        found.affected.package_kind == PackageKind::Binary || package.source_version.is_none();
    let target = match (is_installable_name, found.installable) {
        (true, Some(false)) => None,
        (true, _) => Some(found.fixed().to_owned()),
        (false, _) => package.candidate.clone(),
    };
    NewFinding {
        advisory_no,
        package: package.name.clone(),
        installed: package.version.clone(),
        fixed: found.fixed().to_owned(),
        candidate: package.candidate.clone(),
        target,
        state: found.state.as_str().to_owned(),
        rule: found.rule.as_str().to_owned(),
    }
}

fn digest(finding: &NewFinding) -> ContentDigest {
    let mut hash = Sha256::new();
    hash.update(finding.advisory_no.to_le_bytes());
    for text in [&finding.package, &finding.installed, &finding.fixed, &finding.state, &finding.rule] {
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

/// The numbers of findings, in order and each once; those that are new get one.
async fn number_findings(
    conn: &mut PgConnection,
    measures: &Measures,
    findings: &[Vec<NewFinding>],
) -> ApiResult<Vec<Vec<i32>>> {
    let digests: Vec<Vec<ContentDigest>> =
        findings.iter().map(|of_set| of_set.iter().map(digest).collect()).collect();
    let known: Vec<Vec<Option<i32>>> =
        digests.iter().map(|digests| measures.known_findings(digests)).collect();
    let mut missing: BTreeMap<ContentDigest, &NewFinding> = BTreeMap::new();
    for ((of_set, digests), known) in findings.iter().zip(&digests).zip(&known) {
        let unknown = of_set.iter().zip(digests).zip(known).filter(|(_, known)| known.is_none());
        missing.extend(unknown.map(|((finding, digest), _)| (*digest, finding)));
    }
    let mut numbers: FxHashMap<ContentDigest, i32> = FxHashMap::default();
    if !missing.is_empty() {
        let wanted: Vec<Vec<u8>> = missing.keys().map(|digest| digest.to_vec()).collect();
        let stored = by_digest(store::dictionary::find_findings(conn, &wanted).await?);
        measures.remember_findings(&stored);
        missing.retain(|digest, _| !stored.contains_key(digest));
        numbers.extend(stored);
    }
    if !missing.is_empty() {
        let new: Vec<(ContentDigest, NewFinding)> =
            missing.iter().map(|(digest, finding)| (*digest, (*finding).clone())).collect();
        let inserted = by_digest(store::dictionary::insert_findings(conn, &new).await?);
        missing.retain(|digest, _| !inserted.contains_key(digest));
        numbers.extend(inserted);
        // Somebody else was faster; that transaction has ended, or there would be an answer still to wait for.
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
pub(crate) struct AdvisoryOf(FxHashMap<i32, i32>);

impl AdvisoryOf {
    pub(crate) async fn load(
        conn: &mut PgConnection,
        edition: &Edition,
        findings: &[i32],
    ) -> ApiResult<Self> {
        let found = edition.findings(conn, findings).await?;
        Ok(Self(found.into_iter().map(|(no, finding)| (no, finding.advisory_no)).collect()))
    }

    pub(crate) fn of(&self, findings: &[i32]) -> BTreeSet<i32> {
        findings.iter().filter_map(|no| self.0.get(no).copied()).collect()
    }
}

/// Which hosts come to lack something of an advisory, and which lack it no more.
#[derive(Default)]
pub(crate) struct PairChanges {
    new: Vec<Pair>,
    old: Vec<Pair>,
}

impl PairChanges {
    pub(crate) fn add(&mut self, host: i32, before: &BTreeSet<i32>, after: &BTreeSet<i32>) {
        self.new.extend(after.difference(before).map(|advisory| (*advisory, host)));
        self.old.extend(before.difference(after).map(|advisory| (*advisory, host)));
    }

    pub(crate) async fn write(self, conn: &mut PgConnection) -> ApiResult<()> {
        store::affected::change_pairs(conn, self.new, self.old).await
    }
}
