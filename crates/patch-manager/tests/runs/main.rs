//! Runs on the whole platform: patch-manager, CMDB, ITSM, sim-engine and real Ansible.
//!
//! Skipped with a message if `ansible-playbook` is not installed; `cargo xtask bootstrap` installs it.

mod callbacks;
mod clocks;
mod comparison;
mod console;
mod contract;
mod control;
mod database_proxy;
mod duties;
mod execution;
mod feed_alerts;
mod lifecycle;
mod outages;
mod owner_notices;
mod pins;
mod plan_ahead;
mod platform;
mod preflight;
mod promises;
mod readers;
mod reading;
mod reboot_window;
mod release_faults;
mod release_weeks;
mod releases;
mod restarts;
mod restores;
mod schedule;
mod silence;
mod subjects;
mod system_patch;
mod traces;
mod workflow;
