//! Patch levels: the month up to which a host has every applicable advisory.

use chrono::{DateTime, Utc};

use crate::month::Month;

/// Newest month by whose end every applicable advisory is installed.
///
/// `missing` contains the publication times of the applicable advisories that are not installed; `as_of` is the newest
/// possible month, usually that of the scan. `None` if an advisory of the first month is missing.
pub fn current_patch_level(missing: impl IntoIterator<Item = DateTime<Utc>>, as_of: Month) -> Option<Month> {
    match missing.into_iter().map(Month::of).min() {
        Some(earliest) if earliest <= as_of => earliest.previous(),
        _ => Some(as_of),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(texts: &[&str]) -> Vec<DateTime<Utc>> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn month(year: u32, month: u32) -> Month {
        Month::new(year, month).unwrap()
    }

    #[test]
    fn level_is_the_month_before_the_earliest_missing() {
        let missing = at(&["2026-02-11T00:00:00Z", "2025-12-31T23:59:59Z"]);
        assert_eq!(current_patch_level(missing, month(2026, 3)), Some(month(2025, 11)));
    }

    #[test]
    fn nothing_missing_reaches_the_month_of_the_scan() {
        assert_eq!(current_patch_level([], month(2026, 3)), Some(month(2026, 3)));
        let later = at(&["2026-04-01T00:00:00Z"]);
        assert_eq!(current_patch_level(later, month(2026, 3)), Some(month(2026, 3)));
    }
}
