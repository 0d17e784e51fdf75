//! What is open on the hosts of a scope, for those who decide when they may be patched.

use std::{sync::Arc, time::Instant};

use chrono::{DateTime, Utc};
use domain::selector::Tags;
use service_kit::ApiResult;
use sqlx::PgConnection;

use super::throttled_cache::ThrottledCache;
use crate::{App, store};

/// What is open on the managed hosts that have all tags of a scope.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exposure {
    pub hosts: i64,
    /// Hosts among these whose compliance is unknown; they are not part of the other figures.
    pub unknown_hosts: i64,
    /// CVEs with a missing fix, summed over the known hosts.
    pub open_cves: i64,
    /// Next due dates that are still ahead, each with its number of hosts.
    pub due: Vec<(DateTime<Utc>, i64)>,
}

/// Scopes and what is open on their hosts.
pub(crate) type ScopeExposures = Arc<(Vec<Tags>, Vec<Exposure>)>;

/// One for each scope, in the order of the scopes. On a large fleet they may be some minutes old.
pub async fn list_exposures(
    app: &App,
    conn: &mut PgConnection,
    scopes: Vec<Tags>,
) -> ApiResult<Vec<Exposure>> {
    if scopes.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(known) = find_cached(&app.exposures, &scopes) {
        return Ok(known);
    }
    let began = Instant::now();
    let mut exposures = vec![Exposure::default(); scopes.len()];
    for row in store::exposure::list_exposures(conn, &scopes, app.clock.now()).await? {
        let index = usize::try_from(row.position - 1).unwrap_or(usize::MAX);
        let Some(exposure) = exposures.get_mut(index) else { continue };
        exposure.hosts += row.hosts;
        exposure.unknown_hosts += row.unknown_hosts;
        exposure.open_cves += row.open_cves;
        exposure.due.extend(row.due.map(|due| (due, row.hosts)));
    }
    app.exposures.put(Arc::new((scopes, exposures.clone())), began.elapsed());
    Ok(exposures)
}

/// What is cached, if it is about the same scopes.
fn find_cached(cache: &ThrottledCache<ScopeExposures>, scopes: &[Tags]) -> Option<Vec<Exposure>> {
    cache.get().filter(|known| known.0 == scopes).map(|known| known.1.clone())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn cached_figures_answer_only_for_their_own_scopes() {
        let scope = |env: &str| Tags::from([("env".to_owned(), env.to_owned())]);
        let cache = ThrottledCache::default();
        let exposures = vec![Exposure { hosts: 7, ..Exposure::default() }];
        let known = || Arc::new((vec![scope("prod")], exposures.clone()));
        cache.put(known(), Duration::from_secs(5));
        assert_eq!(find_cached(&cache, &[scope("prod")]), Some(exposures.clone()));
        assert_eq!(find_cached(&cache, &[scope("dev")]), None);
        cache.put(known(), Duration::from_millis(1));
        assert_eq!(find_cached(&cache, &[scope("prod")]), None, "what is fast is computed again");
    }
}
