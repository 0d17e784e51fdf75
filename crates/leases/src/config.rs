use std::time::Duration;

use crate::LeaseError;

/// How a worker keeps its rows. With the defaults, another worker takes over within 10 s of a death: 8 s until the
/// lease lapses and 1 s until the next poll.
#[derive(Debug, Clone)]
pub struct LeaseConfig {
    /// Name for people who read `leases.workers`: the service and, for example, its machine.
    pub name: String,
    /// Time between two heartbeats, and timeout of one. Default 2 s.
    pub heartbeat: Duration,
    /// How long a registration lives without a heartbeat. Default 8 s.
    pub lease: Duration,
    /// How much earlier than others the worker itself treats its registration as lapsed. It has this time to stop what
    /// it does outside the database. Default 1 s.
    pub margin: Duration,
    /// Timeout of one exchange with the database. Default 5 s.
    pub database_timeout: Duration,
}

impl LeaseConfig {
    pub fn named(name: impl Into<String>) -> LeaseConfig {
        LeaseConfig {
            name: name.into(),
            heartbeat: Duration::from_secs(2),
            lease: Duration::from_secs(8),
            margin: Duration::from_secs(1),
            database_timeout: Duration::from_secs(5),
        }
    }

    /// One missed heartbeat must not cost the lease, so there must be time for two in addition to the margin.
    pub(crate) fn check(&self) -> Result<(), LeaseError> {
        let refuse = |field, problem| Err(LeaseError::Config { field, problem });
        match self {
            _ if !(1..=200).contains(&self.name.chars().count()) || self.name.contains('\0') => {
                refuse("name", "must have 1 to 200 characters and no NUL")
            }
            _ if self.heartbeat < Duration::from_millis(10) => refuse("heartbeat", "must be 10 ms or more"),
            _ if self.lease > Duration::from_secs(3600) => refuse("lease", "must be one hour or less"),
            _ if self.lease < self.heartbeat.saturating_mul(2).saturating_add(self.margin) => {
                refuse("lease", "must be at least twice `heartbeat` plus `margin`")
            }
            _ if self.database_timeout < Duration::from_millis(100) => {
                refuse("database_timeout", "must be 100 ms or more")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        LeaseConfig::named("patch-manager").check().unwrap();
    }

    #[test]
    fn lease_without_room_for_a_missed_heartbeat_is_refused() {
        let config = LeaseConfig { lease: Duration::from_secs(4), ..LeaseConfig::named("patch-manager") };
        let error = config.check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "lease configuration: `lease` must be at least twice `heartbeat` plus `margin`"
        );
    }

    #[test]
    fn empty_name_is_refused() {
        assert!(LeaseConfig::named("").check().is_err());
    }
}
