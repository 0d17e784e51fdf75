//! Predictions compared with what happened.

use chrono::{DateTime, Utc};
use domain::ids::RunId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A page of predictions, with the calibration of the newest thousand runs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PredictionLedger {
    /// Absent until a predicted run has ended.
    pub calibration: Option<PredictionCalibration>,
    pub items: Vec<ScoredPrediction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// How accurate predictions were.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PredictionCalibration {
    pub runs: u32,
    /// Share of runs that ended within their predicted median; should be one half.
    pub p50_held: f64,
    /// Share of runs that ended within their predicted P95; should be 0.95. With 95 % confidence it is between
    /// `p95_held_low` and `p95_held_high`.
    pub p95_held: f64,
    pub p95_held_low: f64,
    pub p95_held_high: f64,
    /// Mean of actual over predicted duration.
    pub duration_ratio: f64,
    /// Brier score of "a host fails": 0 is perfect; always predicting one half scores 0.25.
    pub brier_failure: f64,
    pub brier_halt: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ScoredPrediction {
    pub run_id: RunId,
    pub made_at: DateTime<Utc>,
    /// Attempts on hosts from which the durations were learnt. 0: only the default durations were used.
    pub observations: i64,
    pub predicted_p50_seconds: f64,
    pub predicted_p95_seconds: f64,
    pub predicted_failure_probability: f64,
    pub predicted_halt_probability: f64,
    pub actual_seconds: f64,
    pub actual_failed_hosts: u32,
    pub halted: bool,
}
