//! One search over everything. Each capability searches its own tables; changes are searched by ITSM.

use std::time::Duration;

use api_types::patch::{SearchGroup, SearchHit, SearchKind, SearchResults};
use futures::future::join_all;
use patch_compliance::app::search as compliance;
use patch_releases::search_customers;
use patch_runs::app::search as runs;
use service_kit::{ApiError, ApiResult, error::chain};
use tokio::time::timeout;

use crate::service::App;

/// A person waits for the answer. What takes longer is reported as unavailable.
const DEADLINE: Duration = Duration::from_secs(5);

pub(crate) async fn search(app: &App, text: &str, kinds: &[SearchKind], limit: u32) -> SearchResults {
    let groups = kinds.iter().map(|kind| group(app, *kind, text, limit));
    SearchResults { text: text.to_owned(), groups: join_all(groups).await }
}

async fn group(app: &App, kind: SearchKind, text: &str, limit: u32) -> SearchGroup {
    // One more shows that there are more.
    let found = match timeout(DEADLINE, hits(app, kind, text, i64::from(limit) + 1)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return unavailable(kind, &error),
        Err(_) => {
            let unavailable = Some(format!("no answer within {} s; try again", DEADLINE.as_secs()));
            return SearchGroup { kind, items: Vec::new(), has_more: false, unavailable };
        }
    };
    let has_more = found.len() > limit as usize;
    let items = found.into_iter().take(limit as usize).collect();
    SearchGroup { kind, items, has_more, unavailable: None }
}

async fn hits(app: &App, kind: SearchKind, text: &str, limit: i64) -> ApiResult<Vec<SearchHit>> {
    match kind {
        SearchKind::Host => compliance::search_hosts(&app.compliance, text, limit).await,
        SearchKind::Cve => compliance::search_cves(&app.compliance, text, limit).await,
        SearchKind::Package => compliance::search_packages(&app.compliance, text, limit).await,
        SearchKind::Run => runs::search_runs(&app.runs, text, limit).await,
        SearchKind::Change => runs::search_changes(&app.runs, text, limit).await,
        SearchKind::Customer => search_customers(&app.releases, text, limit).await,
    }
}

fn unavailable(kind: SearchKind, error: &ApiError) -> SearchGroup {
    tracing::warn!(search.kind = ?kind, "cannot search now: {}", chain(error));
    SearchGroup { kind, items: Vec::new(), has_more: false, unavailable: Some(error.to_string()) }
}
