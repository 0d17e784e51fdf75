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
    fn far_future_does_not_overflow() {
        let policy = SlaPolicy { other_days: u32::MAX, ..SlaPolicy::default() };
        let due = policy.due(DateTime::<Utc>::MAX_UTC, Severity::Low, false);
        assert_eq!(due, DateTime::<Utc>::MAX_UTC);
    }
}
