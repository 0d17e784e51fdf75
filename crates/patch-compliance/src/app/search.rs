//! Search by a few characters: hosts, CVEs and packages.

use std::collections::BTreeSet;

use api_types::patch::SearchHit;
use service_kit::ApiResult;

use crate::{App, store};

/// Advisories that are read for a text that is not a whole id.
const NEWEST_ADVISORIES: i64 = 20_000;
/// Several advisories fix the same CVE, one for each release.
const ADVISORIES_OF_A_CVE: i64 = 8;

pub async fn search_hosts(app: &App, text: &str, limit: i64) -> ApiResult<Vec<SearchHit>> {
    let mut conn = app.reads.acquire().await?;
    // Ids are in lower case.
    let found = store::search::list_hosts(&mut conn, &text.to_lowercase(), limit).await;
    let hit = |host: store::search::HostHit| SearchHit {
        title: host.ci_id.clone(),
        id: host.ci_id,
        detail: [host.os, host.env].into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join(", "),
        state: Some(host.status.0.name().to_owned()),
    };
    Ok(conn.release(found)?.into_iter().map(hit).collect())
}

/// One for each CVE; an advisory without a CVE by its own id.
pub async fn search_cves(app: &App, text: &str, limit: i64) -> ApiResult<Vec<SearchHit>> {
    let text = text.to_uppercase();
    let mut conn = app.reads.acquire().await?;
    let found =
        store::search::list_advisories(&mut conn, &text, NEWEST_ADVISORIES, limit * ADVISORIES_OF_A_CVE)
            .await;
    let mut seen = BTreeSet::new();
    let mut hits = Vec::new();
    for advisory in conn.release(found)? {
        let matching = advisory.cves.iter().find(|cve| cve.starts_with(&text));
        let id = matching.or(advisory.cves.first()).unwrap_or(&advisory.id).clone();
        if seen.insert(id.clone()) {
            let state = Some(advisory.rating().name().to_owned());
            hits.push(SearchHit { title: id.clone(), id, detail: advisory.summary, state });
        }
    }
    hits.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(hits)
}

pub async fn search_packages(app: &App, text: &str, limit: i64) -> ApiResult<Vec<SearchHit>> {
    let mut conn = app.reads.acquire().await?;
    let found = store::search::list_packages(&mut conn, text, limit).await;
    let hit = |name: String| SearchHit { title: name.clone(), id: name, detail: String::new(), state: None };
    Ok(conn.release(found)?.into_iter().map(hit).collect())
}
