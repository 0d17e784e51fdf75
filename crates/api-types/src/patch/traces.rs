//! A run event by event: a seeded play of a plan, or what was recorded of a run that has ended.

use chrono::{DateTime, Utc};
use domain::{
    ids::{CiId, PolicyId},
    plan::WaveKind,
    run::HostState,
    selector::Selector,
    strategy::Strategy,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which plan to play: the one that a run would have now.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TracePlan {
    pub policy_id: Option<PolicyId>,
    pub advisory: Option<String>,
    pub selector: Option<Selector>,
    /// Instead of the strategy of the policy.
    pub strategy: Option<Strategy>,
    pub seed: u64,
    /// Number of the play, from 0. The forecast with the same seed consists of the plays 0 to 999.
    pub play: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TraceSource {
    /// One play of the simulator.
    Simulated,
    /// The steps of a run that has ended.
    Recorded,
}

/// A run event by event. Everything that a client shows is in here; a state holds until the next event about it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunTrace {
    pub source: TraceSource,
    pub strategy: Strategy,
    pub begins_at: DateTime<Utc>,
    /// From the first event to the end.
    pub seconds: f64,
    pub waves: Vec<TraceWave>,
    /// Pending at the start, wave by wave.
    pub hosts: Vec<TraceHost>,
    pub services: Vec<TraceService>,
    /// Dependencies between hosts of the plan.
    pub edges: Vec<TraceEdge>,
    /// In the order of time; the last one is the end.
    pub events: Vec<TraceEvent>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceWave {
    pub name: String,
    pub kind: WaveKind,
    pub hosts: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceHost {
    pub id: CiId,
    /// Index of its wave, from 0.
    pub wave: u32,
    /// Services of the plan that it is a member of.
    pub services: Vec<CiId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceService {
    pub id: CiId,
    /// Members in all, those that the plan does not patch included.
    pub members: u32,
    pub min_up: u32,
    /// Members that are up at the start.
    pub up: u32,
}

/// `source` depends on `target`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceEdge {
    pub source: CiId,
    pub target: CiId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TraceEventKind {
    WaveBegins,
    Snapshots,
    Tests,
    Soaks,
    /// Until the next opening of the maintenance window.
    Waits,
    Verifies,
    Host,
    Ends,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TraceEvent {
    /// Since the start.
    pub at_seconds: f64,
    pub kind: TraceEventKind,
    /// The event for people.
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<CiId>,
    /// The state of the host from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<HostState>,
    /// Index of the wave that begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<u32>,
    /// The services that lost or regained a member, each with its members that are up from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceUp>,
    pub figures: TraceFigures,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceUp {
    pub id: CiId,
    pub up: u32,
}

/// How many hosts are in which kind of state after an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TraceFigures {
    pub pending: u32,
    pub working: u32,
    pub succeeded: u32,
    /// Failed and not patched, whether they were rolled back or not.
    pub failed: u32,
    /// Left out, skipped or cancelled.
    pub left_out: u32,
    /// Hosts that may be missing from their services.
    pub down: u32,
    /// Services with fewer members up than their `min_up`.
    pub services_below: u32,
}
