use chrono::{DateTime, Utc};
use domain::{
    ids::RunId,
    plan_diff::{DiffLine, DriftVerdict, PlanDrift},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The approved plan of a run compared with the one made right before its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunDiff {
    pub run_id: RunId,
    /// Absent: the plans were not compared; `reason` says why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<DriftVerdict>,
    /// The verdict in one sentence, or why there is none.
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_at: Option<DateTime<Utc>>,
    /// Absent: the plans were not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<PlanDrift>,
    /// The differences as a table for people.
    pub lines: Vec<DiffLine>,
}
