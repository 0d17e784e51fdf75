//! The reference's rules against its published figures, and against a plainer version of themselves.

mod oracle;
mod published;
#[path = "../../../simulator/tests/it/scenarios.rs"]
mod scenarios;
