//! Services of a guest: start, stop, drain, and failure to come back.

use api_types::sim::{FaultKind, GuestService, ServiceAction, ServiceSpec};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Machine, seconds};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceState {
    pub port: Option<u16>,
    /// Open sessions while it runs and does not drain.
    pub sessions: u32,
    pub active: bool,
    /// Does not work since its last start.
    pub broken: bool,
    pub config_valid: bool,
    pub drain: Option<Drain>,
    /// Runs code that an update has replaced since its last start.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    since: DateTime<Utc>,
    until: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("service `{0}`")]
pub struct UnknownService(String);

impl From<&ServiceSpec> for ServiceState {
    fn from(spec: &ServiceSpec) -> Self {
        Self {
            port: spec.port,
            sessions: spec.sessions,
            active: true,
            broken: false,
            config_valid: spec.config_valid,
            drain: None,
            stale: false,
        }
    }
}

impl ServiceState {
    pub fn to_wire(&self, name: &str, now: DateTime<Utc>) -> GuestService {
        GuestService {
            name: name.to_owned(),
            port: self.port,
            active: self.active,
            healthy: self.active && !self.broken,
            config_valid: self.config_valid,
            sessions: self.open_sessions(now),
        }
    }

    /// Sessions end evenly during the drain.
    fn open_sessions(&self, now: DateTime<Utc>) -> u32 {
        match self.drain {
            _ if !self.active || self.broken => 0,
            None => self.sessions,
            Some(drain) if drain.until <= now => 0,
            Some(drain) => {
                let whole = (drain.until - drain.since).as_seconds_f64();
                let left = (drain.until - now).as_seconds_f64() / whole;
                (f64::from(self.sessions) * left.clamp(0.0, 1.0)).ceil() as u32
            }
        }
    }

    /// Starts the process. It ends at once if its configuration is invalid.
    fn launch(&mut self, broken: bool) {
        self.active = self.config_valid;
        self.broken = broken;
        self.stale = false;
        self.drain = None;
    }
}

impl Machine {
    pub fn control_service(
        &mut self,
        name: &str,
        action: ServiceAction,
        now: DateTime<Utc>,
    ) -> Result<GuestService, UnknownService> {
        let service = self.guest.services.get(name).ok_or_else(|| UnknownService(name.to_owned()))?;
        let launches = action == ServiceAction::Restart || action == ServiceAction::Start && !service.active;
        let drains = action == ServiceAction::Drain && service.active && service.drain.is_none();
        let broken = launches && !self.strike_services(&[name.to_owned()]).is_empty();
        let drain = drains.then(|| Drain {
            since: now,
            until: now + seconds(self.guest.drain_seconds) + seconds(self.delay()),
        });
        let service = self.guest.services.get_mut(name).ok_or_else(|| UnknownService(name.to_owned()))?;
        match action {
            _ if launches => service.launch(broken),
            // A draining service accepts sessions again.
            ServiceAction::Start | ServiceAction::Restart => service.drain = None,
            ServiceAction::Stop => {
                service.active = false;
                service.stale = false;
                service.drain = None;
            }
            ServiceAction::Drain => service.drain = drain.or(service.drain),
        }
        Ok(service.to_wire(name, now))
    }

    /// All services start with the system.
    pub(super) fn launch_all_services(&mut self) {
        let names: Vec<String> = self.guest.services.keys().cloned().collect();
        let broken = self.strike_services(&names);
        for (name, service) in &mut self.guest.services {
            service.launch(broken.contains(name));
        }
    }

    /// An update has replaced a library that the active services have loaded.
    pub(super) fn replace_loaded_code(&mut self) {
        for service in self.guest.services.values_mut() {
            service.stale |= service.active;
        }
    }

    /// An update restarts active services. This changes nothing except for those that a fault breaks.
    pub(super) fn restart_after_update(&mut self) {
        let active = self.guest.services.iter().filter(|(_, service)| service.active);
        let names: Vec<String> = active.map(|(name, _)| name.clone()).collect();
        for name in self.strike_services(&names) {
            if let Some(service) = self.guest.services.get_mut(&name) {
                service.broken = true;
            }
        }
    }

    /// The `starting` services that a fault breaks. One fault strikes once per operation, however many services it breaks.
    fn strike_services(&mut self, starting: &[String]) -> Vec<String> {
        if starting.is_empty() {
            return Vec::new();
        }
        let strikes = self.strike_where(FaultKind::ServiceFailure, |fault| {
            fault.shown.service.as_ref().is_none_or(|service| starting.contains(service))
        });
        let is_hit = |name: &&String| {
            strikes.iter().any(|strike| strike.service.as_ref().is_none_or(|service| service == *name))
        };
        starting.iter().filter(is_hit).cloned().collect()
    }
}
