//! A run as a pure state machine: events in, at most one action out.
//!
//! [`Run`] decides; the caller performs. It requests one numbered action at a time ([`Pending`]) and continues when the
//! answer with that number arrives, so a duplicate or late answer changes nothing. Its fields hold its whole state: saved
//! after each event, it can be continued by any process. Every state that is not final has a deadline, and
//! [`Event::DeadlinePassed`] always brings the run nearer to its end.

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

pub use action::{Action, Hold, Pending, TestPhase, WaitCause};
pub use decide::SNAPSHOTS_AT_ONCE;
pub use event::{Answer, Approval, Event, HostResult, Refused, TestRun, Verification};
pub use machine::{HostRun, Pause, Phase, Progress, Rules, Run, Stop};
pub use state::{DownCause, HostState, Outcome, PauseCause, RunState, Stage};
