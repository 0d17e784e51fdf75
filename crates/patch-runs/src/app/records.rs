//! The records of a run for the crate above: it reads them, and writes only log lines, events of subjects, and locks.

pub use crate::store::{
    run_records::{
        SubjectEvent, find_last_wait_reason, insert_log, insert_subject_event, list_log_tail,
        list_subject_events, list_waits,
    },
    runs::{RunRow, find_plan, get_run, has_ended, list_machine_hosts, lock_run},
    subject_locks::{lock_subjects, unlock_subjects},
};
