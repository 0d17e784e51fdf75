//! Advisories as they are read.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use advisories::{advisory::NotAffected, feed};
use api_types::{
    page::Page,
    patch::{Advisory, AdvisoryDetail, AdvisoryPackage, AdvisorySummary, AffectedCi, CveNote, SparedPackage},
};
use chrono::{DateTime, Utc};
use domain::ids::{AdvisoryId, CiId};
use service_kit::{ApiError, ApiResult, page::PageRequest, page::page};
use sqlx::PgConnection;

use super::measures::Edition;
use crate::{
    service::App,
    store::{
        self,
        advisories::{AdvisoryFilter, FoundAdvisory},
        affected::{AffectedHost, AffectedPage},
        dictionary::Finding,
        words,
    },
};

/// Advisories shown for one CVE; no CVE has been fixed by as many.
const MOST: i64 = 200;

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

/// An advisory by its id, or everything that fixes a CVE, with a page of the CIs that lack it.
pub(crate) async fn get_advisory(
    app: &App,
    id: &AdvisoryId,
    request: &PageRequest,
) -> ApiResult<AdvisoryDetail> {
    let (limit, after) = (request.limit()?, request.after::<i32>()?);
    let (after, now) = (after.unwrap_or(0), app.clock.now());
    let mut conn = app.pool.acquire().await?;
    let (found, affected_page) = find_with_page(app, &mut conn, id, after, limit + 1).await?;
    let AffectedPage { edition, counts, probabilities, notes, hosts } = affected_page;
    let affected_total = count_affected(&mut conn, &found, &counts).await?;
    let Page { items: hosts, next_page_token } = page(hosts, limit, |host| host.id);
    let edition = app.measures.edition(&mut conn, edition).await?;
    let affected = affected_cis(app, &mut conn, &edition, &found, hosts, now).await?;
    let advisories = found.iter().zip(counts).map(|(one, affected_cis)| {
        let packages = one.body.affected.iter().map(|affected| AdvisoryPackage {
            os: affected.os.to_string(),
            package: affected.package.clone(),
            fixed: affected.fixed.clone(),
        });
        let predicted = one.summary.cve_ids.iter().filter_map(|cve| probabilities.get(cve).copied());
        Advisory {
            packages: packages.collect(),
            references: one.body.references.iter().map(|reference| reference.url.clone()).collect(),
            not_affected: one.body.not_affected.iter().map(spared).collect(),
            superseded_by: one.body.superseded_by.clone(),
            details: one.body.details.clone(),
            exploit_probability: predicted.max_by(f64::total_cmp),
            summary: AdvisorySummary { affected_cis, ..one.summary.clone() },
        }
    });
    Ok(AdvisoryDetail {
        id: id.to_string(),
        advisories: advisories.collect(),
        notes: notes.into_iter().map(cve_note).collect(),
        affected_total,
        affected,
        next_page_token,
    })
}

/// What goes by an id, and a page of who lacks it. The advisories are remembered as long as nothing that hosts are measured
/// against changes; the page says whether that is so.
async fn find_with_page(
    app: &App,
    conn: &mut PgConnection,
    id: &AdvisoryId,
    after: i32,
    limit: i64,
) -> ApiResult<(Arc<Vec<FoundAdvisory>>, AffectedPage)> {
    if let Some(latest) = app.measures.latest()
        && let Some(found) = latest.advisories(id.as_str())
    {
        let page = page_of(conn, &found, after, limit).await?;
        if latest.is(page.edition) {
            return Ok((found, page));
        }
    }
    let (number, found) = store::advisories::find_advisories(conn, id.as_str(), MOST).await?;
    if found.is_empty() {
        return Err(unknown(id.as_str()));
    }
    let found = Arc::new(found);
    let edition = app.measures.edition(conn, number).await?;
    if edition.is(number) {
        edition.remember_advisories(id.as_str(), found.clone());
    }
    let page = page_of(conn, &found, after, limit).await?;
    Ok((found, page))
}

async fn page_of(
    conn: &mut PgConnection,
    found: &[FoundAdvisory],
    after: i32,
    limit: i64,
) -> ApiResult<AffectedPage> {
    let mut cves: Vec<String> = found.iter().flat_map(|one| one.summary.cve_ids.iter().cloned()).collect();
    cves.sort_unstable();
    cves.dedup();
    store::affected::get_page(conn, &numbers(found), &cves, after, limit).await
}

fn numbers(found: &[FoundAdvisory]) -> Vec<i32> {
    found.iter().map(|one| one.no).collect()
}

fn spared(package: &NotAffected) -> SparedPackage {
    SparedPackage {
        os: package.os.to_string(),
        package: package.package.clone(),
        version: package.version.clone(),
        reason: package.reason.clone(),
    }
}

fn cve_note(note: feed::nvd::CveNote) -> CveNote {
    let best = note.cvss.into_iter().next();
    CveNote {
        cve_id: note.cve,
        description: note.description,
        severity: words::severity(note.severity.as_str()),
        score: best.as_ref().map(|vector| vector.score),
        vector: best.map(|vector| vector.vector),
        rejected: note.rejected,
    }
}

/// How many CIs lack one of these. Each advisory's are counted already; those of advisories for the same release
/// overlap, and are counted together.
async fn count_affected(conn: &mut PgConnection, found: &[FoundAdvisory], counts: &[i64]) -> ApiResult<i64> {
    let releases_of = |one: &FoundAdvisory| -> BTreeSet<String> {
        one.body.affected.iter().map(|affected| affected.os.to_string()).collect()
    };
    let releases: Vec<BTreeSet<String>> = found.iter().map(releases_of).collect();
    let mut advisories_for: BTreeMap<&str, usize> = BTreeMap::new();
    for release in releases.iter().flatten() {
        *advisories_for.entry(release).or_default() += 1;
    }
    let (mut count, mut together) = (0, Vec::new());
    for ((one, hosts), releases) in found.iter().zip(counts).zip(&releases) {
        let overlaps = releases.iter().any(|release| advisories_for.get(release.as_str()) > Some(&1));
        match overlaps {
            true => together.push(one.no),
            false => count += hosts,
        }
    }
    if !together.is_empty() {
        count += store::affected::count_affected(conn, &together).await?;
    }
    Ok(count)
}

/// What these hosts lack of these advisories, host by host.
async fn affected_cis(
    app: &App,
    conn: &mut PgConnection,
    edition: &Edition,
    found: &[FoundAdvisory],
    hosts: Vec<AffectedHost>,
    now: DateTime<Utc>,
) -> ApiResult<Vec<AffectedCi>> {
    let untold: Vec<i32> =
        hosts.iter().filter(|host| host.finding_no.is_none()).map(|host| host.id).collect();
    let lacks = findings_about(app, conn, &numbers(found), &untold).await?;
    let told = hosts.iter().filter_map(|host| host.finding_no);
    let numbers: Vec<i32> = told.chain(lacks.values().flatten().copied()).collect();
    let findings = edition.findings(conn, &numbers).await?;
    let mut affected = Vec::with_capacity(hosts.len());
    for host in hosts {
        let several = lacks.get(&host.id).into_iter().flatten();
        let concerned = host.finding_no.iter().chain(several).filter_map(|no| findings.get(no));
        let mut concerned: Vec<&Finding> = concerned.map(|known| known.finding()).collect();
        concerned.sort_unstable_by_key(|one| (&one.advisory_id, &one.package, &one.fixed));
        let ci_id = CiId::new(host.ci_id).map_err(ApiError::internal)?;
        for finding in concerned {
            let excepted = edition.has_exceptions() && edition.is_excepted(ci_id.as_str(), finding, now);
            affected.push(AffectedCi {
                ci_id: ci_id.clone(),
                advisory_id: finding.advisory_id.clone(),
                package: finding.package.clone(),
                installed: finding.installed.clone(),
                fixed: finding.fixed.clone(),
                state: words::package_state(if excepted { "excepted" } else { &finding.state }),
                due: finding.due,
            });
        }
    }
    Ok(affected)
}

/// The findings of these hosts that are of these advisories, by host.
async fn findings_about(
    app: &App,
    conn: &mut PgConnection,
    advisories: &[i32],
    hosts: &[i32],
) -> ApiResult<HashMap<i32, Vec<i32>>> {
    if hosts.is_empty() {
        return Ok(HashMap::new());
    }
    let lacks = store::affected::list_findings_of(conn, hosts).await?;
    let all: Vec<i32> = lacks.iter().flat_map(|(_, findings)| findings).copied().collect();
    let advisory_of = app.measures.advisories_of(conn, &all).await?;
    let is_about = |no: &i32| advisory_of.get(no).is_some_and(|advisory| advisories.contains(advisory));
    let about = |(host, findings): (i32, Vec<i32>)| (host, findings.into_iter().filter(is_about).collect());
    Ok(lacks.into_iter().map(about).collect())
}

/// Refuses an advisory or CVE id that nothing stored goes by.
pub(crate) async fn ensure_known(conn: &mut PgConnection, id: &str) -> ApiResult<()> {
    match store::advisories::is_known(conn, id).await? {
        true => Ok(()),
        false => Err(unknown(id)),
    }
}

fn unknown(id: &str) -> ApiError {
    let shown: String = id.chars().take(100).collect();
    ApiError::not_found(format!("advisory or CVE `{shown}`; import the feed that has it"))
}
