//! Makes rollout plans from a dependency graph and a strategy, and lints plans.
//!
//! Pure: no network, no database, no wall clock, no source of randomness. The same input returns the same plan, byte for
//! byte, because approvals are bound to its hash.

pub mod graph;
pub mod host_plan;
pub mod lint;
pub mod scenario;
pub mod schedule;
pub mod strategy;

mod components;
mod pack;

pub use graph::{Compatibility, HostEdge, HostGraph, HostNode, ServiceNode};
pub use host_plan::{PlanRequest, host_plan};
pub use lint::{lint, lint_schedule};
pub use scenario::{Scenario, ScenarioError};
pub use schedule::{Admission, Openings, OpeningsByTags, Schedule, admit};
pub use strategy::{NodePlan, PlanError};
