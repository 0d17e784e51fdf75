//! A run as a pure state machine: events in, at most one action out.
//!
//! [`Run`] decides; somebody else performs. It asks for one action at a time ([`Pending`]), numbered, and goes on when
//! the answer to that very number arrives, so an answer that comes twice or too late changes nothing. Everything it
//! knows is in its fields: saved after each event, it can be taken up by any process. Every state that is not final has
//! a deadline, and [`Event::DeadlinePassed`] always brings it nearer to its end.

mod action;
mod answers;
mod batch;
mod decide;
mod event;
mod machine;
mod orders;
mod state;
#[cfg(test)]
mod tests;

pub use action::{Action, Pending, TestPhase};
pub use event::{Answer, Approval, Event, HostResult, Refused, TestRun, Verification};
pub use machine::{HostRun, Pause, Phase, Progress, Rules, Run, Stop};
pub use state::{HostState, Outcome, RunState, Stage};
