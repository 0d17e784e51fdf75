//! Runs on the whole platform: the real CMDB, ITSM and sim-engine beside the patch-manager, and real Ansible.
//!
//! Skipped, with a message, where `ansible-playbook` is not installed; `cargo xtask bootstrap` installs it.

mod contract;
mod control;
mod execution;
mod lifecycle;
mod outages;
mod platform;
mod release_faults;
mod release_weeks;
mod releases;
mod schedule;
mod system_patch;
mod workflow;
