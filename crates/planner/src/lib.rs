//! From a dependency graph and a strategy to a rollout plan, and from a plan to what is wrong with it.
//!
//! Pure: no network, no database, no wall clock, no source of randomness. The same input gives the same plan, byte for
//! byte, because its hash is what people approve.

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
pub use schedule::{Openings, Schedule};
pub use strategy::{NodePlan, PlanError};
