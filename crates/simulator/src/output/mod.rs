//! The output files of a run as texts: `plan.json`, `events.jsonl`, `metrics.csv`, `report.md`. The caller writes them.

use planner::{NodePlan, Scenario};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::native::ScenarioComparison;

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

pub fn plan_json(scenario: &Scenario, plan: &NodePlan) -> String {
    let strategy = plan.strategy.name();
    let steps: Vec<Value> = plan
        .steps
        .iter()
        .map(|step| {
            let nodes: Vec<&str> = plan.nodes_of(step).map(|node| scenario.nodes[node].id.as_str()).collect();
            let metadata = if step.guardrail { json!({ "guardrail": true }) } else { json!({}) };
            json!({
                "step_id": step.name,
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
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
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

/// The strategies as a table, with the recommendation and its reason. Times in seconds.
pub fn comparison_md(scenario: &Scenario, comparison: &ScenarioComparison) -> String {
    let mut text = format!(
        "# Strategies for {}\n\n| strategy | time P50 | time P95 | downtime | exposure | halts | failed | extra capacity | \
         front |\n| --- | --: | --: | --: | --: | --: | --: | --: | --- |\n",
        scenario.name
    );
    let mut remarks = String::new();
    for outcome in &comparison.outcomes {
        let name = outcome.strategy.name();
        match &outcome.result {
            Some(result) => {
                text += &format!(
                    "| {name} | {:.0} | {:.0} | {:.1} | {:.0} | {:.1} % | {:.2} | {:.0} | {} |\n",
                    result.duration_seconds.p50,
                    result.duration_seconds.p95,
                    result.downtime_seconds.mean,
                    result.exposure.mean,
                    result.halt.value * 100.0,
                    result.failed_nodes.mean,
                    result.extra_capacity_seconds.mean,
                    if outcome.pareto { "yes" } else { "" },
                );
                for risk in result.services_at_risk.iter().take(3) {
                    remarks += &format!(
                        "- {name}: `{}` falls below its min_up in {:.1} % of runs ({:.1} to {:.1} %)\n",
                        risk.service,
                        risk.below_min_up.value * 100.0,
                        risk.below_min_up.low * 100.0,
                        risk.below_min_up.high * 100.0,
                    );
                }
            }
            None => {
                text += &format!("| {name} | | | | | | | | |\n");
                let refused = outcome.refused.as_deref().unwrap_or("no plan");
                remarks += &format!("- {name}: {refused}\n");
            }
        }
    }
    if !remarks.is_empty() {
        text += &format!("\n## Remarks\n\n{remarks}");
    }
    text + &format!("\n## Recommendation\n\n{}\n", comparison.reason)
}
