//! The crate against the real `ansible-playbook` and a small stand-in for the platform's services.

mod fixture;
mod foreseen;
mod inertness;
mod operands;
mod orphans;
mod owners;
mod package_questions;
mod patching;
mod playbooks;
mod preflight;
mod programs;
mod reboots;
mod repositories;
mod restarts;
mod stopping;
mod stub;
mod versions;
mod zypper;
