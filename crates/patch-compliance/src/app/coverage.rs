//! Coverage: what the imported feeds know of each release, and up to when.

use std::collections::{BTreeMap, BTreeSet};

use advisories::{CoverageGap, Month, OsRelease, os_key};
use api_types::{
    page::Page,
    patch::{CoverageState, FeedCoverage, ReleaseCoverage},
};
use chrono::{DateTime, TimeDelta, Utc};
use service_kit::{ApiResult, page::PageRequest, page::page};
use sqlx::PgConnection;

use super::{
    criteria_cache::{Revision, support_ends},
    policy_results::{self, DEFAULT_FEED_AGE_HOURS},
};
use crate::{
    App,
    store::{self, rollups::Cell},
};

/// Hosts that become unknown, per transaction.
const BATCH: i64 = 5000;

/// A page of all releases, in the order of their names.
pub(crate) async fn list_coverage(app: &App, request: &PageRequest) -> ApiResult<Page<ReleaseCoverage>> {
    let (limit, after) = (request.limit()?, request.after::<String>()?);
    let mut conn = app.pool.acquire().await?;
    let revision = app.criteria.current(&mut conn).await?;
    let cells = store::rollups::list_rollup(&mut conn).await?;
    let mut releases = releases(&mut conn, &revision, &cells, app.clock.now()).await?;
    releases.retain(|release| after.as_ref().is_none_or(|after| release.release > *after));
    releases.truncate(usize::try_from(limit).unwrap_or_default() + 1);
    Ok(page(releases, limit, |release| release.release.clone()))
}

/// Every release with a notice and every release of a host, in the order of their names. `cells` are the roll-ups of the fleet.
pub(crate) async fn releases(
    conn: &mut PgConnection,
    revision: &Revision,
    cells: &[Cell],
    now: DateTime<Utc>,
) -> ApiResult<Vec<ReleaseCoverage>> {
    let mut hosts: BTreeMap<String, i64> = BTreeMap::new();
    for cell in cells.iter().filter(|cell| cell.dimension == "os") {
        *hosts.entry(os_key(&cell.value)).or_default() += cell.hosts;
    }
    let mut feeds: BTreeMap<String, Vec<FeedCoverage>> = BTreeMap::new();
    for feed in store::coverage::list_coverage(conn).await? {
        feeds.entry(feed.release).or_default().push(FeedCoverage {
            feed: feed.feed,
            notices: feed.notices,
            newest_notice: feed.newest,
            fetched_at: feed.fetched_at,
        });
    }
    let max_age_hours = strictest_feed_age(revision);
    let names: BTreeSet<String> = hosts.keys().chain(feeds.keys()).cloned().collect();
    Ok(names
        .into_iter()
        .map(|release| {
            let gap = revision.coverage.gap(&release, TimeDelta::hours(i64::from(max_age_hours)), now);
            ReleaseCoverage {
                channel: release
                    .parse::<OsRelease>()
                    .ok()
                    .and_then(|release| release.distribution().channel())
                    .map(str::to_owned),
                state: state(gap),
                reason: gap.map(|gap| describe(&release, gap, max_age_hours, now)),
                hosts: hosts.get(&release).copied().unwrap_or_default(),
                feeds: feeds.remove(&release).unwrap_or_default(),
                end_of_support: support_ends(&release),
                release,
            }
        })
        .collect())
}

/// The shortest age of feeds that a policy or the default allows, in hours.
fn strictest_feed_age(revision: &Revision) -> i32 {
    let of_policies = revision.policies.iter().map(|policy| policy.max_feed_age_hours);
    of_policies.min().unwrap_or(DEFAULT_FEED_AGE_HOURS).min(DEFAULT_FEED_AGE_HOURS)
}

fn state(gap: Option<CoverageGap>) -> CoverageState {
    match gap {
        None => CoverageState::Covered,
        Some(CoverageGap::FeedTooOld { .. }) => CoverageState::FeedTooOld,
        Some(CoverageGap::OutOfSupport(_)) => CoverageState::OutOfSupport,
        Some(CoverageGap::NotCovered) => CoverageState::NotCovered,
    }
}

/// Why nothing can be said about the hosts of a release.
pub(crate) fn describe(release: &str, gap: CoverageGap, max_age_hours: i32, now: DateTime<Utc>) -> String {
    match gap {
        CoverageGap::NotCovered => format!("no advisories for {release} are known"),
        CoverageGap::OutOfSupport(end) => {
            format!("{release} is out of support since {end}, and no later advisory for it is known")
        }
        CoverageGap::FeedTooOld { fetched_at } => format!(
            "the advisories for {release} were last imported {} h ago, more than the allowed {max_age_hours} h",
            (now - fetched_at).num_hours()
        ),
    }
}

/// Records the end of an import: what its feeds know of these releases is as new as its beginning. Hosts whose results can change
/// with it become due.
pub(crate) async fn record_fetched(
    app: &App,
    fetched: &BTreeSet<(String, String)>,
    at: DateTime<Utc>,
) -> ApiResult<()> {
    if fetched.is_empty() {
        return Ok(());
    }
    let (releases, feeds): (Vec<String>, Vec<String>) = fetched.iter().cloned().unzip();
    let mut transaction = app.pool.begin().await?;
    // Before the lock counts the revision up: one import runs at a time, so nobody changes the coverage in between.
    let before = app.criteria.current(&mut transaction).await?;
    store::lock_results_for_change(&mut transaction).await?;
    store::coverage::record_fetched(&mut transaction, &releases, &feeds, at).await?;
    let max_age = TimeDelta::hours(i64::from(strictest_feed_age(&before)));
    let is_unchanged = |release: &String| {
        before.coverage.gap(release, max_age, at).is_none()
            && before.coverage.last_month(release) == Some(Month::of(at))
    };
    let mut changed: Vec<String> = releases.into_iter().filter(|release| !is_unchanged(release)).collect();
    changed.dedup();
    if !changed.is_empty() {
        store::coverage::mark_hosts_due(&mut transaction, &changed).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Makes results unknown whose feeds have become too old, or whose release is out of support.
pub(crate) async fn expire_feeds(app: &App) -> ApiResult<()> {
    let mut conn = app.pool.acquire().await?;
    let revision = app.criteria.current(&mut conn).await?;
    drop(conn);
    let of_policies = revision.policies.iter().map(|policy| (policy.no, policy.max_feed_age_hours));
    for (policy_no, max_age_hours) in of_policies.chain([(0, DEFAULT_FEED_AGE_HOURS)]) {
        while expire_results(app, policy_no, TimeDelta::hours(i64::from(max_age_hours))).await? {}
    }
    Ok(())
}

/// One batch of a policy's hosts. Returns whether there may be more.
async fn expire_results(app: &App, policy_no: i32, max_age: TimeDelta) -> ApiResult<bool> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let gaps = app.criteria.current(&mut transaction).await?.coverage.list_gaps(max_age, now);
    if gaps.is_empty()
        || store::coverage::list_known_of(&mut transaction, policy_no, &gaps, 1).await?.is_empty()
    {
        return Ok(false);
    }
    store::lock_results_exclusive(&mut transaction).await?;
    // An import may have ended before the lock.
    let revision = app.criteria.current(&mut transaction).await?;
    let gaps = revision.coverage.list_gaps(max_age, now);
    let hosts = store::coverage::list_known_of(&mut transaction, policy_no, &gaps, BATCH).await?;
    policy_results::recompute(&mut transaction, &revision, &hosts, now).await?;
    transaction.commit().await?;
    if !hosts.is_empty() {
        tracing::info!("{} hosts have results of advisories that are too old", hosts.len());
    }
    Ok(!hosts.is_empty())
}
