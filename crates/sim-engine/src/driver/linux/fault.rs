//! Injected faults of real hosts. They lie in the host's folder, outside its disk, so that they outlive reboots and
//! reverts and end when they are deleted.

use std::{process::Command, time::Duration};

use api_types::sim::FaultKind;
use uuid::Uuid;

use super::{
    FleetError,
    command::{quick, run},
    host::Host,
};
use crate::machine::FaultState;

const FILL: Duration = Duration::from_secs(60);

impl Host<'_> {
    pub fn arm(&self, fault: &FaultState) -> Result<(), FleetError> {
        match fault.kind {
            FaultKind::HostFailure => self.fail(),
            FaultKind::NetworkPartition => self.cut(true),
            FaultKind::DiskFull => self.fill(true),
            FaultKind::PatchFailure | FaultKind::Slow | FaultKind::ServiceFailure => self.write(
                &format!("faults/{}.fault", fault.id),
                &format!(
                    "{} {} {} {}\n",
                    match fault.kind {
                        FaultKind::PatchFailure => "patch-failure",
                        FaultKind::Slow => "slow",
                        _ => "service-failure",
                    },
                    fault.service.as_deref().unwrap_or("*"),
                    fault.times_left.map_or("-".to_owned(), |times| times.to_string()),
                    fault.delay_seconds.unwrap_or_default(),
                ),
            ),
        }
    }

    /// Ends a fault. `others` are those of the host that stay.
    pub fn disarm(&self, fault: &FaultState, others: &[FaultState]) -> Result<(), FleetError> {
        let is_last = !others.iter().any(|other| other.kind == fault.kind && other.is_live());
        match fault.kind {
            FaultKind::NetworkPartition if is_last => self.cut(false),
            FaultKind::DiskFull if is_last => self.fill(false),
            FaultKind::PatchFailure | FaultKind::Slow | FaultKind::ServiceFailure => {
                self.forget(&format!("faults/{}.fault", fault.id))
            }
            _ => Ok(()),
        }
    }

    /// How often a fault has struck in the host, and how often it still will.
    pub fn strikes(&self, fault: Uuid) -> Option<(u32, Option<u32>)> {
        let line = self.read(&format!("faults/{fault}.fault"))?;
        let left = line.split_whitespace().nth(2)?.parse().ok();
        let strikes = self.read("faults/strikes").unwrap_or_default();
        let id = fault.to_string();
        let count = strikes.lines().filter(|line| line.trim() == id).count();
        Some((u32::try_from(count).unwrap_or(u32::MAX), left))
    }

    /// Takes the host off the network, or puts it on again; a host that starts finds it as it was left.
    fn cut(&self, cut: bool) -> Result<(), FleetError> {
        let _turn = self.turn()?;
        match cut {
            true => self.write("cut", "")?,
            false => self.forget("cut")?,
        }
        let link = self.link()?.filter(|_| self.group().is_ok_and(|group| group.is_populated()));
        if let Some(link) = link {
            quick("ip", &["link", "set", &link, if cut { "down" } else { "up" }])?;
        }
        Ok(())
    }

    /// Takes all room on the host's disk, or gives it back.
    fn fill(&self, fill: bool) -> Result<(), FleetError> {
        let _turn = self.turn()?;
        match fill {
            true => self.write("full", "")?,
            false => self.forget("full")?,
        }
        if !self.group()?.is_populated() {
            return Ok(());
        }
        let mut command: Command = self.beside_the_disk()?;
        match fill {
            true => command.arg(self.fleet().scripts().join("fill.sh")).arg(self.path("mounted")),
            false => command.args(["-c", r#"rm -f "$1/ballast""#, "fill"]).arg(self.path("mounted")),
        };
        run(&mut command, FILL)?;
        Ok(())
    }
}
