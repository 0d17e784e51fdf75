//! A machine of the driver `model` as a state machine. It has no side effects: the caller loads it under a lock, passes the
//! time, and stores the result in the same transaction.

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
pub use package::{Offers, PackageTransaction, TransactionRunning};

/// Whether the guest runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Up,
    /// Up at this time, under a new boot id.
    Booting {
        until: DateTime<Utc>,
    },
    /// Failed by a host failure, until power-on, reset or revert.
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
    /// Only for a real guest.
    pub ssh: Option<SshAccess>,
    pub guest: GuestState,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    /// Live faults.
    pub faults: Vec<FaultState>,
    /// The package transaction that holds the guest's package lock.
    pub running: Option<PackageTransaction>,
    /// Faults that struck since the machine was loaded and must be audited.
    pub struck: Vec<(Uuid, FaultKind)>,
    /// Transactions that ended since the machine was loaded and must be stored.
    pub ended: Vec<PackageTransaction>,
}

/// Why a guest does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuestUnreachable {
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
    /// A new machine, which runs.
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

    /// Applies what is due by `now`: ends the running transaction, completes the boot.
    pub fn advance(&mut self, now: DateTime<Utc>) {
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
    pub fn is_up_to_date(&self, now: DateTime<Utc>) -> bool {
        let boots = matches!(self.condition, Condition::Booting { until } if until <= now);
        let transaction_due = self.running.as_ref().is_some_and(|running| running.due_at <= now);
        !boots && !transaction_due
    }

    /// Whether reading the guest at `now` changes nothing: nothing is due, and no fault draws at each request.
    pub fn is_idle(&self, now: DateTime<Utc>) -> bool {
        self.is_up_to_date(now) && !self.has_fault(FaultKind::NetworkPartition)
    }

    /// Sends a request to the guest. Fails if it does not answer.
    pub fn reach(&mut self) -> Result<(), GuestUnreachable> {
        let id = self.id.clone();
        match self.condition {
            Condition::Off => Err(GuestUnreachable::Off(id)),
            Condition::Failed => Err(GuestUnreachable::Failed(id)),
            Condition::Booting { until } => Err(GuestUnreachable::Booting { id, until }),
            Condition::Up => {
                let strikes = self.strike(FaultKind::NetworkPartition);
                if strikes.is_empty() { Ok(()) } else { Err(GuestUnreachable::CutOff(id)) }
            }
        }
    }

    /// An operation of the guest begins: a pending host failure may strike instead.
    pub fn survive_operation(&mut self, now: DateTime<Utc>) -> Result<(), GuestUnreachable> {
        self.trigger_host_failure(now);
        match self.condition {
            Condition::Failed => Err(GuestUnreachable::Failed(self.id.clone())),
            _ => Ok(()),
        }
    }

    /// Lets a pending host failure strike.
    pub fn trigger_host_failure(&mut self, now: DateTime<Utc>) {
        if self.condition == Condition::Up && !self.strike(FaultKind::HostFailure).is_empty() {
            self.interrupt_transaction("the machine failed while the transaction ran", now);
            self.condition = Condition::Failed;
        }
    }

    pub fn packaging(&self) -> Packaging {
        // No machine is created for an OS without a known package manager.
        Packaging::of_os(&self.os).unwrap_or(Packaging::Rpm)
    }

    pub fn to_vm(&self) -> Vm {
        let cut_off = self
            .faults
            .iter()
            .any(|fault| fault.shown.kind == FaultKind::NetworkPartition && fault.shown.probability >= 1.0);
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

    /// Seconds that the faults of kind `slow` add to an operation.
    fn delay(&mut self) -> f64 {
        self.strike(FaultKind::Slow).iter().filter_map(|strike| strike.delay_seconds).sum()
    }
}

/// Whole microseconds, as PostgreSQL stores them.
fn seconds(seconds: f64) -> TimeDelta {
    TimeDelta::microseconds((seconds * 1e6) as i64)
}
