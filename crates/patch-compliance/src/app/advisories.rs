//! Advisories for readers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use advisories::{AffectedPackage, PackageKind, advisory::NotAffected, feed, matching::has_other_fix};
use api_types::{
    page::Page,
    patch::{
        Advisory, AdvisoryDetail, AdvisoryPackage, AdvisorySummary, AffectedCi, CveNote, NoFix,
        PatchStateOfPackage, SparedPackage,
    },
};
use chrono::{DateTime, Utc};
use domain::ids::AdvisoryId;
use service_kit::{ApiError, ApiResult, page::PageRequest, page::page};
use sqlx::PgConnection;

use super::{advisory_cache::CachedAdvisory, criteria_cache::Revision};
use crate::{
    App,
    store::{
        self,
        advisories::{AdvisoryFilter, FoundAdvisory},
        affected::{AffectedHost, AffectedPage},
        dictionary::Finding,
    },
};

/// Maximum advisories shown for one CVE; more than any CVE has.
const MAX_ADVISORIES: i64 = 200;
/// Maximum notes shown with one advisory.
const MAX_NOTES: i64 = 500;

pub(crate) async fn list_advisories(
    app: &App,
    filter: &AdvisoryFilter,
    request: &PageRequest,
) -> ApiResult<Page<AdvisorySummary>> {
    let (limit, after) = (request.limit()?, request.after::<(DateTime<Utc>, i32)>()?);
    let mut conn = app.pool.acquire().await?;
    let rows = store::advisories::list_advisories(&mut conn, filter, after, limit + 1).await?;
    let numbered = page(rows, limit, |(no, advisory)| (advisory.published, *no));
    Ok(Page {
        items: numbered.items.into_iter().map(|(_, advisory)| advisory).collect(),
        next_page_token: numbered.next_page_token,
    })
}

/// An advisory by its id, or all advisories that fix a CVE, with a page of the affected CIs.
pub(crate) async fn get_advisory(
    app: &App,
    id: &AdvisoryId,
    request: &PageRequest,
) -> ApiResult<AdvisoryDetail> {
    let (limit, after) = (request.limit()?, request.after::<i32>()?.unwrap_or(0));
    let mut conn = app.reads.acquire().await?;
    let detail = advisory_detail(app, &mut conn, id, after, limit).await;
    conn.release(detail)
}

async fn advisory_detail(
    app: &App,
    conn: &mut PgConnection,
    id: &AdvisoryId,
    after: i32,
    limit: i64,
) -> ApiResult<AdvisoryDetail> {
    let (known, affected_page) = find_with_page(app, conn, id, after, limit + 1).await?;
    let AffectedPage { revision, counts, mut hosts } = affected_page;
    let applicable_total = count_affected(conn, &known, &counts).await?;
    let mut affected_total = applicable_total;
    let spared = spared_findings(conn, &known).await?;
    if !spared.spared.is_empty() {
        affected_total =
            store::affected::count_with_findings(conn, &known.numbers, &spared.affecting).await?;
        hosts =
            store::affected::list_with_findings(conn, &known.numbers, &spared.affecting, after, limit + 1)
                .await?;
    }
    let Page { items: hosts, next_page_token } = page(hosts, limit, |host| host.id);
    let revision = app.criteria.revision(conn, revision).await?;
    let affected =
        affected_cis(app, conn, &revision, &known.numbers, hosts, &spared.spared, app.clock.now()).await?;
    let mut advisories = known.advisories.clone();
    for (advisory, count) in advisories.iter_mut().zip(counts) {
        advisory.summary.affected_cis = count;
    }
    Ok(AdvisoryDetail {
        id: id.to_string(),
        advisories,
        notes: known.notes.clone(),
        affected_total,
        not_affected_total: applicable_total - affected_total,
        affected,
        next_page_token,
    })
}

/// The answer for an id, and a page of the affected CIs.
async fn find_with_page(
    app: &App,
    conn: &mut PgConnection,
    id: &AdvisoryId,
    after: i32,
    limit: i64,
) -> ApiResult<(Arc<CachedAdvisory>, AffectedPage)> {
    if let Some(known) = app.advisory_cache.get(id.as_str()) {
        let page = store::affected::get_page(conn, &known.numbers, after, limit).await?;
        if page.revision == known.revision {
            return Ok((known, page));
        }
    }
    let known = Arc::new(find(conn, id).await?);
    app.advisory_cache.put(id.as_str(), known.clone());
    let page = store::affected::get_page(conn, &known.numbers, after, limit).await?;
    Ok((known, page))
}

async fn find(conn: &mut PgConnection, id: &AdvisoryId) -> ApiResult<CachedAdvisory> {
    // The revision is read first: anything later is not cached under it.
    let (revision, found) = store::advisories::find_advisories(conn, id.as_str(), MAX_ADVISORIES).await?;
    if found.is_empty() {
        return Err(unknown(id.as_str()));
    }
    let mut cves: Vec<String> = found.iter().flat_map(|one| one.summary.cve_ids.iter().cloned()).collect();
    cves.sort_unstable();
    cves.dedup();
    let probabilities = store::feeds::list_probabilities(conn, &cves).await?;
    let notes = store::feeds::list_notes(conn, &cves, MAX_NOTES).await?;
    Ok(CachedAdvisory {
        revision,
        numbers: found.iter().map(|one| one.no).collect(),
        overlapping: overlapping(&found),
        competing: if feed::is_cve_id(id.as_str()) { competing(&found) } else { Vec::new() },
        advisories: found.into_iter().map(|one| shown(one, &probabilities)).collect(),
        notes: notes.into_iter().map(cve_note).collect(),
    })
}

/// The numbers of the advisory with this id, or of those that fix this CVE.
pub(super) async fn list_numbers(conn: &mut PgConnection, id: &AdvisoryId) -> ApiResult<Vec<i32>> {
    let (_, found) = store::advisories::find_advisories(conn, id.as_str(), MAX_ADVISORIES).await?;
    if found.is_empty() {
        return Err(unknown(id.as_str()));
    }
    Ok(found.into_iter().map(|one| one.no).collect())
}

fn overlapping(found: &[FoundAdvisory]) -> Vec<i32> {
    let releases_of = |one: &FoundAdvisory| -> BTreeSet<String> {
        one.body.affected.iter().map(|affected| affected.os.to_string()).collect()
    };
    let releases: Vec<BTreeSet<String>> = found.iter().map(releases_of).collect();
    let mut advisories_for: BTreeMap<&str, usize> = BTreeMap::new();
    for release in releases.iter().flatten() {
        *advisories_for.entry(release).or_default() += 1;
    }
    let overlaps = |releases: &BTreeSet<String>| {
        releases.iter().any(|release| advisories_for.get(release.as_str()) > Some(&1))
    };
    found.iter().zip(&releases).filter(|(_, releases)| overlaps(releases)).map(|(one, _)| one.no).collect()
}

/// The fixes of packages for which several advisories name different fixes.
fn competing(found: &[FoundAdvisory]) -> Vec<(i32, AffectedPackage)> {
    let mut fixes_of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (_, affected) in found.iter().flat_map(binaries) {
        fixes_of.entry(&affected.package).or_default().extend(affected.fixed.as_deref());
    }
    let competes = |affected: &AffectedPackage| {
        fixes_of.get(affected.package.as_str()).is_some_and(|fixes| fixes.len() > 1)
    };
    let competing = found.iter().flat_map(binaries).filter(|(_, affected)| competes(affected));
    competing.map(|(no, affected)| (no, affected.clone())).collect()
}

fn binaries(one: &FoundAdvisory) -> impl Iterator<Item = (i32, &AffectedPackage)> {
    let binaries = one.body.affected.iter().filter(|affected| affected.package_kind == PackageKind::Binary);
    binaries.map(|affected| (one.no, affected))
}

/// The findings of a CVE's advisories.
#[derive(Default)]
struct SparedFindings {
    /// Of packages that have another fix of the CVE: the fix applies, but the CVE does not affect the host.
    spared: BTreeSet<i32>,
    /// The others. Empty if none is spared.
    affecting: Vec<i32>,
}

async fn spared_findings(conn: &mut PgConnection, known: &CachedAdvisory) -> ApiResult<SparedFindings> {
    let mut found = SparedFindings::default();
    if known.competing.is_empty() {
        return Ok(found);
    }
    let fixes = || known.competing.iter().map(|(_, affected)| affected);
    for finding in store::dictionary::list_findings_of_advisories(conn, &known.numbers).await? {
        let lacking = known.competing.iter().find(|(no, affected)| {
            *no == finding.advisory_no
                && affected.package == finding.package
                && affected.fixed.as_ref() == Some(&finding.fixed)
        });
        if lacking.is_some_and(|(_, lacking)| has_other_fix(&finding.installed, lacking, fixes())) {
            found.spared.insert(finding.no);
        } else {
            found.affecting.push(finding.no);
        }
    }
    Ok(found)
}

fn shown(found: FoundAdvisory, probabilities: &HashMap<String, f64>) -> Advisory {
    let FoundAdvisory { summary, body, .. } = found;
    let predicted = summary.cve_ids.iter().filter_map(|cve| probabilities.get(cve).copied());
    let exploit_probability = predicted.max_by(f64::total_cmp);
    let packages = body.affected.into_iter().map(|affected| AdvisoryPackage {
        os: affected.os.to_string(),
        package: affected.package,
        no_fix: affected.no_fix.or(affected.fixed.is_none().then_some(NoFix::Open)),
        fixed: affected.fixed,
    });
    Advisory {
        summary,
        packages: packages.collect(),
        references: body.references.into_iter().map(|reference| reference.url).collect(),
        not_affected: body.not_affected.into_iter().map(not_affected_package).collect(),
        superseded_by: body.superseded_by,
        details: body.details,
        exploit_probability,
    }
}

fn not_affected_package(package: NotAffected) -> SparedPackage {
    let NotAffected { os, package, version, reason } = package;
    SparedPackage { os: os.to_string(), package, version, reason }
}

fn cve_note(note: feed::nvd::CveNote) -> CveNote {
    let best = note.cvss.into_iter().next();
    CveNote {
        cve_id: note.cve,
        description: note.description,
        severity: note.severity.into(),
        score: best.as_ref().map(|vector| vector.score),
        vector: best.map(|vector| vector.vector),
        rejected: note.rejected,
    }
}

/// Counts the CIs that are missing one of these. The counts of single advisories are stored; overlapping ones are counted
/// together.
async fn count_affected(conn: &mut PgConnection, known: &CachedAdvisory, counts: &[i64]) -> ApiResult<i64> {
    let apart = known.numbers.iter().zip(counts).filter(|(no, _)| !known.overlapping.contains(no));
    let apart: i64 = apart.map(|(_, hosts)| hosts).sum();
    if known.overlapping.is_empty() {
        return Ok(apart);
    }
    Ok(apart + store::affected::count_affected(conn, &known.overlapping).await?)
}

/// The findings of these hosts for these advisories, host by host.
async fn affected_cis(
    app: &App,
    conn: &mut PgConnection,
    revision: &Revision,
    advisories: &[i32],
    hosts: Vec<AffectedHost>,
    spared: &BTreeSet<i32>,
    now: DateTime<Utc>,
) -> ApiResult<Vec<AffectedCi>> {
    let ambiguous: Vec<i32> =
        hosts.iter().filter(|host| host.finding_no.is_none()).map(|host| host.id).collect();
    let findings_of_hosts = findings_about(app, conn, advisories, &ambiguous).await?;
    let single = hosts.iter().filter_map(|host| host.finding_no);
    let numbers: Vec<i32> = single.chain(findings_of_hosts.values().flatten().copied()).collect();
    let findings = revision.findings(conn, &numbers).await?;
    let ids: Vec<i32> = hosts.iter().map(|host| host.id).collect();
    let ci_ids = app.criteria.ci_ids(conn, &ids).await?;
    let mut affected = Vec::with_capacity(hosts.len());
    for host in hosts {
        let several = findings_of_hosts.get(&host.id).into_iter().flatten();
        let matching = host.finding_no.iter().chain(several).filter(|no| !spared.contains(no));
        let matching = matching.filter_map(|no| findings.get(no));
        let mut matching: Vec<&Finding> = matching.map(|known| known.finding()).collect();
        matching.sort_unstable_by_key(|one| (&one.advisory_id, &one.package, &one.fixed));
        let Some(ci_id) = ci_ids.get(&host.id) else { continue };
        for finding in matching {
            let excepted = revision.is_excepted(ci_id.as_str(), finding, now);
            affected.push(AffectedCi {
                ci_id: ci_id.clone(),
                advisory_id: finding.advisory_id.clone(),
                package: finding.package.clone(),
                installed: finding.installed.clone(),
                fixed: finding.fixed.clone(),
                state: if excepted { PatchStateOfPackage::Excepted } else { finding.state },
                due: finding.due,
            });
        }
    }
    Ok(affected)
}

/// The findings of these hosts for these advisories, by host.
async fn findings_about(
    app: &App,
    conn: &mut PgConnection,
    advisories: &[i32],
    hosts: &[i32],
) -> ApiResult<HashMap<i32, Vec<i32>>> {
    if hosts.is_empty() {
        return Ok(HashMap::new());
    }
    let findings_of_hosts = store::affected::list_findings_of(conn, hosts).await?;
    let all: Vec<i32> = findings_of_hosts.iter().flat_map(|(_, findings)| findings).copied().collect();
    let advisory_index = app.criteria.advisories_of(conn, &all).await?;
    let is_about = |no: &i32| advisory_index.get(no).is_some_and(|advisory| advisories.contains(advisory));
    let about = |(host, findings): (i32, Vec<i32>)| (host, findings.into_iter().filter(is_about).collect());
    Ok(findings_of_hosts.into_iter().map(about).collect())
}

/// Refuses the id of an unknown advisory or CVE.
pub async fn ensure_known(conn: &mut PgConnection, id: &str) -> ApiResult<()> {
    if store::advisories::is_known(conn, id).await? { Ok(()) } else { Err(unknown(id)) }
}

fn unknown(id: &str) -> ApiError {
    let shown: String = id.chars().take(100).collect();
    ApiError::not_found(format!("advisory or CVE `{shown}`; import the feed that contains it"))
}
