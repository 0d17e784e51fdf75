//! What the imported feeds know of each release.

use std::collections::BTreeMap;

use advisories::{
    Coverage, CoverageGap, Month, OsRelease,
    coverage::{coverage_gap, end_of_support},
};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::store::coverage::{FeedCoverage, Gaps};

/// The coverage of every known release, of all its feeds together.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownReleases(BTreeMap<String, (OsRelease, Coverage)>);

impl KnownReleases {
    pub(crate) fn of(feeds: &[FeedCoverage]) -> Self {
        let mut known: BTreeMap<String, (OsRelease, Coverage)> = BTreeMap::new();
        for feed in feeds {
            let Ok(release) = feed.release.parse::<OsRelease>() else { continue };
            let coverage = Coverage { newest: feed.newest, fetched_at: feed.fetched_at };
            known
                .entry(feed.release.clone())
                .and_modify(|(_, known)| *known = known.with(coverage))
                .or_insert((release, coverage));
        }
        Self(known)
    }

    /// Why the feeds say nothing about a release; see [`coverage_gap`].
    pub(crate) fn gap(&self, release: &str, max_age: TimeDelta, now: DateTime<Utc>) -> Option<CoverageGap> {
        match self.0.get(release) {
            Some((release, coverage)) => coverage_gap(release, Some(coverage), max_age, now),
            None => Some(CoverageGap::NotCovered),
        }
    }

    /// The last month for which the feeds can contain a notice; `None` if they do not cover the release.
    pub(crate) fn last_month(&self, release: &str) -> Option<Month> {
        self.0.get(release).map(|(release, coverage)| coverage.last_month(release))
    }

    /// When a feed of the release was last imported to its end.
    pub(crate) fn fetched_at(&self, release: &str) -> Option<DateTime<Utc>> {
        self.0.get(release).map(|(_, coverage)| coverage.fetched_at)
    }

    /// Whether the host of these releases has a channel with the fixes of one of them that is out of support for everybody.
    pub(crate) fn is_extended(&self, release: &str, of_host: &[String], now: DateTime<Utc>) -> bool {
        if of_host.len() < 2 {
            return false;
        }
        let Ok(release) = release.parse::<OsRelease>() else { return false };
        let has_ended = end_of_support(&release).is_some_and(|end| end < now.date_naive());
        let mut channels = of_host.iter().filter_map(|one| one.parse::<OsRelease>().ok());
        has_ended && channels.any(|channel| channel.extends(&release))
    }

    /// The covered releases of which the feeds say nothing at this time.
    pub(crate) fn list_gaps(&self, max_age: TimeDelta, now: DateTime<Utc>) -> Gaps {
        let mut gaps = Gaps::default();
        for release in self.0.keys() {
            match self.gap(release, max_age, now) {
                Some(CoverageGap::FeedTooOld { .. }) => gaps.too_old.push(release.clone()),
                Some(CoverageGap::OutOfSupport(_)) => {
                    let parsed = release.parse::<OsRelease>();
                    let extensions = parsed.map(|release| release.extensions()).unwrap_or_default();
                    gaps.extensions.extend(extensions.iter().map(ToString::to_string));
                    gaps.ended.push(release.clone());
                }
                Some(CoverageGap::NotCovered) | None => {}
            }
        }
        gaps
    }
}

/// The last day on which the vendor of a release publishes fixes to everybody.
pub(crate) fn support_ends(release: &str) -> Option<NaiveDate> {
    end_of_support(&release.parse().ok()?)
}
