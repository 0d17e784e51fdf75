//! A machine of the model driver as a state machine: told the time, it says what it has become. No effect happens here;
//! the caller loads it under a lock and stores what came out in the same transaction.

mod fault;
mod guest;
mod package;
mod power;
mod service;

use std::collections::BTreeMap;

use api_types::sim::{CreateVm, Driver, FaultKind, Power, SshAccess, Vm};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{ids::CiId, package::Packaging};
use uuid::Uuid;

pub use fault::FaultState;
pub use guest::GuestState;
pub use package::{Offers, PackageTransaction};

/// Whether the guest runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Up,
    /// Up at this time, under a new boot id.
    Booting {
        until: DateTime<Utc>,
    },
    /// Struck by a host failure, until power-on, reset or revert.
    Failed,
    Off,
}

#[derive(Debug, Clone)]
pub struct Machine {
    pub id: CiId,
    pub driver: Driver,
    pub os: String,
    pub cluster: Option<String>,
    pub hypervisor: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub condition: Condition,
    pub boot_id: Uuid,
    pub booted_at: DateTime<Utc>,
    /// How it is entered when its inside is real.
    pub ssh: Option<SshAccess>,
    pub guest: GuestState,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Faults that can still strike.
    pub faults: Vec<FaultState>,
    /// The package transaction that holds the guest's package lock.
    pub running: Option<PackageTransaction>,
    /// Faults that struck since the machine was loaded, to be told of.
    pub struck: Vec<(Uuid, FaultKind)>,
    /// Transactions that ended since the machine was loaded, to be stored.
    pub ended: Vec<PackageTransaction>,
}

/// Why a guest does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuestSilent {
    #[error("the guest of `{0}` does not answer: the machine is off; power it on")]
    Off(CiId),
    #[error("the guest of `{id}` does not answer: it boots until {until}")]
    Booting { id: CiId, until: DateTime<Utc> },
    #[error("the guest of `{0}` does not answer: the machine has failed; power it on, reset or revert it")]
    Failed(CiId),
    #[error("the guest of `{0}` does not answer: the network to it is cut")]
    CutOff(CiId),
}

impl Machine {
    /// A new machine that runs.
    pub fn new(request: &CreateVm, now: DateTime<Utc>) -> Self {
        Self {
            id: request.id.clone(),
            driver: request.driver,
            os: request.os.clone(),
            cluster: request.cluster.clone(),
            hypervisor: request.hypervisor.clone(),
            tags: request.tags.clone(),
            condition: Condition::Up,
            boot_id: Uuid::now_v7(),
            booted_at: now,
            ssh: None,
            guest: GuestState::from(&request.guest),
            created_at: now,
            updated_at: now,
            faults: Vec::new(),
            running: None,
            struck: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// Does what was due by `now`: ends the running transaction, finishes the boot.
    pub fn settle(&mut self, now: DateTime<Utc>) {
        if let Some(running) = self.running.take_if(|running| running.due_at <= now) {
            let due_at = running.due_at;
            self.finish_transaction(running, due_at);
        }
        if let Condition::Booting { until } = self.condition
            && until <= now
        {
            self.come_up(until);
        }
    }

    /// Whether nothing is due by `now`.
    pub fn is_settled(&self, now: DateTime<Utc>) -> bool {
        let boots = matches!(self.condition, Condition::Booting { until } if until <= now);
        let transaction_due = self.running.as_ref().is_some_and(|running| running.due_at <= now);
        !boots && !transaction_due
    }

    /// Whether reading the guest at `now` changes nothing: nothing is due, and no fault draws for each request.
    pub fn is_idle(&self, now: DateTime<Utc>) -> bool {
        self.is_settled(now) && !self.has_fault(FaultKind::NetworkPartition)
    }

    /// Asks the guest something: it answers, or says why it cannot.
    pub fn reach(&mut self) -> Result<(), GuestSilent> {
        let id = self.id.clone();
        match self.condition {
            Condition::Off => Err(GuestSilent::Off(id)),
            Condition::Failed => Err(GuestSilent::Failed(id)),
            Condition::Booting { until } => Err(GuestSilent::Booting { id, until }),
            Condition::Up => match self.strike(FaultKind::NetworkPartition).is_empty() {
                true => Ok(()),
                false => Err(GuestSilent::CutOff(id)),
            },
        }
    }

    /// Asks a guest that answers to do something: a waiting host failure may strike instead.
    pub fn withstand(&mut self, now: DateTime<Utc>) -> Result<(), GuestSilent> {
        self.meet_host_failure(now);
        match self.condition {
            Condition::Failed => Err(GuestSilent::Failed(self.id.clone())),
            _ => Ok(()),
        }
    }

    /// Lets a waiting host failure strike.
    pub fn meet_host_failure(&mut self, now: DateTime<Utc>) {
        if self.condition == Condition::Up && !self.strike(FaultKind::HostFailure).is_empty() {
            self.interrupt_transaction("the machine failed while the transaction ran", now);
            self.condition = Condition::Failed;
        }
    }

    pub fn packaging(&self) -> Packaging {
        // Machines of an OS without a known package system are not created.
        Packaging::of_os(&self.os).unwrap_or(Packaging::Rpm)
    }

    pub fn to_vm(&self) -> Vm {
        let cut_off = self
            .faults
            .iter()
            .any(|fault| fault.kind == FaultKind::NetworkPartition && fault.probability >= 1.0);
        Vm {
            id: self.id.clone(),
            driver: self.driver,
            os: self.os.clone(),
            cluster: self.cluster.clone(),
            hypervisor: self.hypervisor.clone(),
            tags: self.tags.clone(),
            power: if self.condition == Condition::Off { Power::Off } else { Power::On },
            reachable: self.condition == Condition::Up && !cut_off,
            address: self.ssh.as_ref().map(|ssh| ssh.address.clone()),
            ssh: self.ssh.clone(),
            boot_id: self.boot_id,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    /// Extra time that injected slowness adds to an operation.
    fn delay(&mut self) -> f64 {
        self.strike(FaultKind::Slow).iter().filter_map(|hit| hit.delay_seconds).sum()
    }
}

/// A length in seconds, in whole microseconds as PostgreSQL keeps them.
fn seconds(seconds: f64) -> TimeDelta {
    TimeDelta::microseconds((seconds * 1e6) as i64)
}
