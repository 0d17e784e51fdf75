//! Releases of a product to its customers: versions, types, tiers, delays, health and the rules between them.
//!
//! A rollout to customers is a plan like any other ([`crate::plan::Intent::Deploy`]) and is decided by the same machine
//! ([`crate::run::Run`]). What is specific to customers is here, as pure functions: when a tier may start
//! ([`admit`]), what a customer's health says ([`Judge`]), and how a whole rollout plays out ([`simulate`]).

mod admission;
mod checklist;
mod customer;
mod delay;
mod deployment;
mod evidence;
mod health;
mod kinds;
mod metrics;
mod planning;
mod policy;
#[cfg(feature = "schema")]
mod schema;
mod simulation;
#[cfg(test)]
mod tests;
mod version;
mod weakening;

pub use admission::{Admission, CustomerFacts, Facts, admit};
pub use checklist::{Checklist, ChecklistError, ChecklistItem, ItemState};
pub use customer::{Customer, CustomerWindow, Deployer, HealthSource};
pub use delay::{Delay, InvalidDelay};
pub use deployment::{Check, CheckKind, CheckRun, CustomerTarget, Deployment, Direction, WaveStart};
pub use evidence::{EvidenceRule, healthy_hours_for};
pub use health::{Baseline, Finding, HealthRules, HealthSample, Judge, Judgement};
pub use kinds::{ReleaseKind, Tier, Urgency};
pub use metrics::{DeploymentFact, Figure, Measured, ReleaseMetrics, ResolutionFact, measure};
pub use planning::{LeftOut, PlanRelease, Planned, plan_release};
pub use policy::{
    Approval, Notice, NoticeTime, ReleasePolicies, RollbackProcess, RollbackRule, Timing, Trigger, TypePolicy,
};
pub use simulation::{Freezes, Happening, Imagined, Timeline, TimelineRow, simulate};
pub use version::{Version, VersionError, check_version};
