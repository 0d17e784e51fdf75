//! The crate against data from outside of this project, and against the project's own seeds.
//!
//! Tests that need the shared data are skipped with a message where it is absent.

mod cvss;
mod feeds;
mod fuzz;
mod matching;
mod seeds;
mod shared;
mod versions;
