//! Predictions and what came of them.

use chrono::{DateTime, Utc};
use domain::ids::RunId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One page of the ledger, with the calibration of the newest thousand runs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PredictionLedger {
    /// Absent until a predicted run has ended.
    pub calibration: Option<PredictionCalibration>,
    pub items: Vec<ScoredPrediction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// How well predictions came true.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PredictionCalibration {
    pub runs: u32,
    /// Share of runs that ended within their predicted median; should be one half.
    pub p50_held: f64,
    /// Share of runs that ended within their predicted P95; should be 0.95, and lies between the next two with 95 %
    /// confidence.
    pub p95_held: f64,
    pub p95_held_low: f64,
    pub p95_held_high: f64,
    /// Mean of actual over predicted duration.
    pub duration_ratio: f64,
    /// Brier score of "some host fails": 0 is perfect, 0.25 is what always saying one half scores.
    pub brier_failure: f64,
    pub brier_halt: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ScoredPrediction {
    pub run_id: RunId,
    pub made_at: DateTime<Utc>,
    /// Attempts on hosts the durations were learnt from; 0: the prior alone.
    pub observations: i64,
    pub predicted_p50_seconds: f64,
    pub predicted_p95_seconds: f64,
    pub predicted_failure_probability: f64,
    pub predicted_halt_probability: f64,
    pub actual_seconds: f64,
    pub actual_failed_hosts: u32,
    pub halted: bool,
}
