//! Injected faults of real hosts. They are files in the host's folder, outside its disk, so that they survive reboots and
//! reverts until they are deleted.

use std::time::Duration;

use api_types::sim::{Fault, FaultKind};
use uuid::Uuid;

use super::{
    FleetError,
    command::{quick, run},
    host::Host,
};

const FILL_TIMEOUT: Duration = Duration::from_secs(60);

impl Host<'_> {
    pub fn arm(&self, fault: &Fault) -> Result<(), FleetError> {
        let kind = match fault.kind {
            FaultKind::HostFailure => return self.fail(),
            FaultKind::NetworkPartition => return self.set_cut(true),
            FaultKind::DiskFull => return self.set_full(true),
            FaultKind::PatchFailure => "patch-failure",
            FaultKind::Slow => "slow",
            FaultKind::ServiceFailure => "service-failure",
        };
        let service = fault.service.as_deref().unwrap_or("*");
        let times = fault.times_left.map_or("-".to_owned(), |times| times.to_string());
        let seconds = fault.delay_seconds.unwrap_or_default();
        self.write(&fault_file(fault.id), &format!("{kind} {service} {times} {seconds}\n"))
    }

    /// Ends a fault. `is_last` tells whether the host has no other live fault of its kind.
    pub fn disarm(&self, fault: &Fault, is_last: bool) -> Result<(), FleetError> {
        match fault.kind {
            FaultKind::NetworkPartition if is_last => self.set_cut(false),
            FaultKind::DiskFull if is_last => self.set_full(false),
            FaultKind::PatchFailure | FaultKind::Slow | FaultKind::ServiceFailure => {
                self.remove(&fault_file(fault.id))
            }
            _ => Ok(()),
        }
    }

    /// How often a fault has struck in the host, and how often it still will.
    pub fn strikes(&self, fault: Uuid) -> Option<(u32, Option<u32>)> {
        let line = self.read(&fault_file(fault))?;
        let left = line.split_whitespace().nth(2)?.parse().ok();
        let strikes = self.read("faults/strikes").unwrap_or_default();
        let id = fault.to_string();
        let count = strikes.lines().filter(|line| line.trim() == id).count();
        Some((u32::try_from(count).unwrap_or(u32::MAX), left))
    }

    /// Disconnects the host from the network or connects it again. A host that starts keeps this state.
    fn set_cut(&self, cut: bool) -> Result<(), FleetError> {
        let _lock = self.lock()?;
        self.set_marker("cut", cut)?;
        let link = self.link()?.filter(|_| self.cgroup().is_ok_and(|cgroup| cgroup.is_populated()));
        if let Some(link) = link {
            quick("ip", &["link", "set", &link, if cut { "down" } else { "up" }])?;
        }
        Ok(())
    }

    /// Fills the host's disk or frees it again.
    fn set_full(&self, full: bool) -> Result<(), FleetError> {
        let _lock = self.lock()?;
        self.set_marker("full", full)?;
        if !self.cgroup()?.is_populated() {
            return Ok(());
        }
        let mut command = self.shell_at_disk()?;
        if full {
            command.arg(self.fleet().scripts().join("fill.sh"));
        } else {
            command.args(["-c", r#"rm -f "$1/ballast""#, "fill"]);
        }
        run(command.arg(self.path("mounted")), FILL_TIMEOUT)?;
        Ok(())
    }

    fn set_marker(&self, name: &str, set: bool) -> Result<(), FleetError> {
        if set { self.write(name, "") } else { self.remove(name) }
    }
}

fn fault_file(id: Uuid) -> String {
    format!("faults/{id}.fault")
}
