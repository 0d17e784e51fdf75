//! How long something lasts that another machine asks for. A duration is counted from now by the clock of this service, so
//! the clocks of the two may differ. An instant is for people, who agree on one; this service's clock checks it.

use chrono::{DateTime, TimeDelta, Utc};

use crate::FieldErrors;

/// `duration_seconds` and `expires_at` of a request, of which exactly one is needed.
#[derive(Debug, Clone, Copy)]
pub struct Lifetime {
    pub duration_seconds: Option<u32>,
    pub expires_at: Option<DateTime<Utc>>,
}

impl Lifetime {
    /// When it ends. Adds what is wrong: neither or both are given, or it does not end within `longest`.
    pub fn end(self, now: DateTime<Utc>, longest: TimeDelta, errors: &mut FieldErrors) -> DateTime<Utc> {
        let (pointer, detail) = match (self.duration_seconds, self.expires_at) {
            (Some(seconds), None) => {
                let duration = TimeDelta::seconds(seconds.into());
                if duration > TimeDelta::zero() && duration <= longest {
                    return now + duration;
                }
                ("/duration_seconds", format!("must be 1 to {}", longest.num_seconds()))
            }
            (None, Some(end)) => {
                if end > now && end <= now + longest {
                    return end;
                }
                let days = longest.num_days();
                let detail = format!(
                    "must be in the future, by at most {days} days; this service's time is {}. `duration_seconds` does not depend on clocks",
                    now.to_rfc3339()
                );
                ("/expires_at", detail)
            }
            (None, None) => ("/duration_seconds", "is missing; it is how long this lasts".to_owned()),
            (Some(_), Some(_)) => (
                "/expires_at",
                "must not be given together with `duration_seconds`; give one of them".to_owned(),
            ),
        };
        errors.add(pointer, detail);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_counts_from_now_and_an_instant_must_be_ahead() {
        let now = DateTime::from_timestamp(1_770_000_000, 0).unwrap();
        let day = TimeDelta::days(1);
        let end = |duration_seconds, expires_at| {
            let mut errors = FieldErrors::default();
            let end = Lifetime { duration_seconds, expires_at }.end(now, day, &mut errors);
            (end, errors.summary().unwrap_or_default())
        };
        assert_eq!(end(Some(60), None), (now + TimeDelta::seconds(60), String::new()));
        assert_eq!(end(Some(86_400), None), (now + day, String::new()));
        assert_eq!(end(None, Some(now + day)), (now + day, String::new()));
        for (duration_seconds, expires_at, wrong) in [
            (Some(0), None, "`/duration_seconds` must be 1 to 86400"),
            (Some(86_401), None, "`/duration_seconds` must be"),
            (None, Some(now), "`/expires_at` must be in the future"),
            (None, Some(now + day + day), "`/expires_at` must be in the future"),
            (None, None, "`/duration_seconds` is missing"),
            (Some(60), Some(now + day), "`/expires_at` must not be given together"),
        ] {
            let (_, errors) = end(duration_seconds, expires_at);
            assert!(errors.starts_with(wrong), "{errors}");
        }
    }
}
