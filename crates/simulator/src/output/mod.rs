//! What a run leaves behind, as texts: `plan.json`, `events.jsonl`, `metrics.csv`, `report.md`. Writing them to files is
//! the caller's.

use planner::{NodePlan, Scenario};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// Something that happened, one line of `events.jsonl`.
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

pub fn plan_json(scenario: &Scenario, plan: &NodePlan) -> String {
    let strategy = plan.strategy.name();
    let steps: Vec<Value> = plan
        .steps
        .iter()
        .map(|step| {
            let nodes: Vec<&str> = step.nodes.iter().map(|node| scenario.nodes[*node].id.as_str()).collect();
            let metadata = if step.guardrail { json!({ "guardrail": true }) } else { json!({}) };
            json!({
                "step_id": step.id,
                "action": step.action,
                "node_ids": nodes,
                "pause_seconds": step.pause_seconds,
                "strategy": strategy,
                "metadata": metadata,
            })
        })
        .collect();
    let plan = json!({ "strategy": strategy, "steps": steps, "metadata": {} });
    format!("{plan:#}\n")
}

pub fn events_jsonl(events: &[Event]) -> String {
    let line = |event| serde_json::to_string(event).map(|line| line + "\n").unwrap_or_default();
    events.iter().map(line).collect()
}

/// `metric,value` with line ends of RFC 4180.
pub fn metrics_csv(rows: &[(String, String)]) -> String {
    let row = |(name, value): &(String, String)| format!("{},{}\r\n", field(name), field(value));
    "metric,value\r\n".to_owned() + &rows.iter().map(row).collect::<String>()
}

fn field(text: &str) -> String {
    match text.contains([',', '"', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// Summary and downtime by service, from the rows of `metrics.csv`.
pub fn report_md(rows: &[(String, String)]) -> String {
    let (downtime, summary): (Vec<_>, Vec<_>) =
        rows.iter().partition(|(name, _)| name.contains("downtime_seconds"));
    let list = |rows: Vec<&(String, String)>| {
        rows.into_iter().map(|(name, value)| format!("- {name}: {value}\n")).collect::<String>()
    };
    format!(
        "# Patch Strategy Report\n\n## Summary\n\n{}\n## Downtime Breakdown\n\n{}",
        list(summary),
        list(downtime)
    )
}
