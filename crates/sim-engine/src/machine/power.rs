//! Power, reboots and the return to a snapshot.

use api_types::sim::PowerAction;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Condition, GuestState, Machine, seconds};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("package transaction `{transaction_id}` runs until {due_at}; reboot when it has ended")]
pub struct RebootRefused {
    pub transaction_id: String,
    pub due_at: DateTime<Utc>,
}

impl Machine {
    /// The hypervisor's switch: it asks nobody inside, and a running package transaction is torn.
    pub fn set_power(&mut self, action: PowerAction, now: DateTime<Utc>) {
        match (action, self.condition) {
            (PowerAction::Off, Condition::Off)
            | (PowerAction::On, Condition::Up | Condition::Booting { .. }) => {}
            (PowerAction::Off, _) => {
                self.interrupt_transaction("the machine was powered off while the transaction ran", now);
                self.condition = Condition::Off;
            }
            (PowerAction::On | PowerAction::Reset, _) => {
                self.interrupt_transaction("the machine was reset while the transaction ran", now);
                self.boot(now);
            }
        }
    }

    /// The system's own reboot. With `boot_id`, only while the guest still runs under that boot; whether it happens is
    /// returned.
    pub fn reboot(&mut self, boot_id: Option<Uuid>, now: DateTime<Utc>) -> Result<bool, RebootRefused> {
        if boot_id.is_some_and(|expected| expected != self.boot_id) {
            return Ok(false);
        }
        if let Some(running) = &self.running {
            let (transaction_id, due_at) = (running.transaction_id.clone(), running.due_at);
            return Err(RebootRefused { transaction_id, due_at });
        }
        self.boot(now);
        Ok(true)
    }

    /// Returns to a snapshot: the inside is as it was kept, under a new boot id, and the machine runs.
    pub fn revert(&mut self, guest: GuestState, now: DateTime<Utc>) {
        self.interrupt_transaction("the machine was returned to a snapshot while the transaction ran", now);
        self.guest = guest;
        self.condition = Condition::Up;
        self.boot_id = Uuid::now_v7();
        self.booted_at = now;
    }

    /// Becomes what a machine that lives by itself was found to be; whether anything differs is returned.
    pub fn find(&mut self, condition: Condition, boot_id: Option<Uuid>, now: DateTime<Utc>) -> bool {
        let rebooted = boot_id.filter(|found| *found != self.boot_id);
        let changed = condition != self.condition || rebooted.is_some();
        self.condition = condition;
        if let Some(boot_id) = rebooted {
            self.boot_id = boot_id;
            self.booted_at = now;
        }
        changed
    }

    fn boot(&mut self, now: DateTime<Utc>) {
        let until = now + seconds(self.guest.reboot_seconds) + seconds(self.delay());
        self.condition = Condition::Booting { until };
        self.settle(now);
    }

    pub(super) fn come_up(&mut self, at: DateTime<Utc>) {
        self.condition = Condition::Up;
        self.boot_id = Uuid::now_v7();
        self.booted_at = at;
        self.guest.reboot_pending = false;
        self.launch_all_services();
    }
}
