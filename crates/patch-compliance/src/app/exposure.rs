//! What is open on the hosts of a scope, for those who decide when they may be patched.

use chrono::{DateTime, Utc};
use domain::selector::Tags;
use service_kit::ApiResult;
use sqlx::PgConnection;

use crate::store;

/// What is open on the managed hosts that have all tags of a scope.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exposure {
    pub hosts: i64,
    /// Hosts among these whose compliance is unknown; they are not part of the other figures.
    pub unknown_hosts: i64,
    /// CVEs with a missing fix, summed over the known hosts.
    pub open_cves: i64,
    /// Next due dates in the span that was asked for, each with its number of hosts.
    pub due: Vec<(DateTime<Utc>, i64)>,
}

/// One for each scope, in the order of the scopes, with the due dates in the span.
pub async fn list_exposures(
    conn: &mut PgConnection,
    scopes: &[Tags],
    span: (DateTime<Utc>, DateTime<Utc>),
) -> ApiResult<Vec<Exposure>> {
    let mut exposures = vec![Exposure::default(); scopes.len()];
    if scopes.is_empty() {
        return Ok(exposures);
    }
    for row in store::exposure::list_exposures(conn, scopes, span).await? {
        let index = usize::try_from(row.position - 1).unwrap_or(usize::MAX);
        let Some(exposure) = exposures.get_mut(index) else { continue };
        exposure.hosts += row.hosts;
        exposure.unknown_hosts += row.unknown_hosts;
        exposure.open_cves += row.open_cves;
        exposure.due.extend(row.due.map(|due| (due, row.hosts)));
    }
    Ok(exposures)
}
