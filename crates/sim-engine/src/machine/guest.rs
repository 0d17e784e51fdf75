//! The inside of a guest, as it is stored and as it is shown.

use std::collections::{BTreeMap, BTreeSet};

use api_types::sim::{FaultKind, Guest, GuestPackage, GuestSpec};
use chrono::{DateTime, Utc};
use domain::restart::{ProcessGroup, StaleService, StaleServices};
use serde::{Deserialize, Serialize};

use super::{
    Machine,
    package::{Offers, newest_offer},
    service::ServiceState,
};

/// The inside of a guest. A snapshot contains the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuestState {
    /// Installed version by package.
    pub packages: BTreeMap<String, String>,
    pub held: BTreeSet<String>,
    pub services: BTreeMap<String, ServiceState>,
    pub reboot_pending: bool,
    pub disk_free_percent: f64,
    pub clock_offset_ms: i64,
    pub patch_seconds: f64,
    pub reboot_seconds: f64,
    pub drain_seconds: f64,
    pub reboot_packages: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub library_packages: BTreeSet<String>,
}

impl From<&GuestSpec> for GuestState {
    fn from(spec: &GuestSpec) -> Self {
        Self {
            packages: spec.packages.clone(),
            held: spec.held_packages.iter().cloned().collect(),
            services: spec
                .services
                .iter()
                .map(|service| (service.name.clone(), ServiceState::from(service)))
                .collect(),
            reboot_pending: false,
            disk_free_percent: spec.disk_free_percent,
            clock_offset_ms: spec.clock_offset_ms,
            patch_seconds: spec.patch_seconds,
            reboot_seconds: spec.reboot_seconds,
            drain_seconds: spec.drain_seconds,
            reboot_packages: spec.reboot_packages.iter().cloned().collect(),
            library_packages: spec.library_packages.iter().cloned().collect(),
        }
    }
}

impl Machine {
    /// The guest at `now`, with the update candidates of its repository.
    pub fn to_guest(&self, offers: &Offers, now: DateTime<Utc>) -> Guest {
        let guest = &self.guest;
        let packages = guest.packages.iter().map(|(name, version)| GuestPackage {
            name: name.clone(),
            version: version.clone(),
            candidate: newest_offer(offers, name, version),
            held: guest.held.contains(name),
        });
        let stale = guest.services.iter().filter(|(_, service)| service.stale).map(|(name, _)| {
            StaleService { kind: ProcessGroup::Service, name: name.clone(), processes: 1, files: Vec::new() }
        });
        Guest {
            id: self.id.clone(),
            os: self.os.clone(),
            packaging: self.packaging(),
            boot_id: self.boot_id,
            booted_at: self.booted_at,
            reboot_pending: guest.reboot_pending,
            stale_services: StaleServices::Checked { services: stale.collect() },
            disk_free_percent: if self.has_fault(FaultKind::DiskFull) {
                0.0
            } else {
                guest.disk_free_percent
            },
            clock_offset_ms: guest.clock_offset_ms,
            packages: packages.collect(),
            services: guest.services.iter().map(|(name, service)| service.to_wire(name, now)).collect(),
        }
    }
}
