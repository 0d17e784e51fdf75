//! What is stored of a run, for the capability above: it reads these records, and writes none but log lines and locks.

pub use crate::store::{
    run_records::{insert_log, list_log, list_log_tail, lock_subjects, unlock_subjects},
    runs::{RunRow, find_plan, get_run, has_ended, list_machine_hosts, lock_run},
};
