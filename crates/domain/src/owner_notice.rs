//! When owners of hosts are notified of a run before it begins.

use chrono::{DateTime, TimeDelta, Utc};

/// What is known now about when a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// Nothing has begun, and it is expected to begin at this time.
    At(DateTime<Utc>),
    /// It has ended before it began.
    Never,
    /// It has begun, or waits for something that has no time.
    Unknown,
}

/// What owners were notified of last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    pub begins_at: DateTime<Utc>,
    /// The least hours before the beginning for which a notice was sent.
    pub least_hours: Option<u32>,
}

/// What owners are notified of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerNotice {
    /// It begins in at most so many hours.
    Ahead {
        begins_at: DateTime<Utc>,
        hours: u32,
    },
    Moved {
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    },
    Cancelled {
        begins_at: DateTime<Utc>,
    },
}

/// The notice that is due now. Of several that are due, only the one nearest to the beginning is sent.
pub fn due_notice(
    before_hours: &[u32],
    told: Option<Told>,
    beginning: Beginning,
    now: DateTime<Utc>,
) -> Option<OwnerNotice> {
    match (beginning, told) {
        (Beginning::At(begins_at), _) if begins_at <= now => None,
        (Beginning::At(to), Some(Told { begins_at: from, .. })) if from != to => {
            Some(OwnerNotice::Moved { from, to })
        }
        (Beginning::At(begins_at), told) => {
            let hours = due_hours(before_hours, begins_at, now)?;
            let is_new = told.and_then(|told| told.least_hours).is_none_or(|least| hours < least);
            is_new.then_some(OwnerNotice::Ahead { begins_at, hours })
        }
        (Beginning::Never, Some(Told { begins_at, .. })) => Some(OwnerNotice::Cancelled { begins_at }),
        (Beginning::Never, None) | (Beginning::Unknown, _) => None,
    }
}

/// The least of these hours that remain at most until the beginning.
pub fn due_hours(before_hours: &[u32], begins_at: DateTime<Utc>, now: DateTime<Utc>) -> Option<u32> {
    before_hours.iter().copied().filter(|hours| now >= begins_at - TimeDelta::hours(i64::from(*hours))).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURS: [u32; 3] = [72, 24, 1];

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_770_000_000 + hours * 3600, 0).unwrap()
    }

    fn told(begins_at: i64, least_hours: u32) -> Option<Told> {
        Some(Told { begins_at: at(begins_at), least_hours: Some(least_hours) })
    }

    fn due(told: Option<Told>, begins_at: i64, now: i64) -> Option<OwnerNotice> {
        due_notice(&HOURS, told, Beginning::At(at(begins_at)), at(now))
    }

    #[test]
    fn each_notice_is_sent_once_at_its_time() {
        assert_eq!(due(None, 100, 27), None);
        assert_eq!(due(None, 100, 28), Some(OwnerNotice::Ahead { begins_at: at(100), hours: 72 }));
        assert_eq!(due(told(100, 72), 100, 29), None);
        assert_eq!(due(told(100, 72), 100, 76), Some(OwnerNotice::Ahead { begins_at: at(100), hours: 24 }));
        assert_eq!(due(told(100, 24), 100, 99), Some(OwnerNotice::Ahead { begins_at: at(100), hours: 1 }));
        assert_eq!(due(told(100, 1), 100, 99), None);
    }

    #[test]
    fn notices_that_come_too_late_are_one() {
        assert_eq!(due(None, 100, 88), Some(OwnerNotice::Ahead { begins_at: at(100), hours: 24 }));
        assert_eq!(due(None, 100, 100), None, "it begins now");
    }

    #[test]
    fn owners_who_were_notified_hear_of_another_time_and_of_the_end() {
        assert_eq!(due(told(100, 24), 268, 101), Some(OwnerNotice::Moved { from: at(100), to: at(268) }));
        let never = |told| due_notice(&HOURS, told, Beginning::Never, at(90));
        assert_eq!(never(told(100, 24)), Some(OwnerNotice::Cancelled { begins_at: at(100) }));
        assert_eq!(never(None), None, "they heard nothing of it before");
        assert_eq!(due_notice(&HOURS, told(100, 24), Beginning::Unknown, at(101)), None);
    }

    #[test]
    fn without_hours_nothing_is_sent() {
        assert_eq!(due_notice(&[], None, Beginning::At(at(100)), at(99)), None);
    }
}
