use serde::{Serialize, Serializer};

/// One event, a line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event {
    /// Since the start; written as `time`, in seconds.
    #[serde(rename = "time", serialize_with = "seconds")]
    pub time_ms: u64,
    pub event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<String>,
    pub step_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_ids: Option<Vec<String>>,
    #[serde(rename = "duration", skip_serializing_if = "Option::is_none", serialize_with = "some_seconds")]
    pub duration_ms: Option<u64>,
}

/// Whole seconds as an integer, others as a decimal.
fn seconds<S: Serializer>(milliseconds: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    match milliseconds % 1000 {
        0 => serializer.serialize_u64(milliseconds / 1000),
        _ => serializer.serialize_f64(*milliseconds as f64 / 1000.0),
    }
}

fn some_seconds<S: Serializer>(milliseconds: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
    seconds(&milliseconds.unwrap_or_default(), serializer)
}

impl Event {
    pub fn of_step(time_ms: u64, event: &'static str, step_id: String) -> Self {
        Self { time_ms, event, node_id: None, step_id, node_ids: None, duration_ms: None }
    }
}
