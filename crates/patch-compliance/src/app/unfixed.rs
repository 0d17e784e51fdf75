//! Vulnerabilities for which the vendor has no fix.

use advisories::{OsRelease, advisory::AffectedRange};
use api_types::{page::Page, patch::UnfixedVulnerability};
use domain::ids::CiId;
use service_kit::{ApiResult, page::PageRequest, page::page};

use super::compliance::not_managed;
use crate::{
    App,
    store::{self, unfixed::UnfixedRow},
};

/// A page of the vulnerabilities of a CI for which its vendor has no fix.
pub(crate) async fn list_unfixed(
    app: &App,
    ci_id: &CiId,
    request: &PageRequest,
) -> ApiResult<Page<UnfixedVulnerability>> {
    let (limit, after) = (request.limit()?, request.after::<(i32, i32)>()?.unwrap_or_default());
    let mut conn = app.pool.acquire().await?;
    if store::hosts::list_active(&mut conn, &[ci_id.to_string()]).await?.is_empty() {
        return Err(not_managed(ci_id));
    }
    let rows = store::unfixed::list_unfixed(&mut conn, ci_id.as_str(), after, limit + 1).await?;
    let numbered = page(rows, limit, |row| (row.advisory_no, row.package_no));
    Ok(Page {
        items: numbered.items.into_iter().filter(is_vulnerable).map(unfixed).collect(),
        next_page_token: numbered.next_page_token,
    })
}

/// Whether the installed version is in the affected range. One that cannot be compared counts.
fn is_vulnerable(row: &UnfixedRow) -> bool {
    let Ok(os) = row.os.parse::<OsRelease>() else { return true };
    let range =
        AffectedRange { introduced: row.introduced.as_deref(), last_affected: row.last_affected.as_deref() };
    range.includes(os.packaging(), &row.package.version)
}

fn unfixed(row: UnfixedRow) -> UnfixedVulnerability {
    UnfixedVulnerability {
        package: row.package.0.name,
        installed: row.package.0.version,
        os: row.os,
        advisory_id: row.advisory_id,
        cve_ids: row.cves,
        severity: row.severity,
        exploited: row.exploited,
        no_fix: row.no_fix.0,
    }
}
