//! Advisories as they are read.

use std::collections::BTreeSet;

use advisories::{advisory::NotAffected, feed};
use api_types::{
    page::Page,
    patch::{Advisory, AdvisoryDetail, AdvisoryPackage, AdvisorySummary, AffectedCi, CveNote, SparedPackage},
};
use chrono::{DateTime, Utc};
use domain::ids::{AdvisoryId, CiId};
use service_kit::{ApiError, ApiResult, page::PageRequest, page::page};
use sqlx::PgConnection;

use crate::{
    service::App,
    store::{
        self,
        advisories::{AdvisoryFilter, AffectedRow},
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
    let (limit, after) = (request.limit()?, request.after::<String>()?);
    let mut conn = app.pool.acquire().await?;
    let found = store::advisories::find_advisories(&mut conn, id.as_str(), MOST).await?;
    if found.is_empty() {
        return Err(unknown(id.as_str()));
    }
    let numbers: Vec<i32> = found.iter().map(|(no, ..)| *no).collect();
    let affected_total = store::advisories::count_affected(&mut conn, &numbers).await?;
    let rows =
        store::advisories::list_affected(&mut conn, &numbers, after.as_deref(), limit + 1, app.clock.now())
            .await?;
    let cves: BTreeSet<String> = found.iter().flat_map(|(_, _, stored)| stored.cves.clone()).collect();
    let mut advisories = Vec::new();
    for (_, summary, stored) in found {
        let exploit_probability = store::feeds::find_probability(&mut conn, &stored.cves).await?;
        let packages = stored.affected.iter().map(|affected| AdvisoryPackage {
            os: affected.os.to_string(),
            package: affected.package.clone(),
            fixed: affected.fixed.clone(),
        });
        advisories.push(Advisory {
            packages: packages.collect(),
            references: stored.references.into_iter().map(|reference| reference.url).collect(),
            not_affected: stored.not_affected.into_iter().map(spared).collect(),
            superseded_by: stored.superseded_by,
            details: stored.details,
            exploit_probability,
            summary,
        });
    }
    let notes = store::feeds::list_notes(&mut conn, &cves.into_iter().collect::<Vec<_>>()).await?;
    let notes = notes.into_iter().map(cve_note).collect();
    let (affected, next_page_token) = page_of_cis(rows, limit)?;
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

/// A page ends between CIs, not between the rows of one.
fn page_of_cis(rows: Vec<AffectedRow>, limit: i64) -> ApiResult<(Vec<AffectedCi>, Option<String>)> {
    let mut groups: Vec<Vec<AffectedRow>> = Vec::new();
    for row in rows {
        match groups.last_mut().filter(|group| group[0].ci_id == row.ci_id) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    let cut = page(groups, limit, |group| group[0].ci_id.clone());
    let affected = cut.items.into_iter().flatten().map(affected_ci).collect::<ApiResult<_>>()?;
    Ok((affected, cut.next_page_token))
}

fn affected_ci(row: AffectedRow) -> ApiResult<AffectedCi> {
    Ok(AffectedCi {
        ci_id: CiId::new(&row.ci_id).map_err(ApiError::internal)?,
        advisory_id: row.advisory_id,
        package: row.package,
        installed: row.installed,
        fixed: row.fixed,
        state: words::package_state(&row.state),
        due: row.due,
    })
}

/// Refuses an advisory or CVE id that nothing stored goes by.
pub(crate) async fn ensure_known(conn: &mut PgConnection, id: &str) -> ApiResult<()> {
    match store::advisories::find_advisories(conn, id, 1).await?.is_empty() {
        true => Err(unknown(id)),
        false => Ok(()),
    }
}

fn unknown(id: &str) -> ApiError {
    let shown: String = id.chars().take(100).collect();
    ApiError::not_found(format!("advisory or CVE `{shown}`; import the feed that has it"))
}
