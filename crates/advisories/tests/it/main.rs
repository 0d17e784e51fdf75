//! The crate against data from outside of this project, and against the project's own seeds.
//!
//! Tests that need the shared data are skipped where it is missing, which is reported.

mod cvss;
mod feeds;
mod fuzz;
mod matching;
mod reboots;
mod releases;
mod seeds;
mod shared;
mod versions;
