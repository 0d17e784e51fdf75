//! The due date of a fix.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::severity::Severity;

/// Days from publication to due date. An operator may change the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SlaPolicy {
    /// For vulnerabilities known to be exploited, whatever their severity.
    pub exploited_days: u32,
    pub critical_days: u32,
    pub high_days: u32,
    pub other_days: u32,
}

impl Default for SlaPolicy {
    fn default() -> Self {
        Self { exploited_days: 14, critical_days: 7, high_days: 30, other_days: 90 }
    }
}

impl SlaPolicy {
    /// Exploitation only ever shortens the time: an exploited critical vulnerability has the shorter of both.
    pub fn days(&self, severity: Severity, exploited: bool) -> u32 {
        let by_severity = match severity {
            Severity::Critical => self.critical_days,
            Severity::High => self.high_days,
            _ => self.other_days,
        };
        if exploited { by_severity.min(self.exploited_days) } else { by_severity }
    }

    /// The times that are longer in `after`, one sentence each: whatever is overdue by these levels may not be by those.
    pub fn weakened_by(&self, after: &Self) -> Vec<String> {
        let times = [
            ("exploited_days", self.exploited_days, after.exploited_days),
            ("critical_days", self.critical_days, after.critical_days),
            ("high_days", self.high_days, after.high_days),
            ("other_days", self.other_days, after.other_days),
        ];
        let longer = times.into_iter().filter(|(_, old, new)| new > old);
        longer.map(|(name, old, new)| format!("`{name}` rises from {old} to {new}")).collect()
    }

    /// The instant at which the fix becomes overdue, at most the end of the calendar.
    pub fn due(&self, published: DateTime<Utc>, severity: Severity, exploited: bool) -> DateTime<Utc> {
        let days = TimeDelta::days(i64::from(self.days(severity, exploited)));
        published.checked_add_signed(days).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn due_date_follows_severity_and_exploitation() {
        let policy = SlaPolicy::default();
        let published = at("2026-03-10T00:00:00Z");
        assert_eq!(policy.due(published, Severity::Critical, false), at("2026-03-17T00:00:00Z"));
        assert_eq!(policy.due(published, Severity::Critical, true), at("2026-03-17T00:00:00Z"));
        assert_eq!(policy.due(published, Severity::Low, true), at("2026-03-24T00:00:00Z"));
        assert_eq!(policy.due(published, Severity::High, false), at("2026-04-09T00:00:00Z"));
        assert_eq!(policy.due(published, Severity::Unknown, false), at("2026-06-08T00:00:00Z"));
    }

    #[test]
    fn longer_times_weaken_and_shorter_ones_do_not() {
        let policy = SlaPolicy::default();
        let shorter = SlaPolicy { exploited_days: 3, other_days: 89, ..policy };
        assert_eq!(policy.weakened_by(&shorter), Vec::<String>::new());
        assert_eq!(
            shorter.weakened_by(&policy),
            ["`exploited_days` rises from 3 to 14", "`other_days` rises from 89 to 90"]
        );
        // One shorter time does not make up for a longer one.
        let both = SlaPolicy { critical_days: 1, high_days: 31, ..policy };
        assert_eq!(policy.weakened_by(&both), ["`high_days` rises from 30 to 31"]);
    }

    #[test]
    fn far_future_does_not_overflow() {
        let policy = SlaPolicy { other_days: u32::MAX, ..SlaPolicy::default() };
        let due = policy.due(DateTime::<Utc>::MAX_UTC, Severity::Low, false);
        assert_eq!(due, DateTime::<Utc>::MAX_UTC);
    }
}
