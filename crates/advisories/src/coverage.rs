//! Coverage: what the imported feeds know of a release, and up to when. A host is compliant only as far as that reaches.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::month::Month;
use crate::os::{Distribution, OsRelease};

/// What the feeds of one release know together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Publication of the newest notice.
    pub newest: DateTime<Utc>,
    /// When a feed with notices of the release was last imported to its end.
    pub fetched_at: DateTime<Utc>,
}

/// Why nothing can be said about the hosts of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoverageGap {
    /// No imported feed has a notice of the release.
    NotCovered,
    /// Its vendor publishes no fixes any more, and no feed has a notice from after that day.
    OutOfSupport(NaiveDate),
    FeedTooOld {
        fetched_at: DateTime<Utc>,
    },
}

impl Coverage {
    /// Adds another feed for the same release: one of them is enough.
    pub fn with(self, other: Self) -> Self {
        Self { newest: self.newest.max(other.newest), fetched_at: self.fetched_at.max(other.fetched_at) }
    }

    /// The last month for which the feeds can contain a notice: a patch level never passes it.
    pub fn last_month(&self, release: &OsRelease) -> Month {
        let fetched = Month::of(self.fetched_at);
        match end_of_support(release) {
            Some(end) => fetched.min(Month::of(start_of_day(end)).max(Month::of(self.newest))),
            None => fetched,
        }
    }
}

/// Why the feeds say nothing about the hosts of a release at this time; `None` if they do.
pub fn coverage_gap(
    release: &OsRelease,
    coverage: Option<&Coverage>,
    max_feed_age: TimeDelta,
    now: DateTime<Utc>,
) -> Option<CoverageGap> {
    let Some(coverage) = coverage else { return Some(CoverageGap::NotCovered) };
    if let Some(end) = end_of_support(release).filter(|end| end_of_day(*end) <= now)
        && coverage.newest < end_of_day(end)
    {
        return Some(CoverageGap::OutOfSupport(end));
    }
    let fetched_at = coverage.fetched_at;
    (fetched_at < now - max_feed_age).then_some(CoverageGap::FeedTooOld { fetched_at })
}

fn start_of_day(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(chrono::NaiveTime::MIN).and_utc()
}

/// The first instant after a day in UTC.
fn end_of_day(day: NaiveDate) -> DateTime<Utc> {
    start_of_day(day) + TimeDelta::days(1)
}

/// The last day on which the vendor publishes fixes to everybody; `None` if the table does not have the release.
///
/// Long-term support counts where it is public, as Debian's is. Paid channels are releases of their own. Where a vendor names
/// a month, its last day counts. Sources: the lifecycle pages of the vendors.
pub fn end_of_support(release: &OsRelease) -> Option<NaiveDate> {
    let (_, year, month, day) = END_OF_SUPPORT.iter().find(|((distribution, version), ..)| {
        *distribution == release.distribution() && *version == release.version()
    })?;
    NaiveDate::from_ymd_opt(*year, *month, *day)
}

type End = ((Distribution, &'static str), i32, u32, u32);

const END_OF_SUPPORT: [End; 48] = [
    ((Distribution::AlmaLinux, "8"), 2029, 5, 31),
    ((Distribution::AlmaLinux, "9"), 2032, 5, 31),
    ((Distribution::AlmaLinux, "10"), 2035, 5, 31),
    ((Distribution::CentOs, "6"), 2020, 11, 30),
    ((Distribution::CentOs, "7"), 2024, 6, 30),
    ((Distribution::CentOs, "8"), 2021, 12, 31),
    ((Distribution::CentOsStream, "8"), 2024, 5, 31),
    ((Distribution::CentOsStream, "9"), 2027, 5, 31),
    ((Distribution::CentOsStream, "10"), 2030, 5, 31),
    ((Distribution::Debian, "7"), 2018, 5, 31),
    ((Distribution::Debian, "8"), 2020, 6, 30),
    ((Distribution::Debian, "9"), 2022, 6, 30),
    ((Distribution::Debian, "10"), 2024, 6, 30),
    ((Distribution::Debian, "11"), 2026, 8, 31),
    ((Distribution::Debian, "12"), 2028, 6, 30),
    ((Distribution::Debian, "13"), 2030, 6, 30),
    ((Distribution::Fedora, "39"), 2024, 11, 26),
    ((Distribution::Fedora, "40"), 2025, 5, 13),
    ((Distribution::OpenSuseLeap, "15.3"), 2022, 12, 31),
    ((Distribution::OpenSuseLeap, "15.4"), 2023, 12, 7),
    ((Distribution::OpenSuseLeap, "15.5"), 2024, 12, 31),
    ((Distribution::OpenSuseLeap, "15.6"), 2026, 4, 30),
    ((Distribution::Oracle, "6"), 2021, 3, 31),
    ((Distribution::Oracle, "7"), 2024, 12, 31),
    ((Distribution::Oracle, "8"), 2029, 7, 31),
    ((Distribution::Oracle, "9"), 2032, 6, 30),
    ((Distribution::Oracle, "10"), 2035, 6, 30),
    ((Distribution::Rhel, "6"), 2020, 11, 30),
    ((Distribution::Rhel, "7"), 2024, 6, 30),
    ((Distribution::Rhel, "8"), 2029, 5, 31),
    ((Distribution::Rhel, "9"), 2032, 5, 31),
    ((Distribution::Rhel, "10"), 2035, 5, 31),
    ((Distribution::Rocky, "8"), 2029, 5, 31),
    ((Distribution::Rocky, "9"), 2032, 5, 31),
    ((Distribution::Rocky, "10"), 2035, 5, 31),
    ((Distribution::Sles, "12.5"), 2024, 10, 31),
    ((Distribution::Sles, "15.3"), 2022, 12, 31),
    ((Distribution::Sles, "15.4"), 2023, 12, 31),
    ((Distribution::Sles, "15.5"), 2024, 12, 31),
    ((Distribution::Sles, "15.6"), 2025, 12, 31),
    ((Distribution::Sles, "15.7"), 2031, 7, 31),
    ((Distribution::Ubuntu, "14.04"), 2019, 4, 30),
    ((Distribution::Ubuntu, "16.04"), 2021, 4, 30),
    ((Distribution::Ubuntu, "18.04"), 2023, 5, 31),
    ((Distribution::Ubuntu, "20.04"), 2025, 5, 31),
    ((Distribution::Ubuntu, "22.04"), 2027, 4, 30),
    ((Distribution::Ubuntu, "24.04"), 2029, 4, 30),
    ((Distribution::Ubuntu, "24.10"), 2025, 7, 31),
];

#[cfg(test)]
mod tests {
    use super::*;

    const WEEK: TimeDelta = TimeDelta::days(7);

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn release(text: &str) -> OsRelease {
        text.parse().unwrap()
    }

    fn coverage(newest: &str, fetched_at: &str) -> Coverage {
        Coverage { newest: at(newest), fetched_at: at(fetched_at) }
    }

    #[test]
    fn every_date_is_a_day_and_every_release_occurs_once() {
        let mut seen = std::collections::BTreeSet::new();
        for ((distribution, version), ..) in END_OF_SUPPORT {
            let release = OsRelease::new(distribution, version).unwrap();
            assert!(end_of_support(&release).is_some(), "{release}");
            assert_eq!(release.version(), version, "hosts never have the release in this spelling");
            assert!(seen.insert(release.clone()), "{release} occurs twice");
        }
    }

    #[test]
    fn a_release_without_a_notice_is_not_covered() {
        let gap = coverage_gap(&release("rocky:9"), None, WEEK, at("2026-11-29T00:00:00Z"));
        assert_eq!(gap, Some(CoverageGap::NotCovered));
    }

    #[test]
    fn an_old_feed_says_nothing_and_limits_the_level() {
        let known = coverage("2026-01-20T00:00:00Z", "2026-01-31T23:00:00Z");
        let gap = |now| coverage_gap(&release("rocky:9"), Some(&known), WEEK, at(now));
        assert_eq!(gap("2026-02-07T23:00:00Z"), None);
        assert_eq!(
            gap("2026-02-07T23:00:01Z"),
            Some(CoverageGap::FeedTooOld { fetched_at: known.fetched_at })
        );
        assert_eq!(known.last_month(&release("rocky:9")).to_string(), "2026-01");
    }

    #[test]
    fn the_newest_of_several_feeds_counts() {
        let both = coverage("2026-01-20T00:00:00Z", "2026-01-31T00:00:00Z")
            .with(coverage("2026-02-20T00:00:00Z", "2026-01-01T00:00:00Z"));
        assert_eq!(both, coverage("2026-02-20T00:00:00Z", "2026-01-31T00:00:00Z"));
    }

    #[test]
    fn nothing_is_known_of_a_release_after_its_support_unless_notices_continue() {
        let (old, now) = (release("debian:9"), at("2026-11-29T00:00:00Z"));
        let ended = coverage("2022-06-28T00:00:00Z", "2026-11-28T00:00:00Z");
        let gap = coverage_gap(&old, Some(&ended), WEEK, now);
        assert_eq!(gap, Some(CoverageGap::OutOfSupport(NaiveDate::from_ymd_opt(2022, 6, 30).unwrap())));
        assert_eq!(ended.last_month(&old).to_string(), "2022-06");
        let extended = coverage("2026-11-02T00:00:00Z", "2026-11-28T00:00:00Z");
        assert_eq!(coverage_gap(&old, Some(&extended), WEEK, now), None);
        assert_eq!(extended.last_month(&old).to_string(), "2026-11");
    }
}
