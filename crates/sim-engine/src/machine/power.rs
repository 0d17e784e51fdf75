//! Power, reboots and reverts.

use api_types::sim::PowerAction;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Condition, GuestState, Machine, TransactionRunning, seconds};

impl Machine {
    /// The hypervisor's switch: the guest gets no notice, and a running package transaction is interrupted.
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

    /// Reboots from inside. With `boot_id`, only if the guest still runs under that boot. Returns whether it reboots.
    pub fn reboot(&mut self, boot_id: Option<Uuid>, now: DateTime<Utc>) -> Result<bool, TransactionRunning> {
        if boot_id.is_some_and(|expected| expected != self.boot_id) {
            return Ok(false);
        }
        self.require_package_lock()?;
        self.boot(now);
        Ok(true)
    }

    /// Restores the guest of a snapshot. The machine then runs, under a new boot id.
    pub fn revert(&mut self, guest: GuestState, now: DateTime<Utc>) {
        self.interrupt_transaction("the machine was reverted to a snapshot while the transaction ran", now);
        self.guest = guest;
        self.condition = Condition::Up;
        self.boot_id = Uuid::now_v7();
        self.booted_at = now;
    }

    /// Takes over the observed state of a real machine. Returns whether anything differs.
    pub fn observe(&mut self, condition: Condition, boot_id: Option<Uuid>, now: DateTime<Utc>) -> bool {
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
        self.advance(now);
    }

    pub(super) fn come_up(&mut self, at: DateTime<Utc>) {
        self.condition = Condition::Up;
        self.boot_id = Uuid::now_v7();
        self.booted_at = at;
        self.guest.reboot_pending = false;
        self.launch_all_services();
    }
}
