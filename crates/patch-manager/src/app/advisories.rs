//! Advisories as they are read.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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
        advisories::{AdvisoryFilter, FoundAdvisories, FoundAdvisory},
        affected::AffectedHost,
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
    let now = app.clock.now();
    let mut conn = app.pool.acquire().await?;
    let after = after.unwrap_or(0);
    let FoundAdvisories { edition, advisories: found, hosts } =
        store::advisories::find_advisories(&mut conn, id.as_str(), MOST, after, limit + 1).await?;
    if found.is_empty() {
        return Err(unknown(id.as_str()));
    }
    let affected_total = count_affected(&mut conn, &found).await?;
    let Page { items: hosts, next_page_token } = page(hosts, limit, |host| host.id);
    let numbers: Vec<i32> = found.iter().map(|one| one.row.no).collect();
    let edition = app.measures.edition(&mut conn, edition).await?;
    let affected = affected_cis(app, &mut conn, &edition, &numbers, hosts, now).await?;
    let mut notes: BTreeMap<String, CveNote> = BTreeMap::new();
    let mut advisories = Vec::new();
    for FoundAdvisory { row, body, probability, notes: said } in found {
        notes.extend(said.into_iter().flatten().map(|note| (note.cve.clone(), cve_note(note))));
        let packages = body.affected.into_iter().map(|affected| AdvisoryPackage {
            os: affected.os.to_string(),
            package: affected.package,
            fixed: affected.fixed,
        });
        let (_, summary) = row.into_summary();
        advisories.push(Advisory {
            packages: packages.collect(),
            references: body.references.into_iter().map(|reference| reference.url).collect(),
            not_affected: body.not_affected.into_iter().map(spared).collect(),
            superseded_by: body.superseded_by,
            details: body.details,
            exploit_probability: probability,
            summary,
        });
    }
    let notes = notes.into_values().collect();
    Ok(AdvisoryDetail { id: id.to_string(), advisories, notes, affected_total, affected, next_page_token })
}

fn spared(package: NotAffected) -> SparedPackage {
    SparedPackage {
        os: package.os.to_string(),
        package: package.package,
        version: package.version,
        reason: package.reason,
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
async fn count_affected(conn: &mut PgConnection, found: &[FoundAdvisory]) -> ApiResult<i64> {
    let releases_of: Vec<(&FoundAdvisory, BTreeSet<String>)> = found
        .iter()
        .map(|one| (one, one.body.affected.iter().map(|affected| affected.os.to_string()).collect()))
        .collect();
    let overlaps = |(one, releases): &(&FoundAdvisory, BTreeSet<String>)| {
        releases_of.iter().any(|(other, theirs)| other.row.no != one.row.no && !releases.is_disjoint(theirs))
    };
    let (together, apart): (Vec<_>, Vec<_>) = releases_of.iter().partition(|one| overlaps(one));
    let mut count = apart.iter().map(|(one, _)| one.row.hosts).sum();
    if !together.is_empty() {
        let numbers: Vec<i32> = together.iter().map(|(one, _)| one.row.no).collect();
        count += store::affected::count_affected(conn, &numbers).await?;
    }
    Ok(count)
}

/// What these hosts lack of these advisories, host by host.
async fn affected_cis(
    app: &App,
    conn: &mut PgConnection,
    edition: &Edition,
    advisories: &[i32],
    hosts: Vec<AffectedHost>,
    now: DateTime<Utc>,
) -> ApiResult<Vec<AffectedCi>> {
    let untold: Vec<i32> =
        hosts.iter().filter(|host| host.finding_no.is_none()).map(|host| host.id).collect();
    let lacks = findings_about(app, conn, advisories, &untold).await?;
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
