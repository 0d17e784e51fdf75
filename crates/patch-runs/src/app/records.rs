//! The records of a run for the crate above: it reads them, and writes only log lines and locks.

pub use crate::store::{
    run_records::{insert_log, list_log, list_log_tail, lock_subjects, unlock_subjects},
    runs::{RunRow, find_plan, get_run, has_ended, list_machine_hosts, lock_run},
};
