//! The rules and their transactions: lock the machine, bring it up to date, act, store, commit.

mod checks;
pub mod customers;
pub mod faults;
pub mod guest;
pub mod housekeeping;
mod locked_machine;
pub mod reconcile;
pub mod repositories;
pub mod run_owners;
mod schedule;
pub mod snapshots;
pub mod state;
pub mod transactions;
pub mod vms;

use service_kit::Caller;

/// The service as the subject of what it does by itself.
fn this_service() -> Caller {
    Caller::internal(crate::NAME, format!("service:{}", crate::NAME))
}
