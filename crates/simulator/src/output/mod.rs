//! The output files of a run as texts: `plan.json`, `events.jsonl`, `metrics.csv`, `report.md`. The caller writes them.

mod event;

use planner::{NodePlan, Scenario};
use serde_json::{Value, json};

pub use self::event::Event;
use crate::native::ScenarioComparison;

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

/// The strategies as a table, with the recommendation and its reason. The exposure is that of the runs that do not halt.
pub fn comparison_md(scenario: &Scenario, comparison: &ScenarioComparison) -> String {
    let mut text = format!(
        "# Strategies for {}\n\n| strategy | time P50 (s) | time P95 (s) | mean downtime (s) | exposure P50 (weighted h) | \
         exposure P95 (weighted h) | halted (% of runs) | mean failed (nodes) | mean extra capacity (node-hours) | front \
         |\n| --- | --: | --: | --: | --: | --: | --: | --: | --: | --- |\n",
        scenario.name
    );
    let mut remarks = String::new();
    for outcome in &comparison.outcomes {
        let name = outcome.strategy.name();
        match &outcome.result {
            Some(result) => {
                text += &format!(
                    "| {name} | {:.0} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} | {:.2} | {:.1} | {} |\n",
                    result.duration_seconds.p50,
                    result.duration_seconds.p95,
                    result.downtime_seconds.mean,
                    result.compared_exposure().p50 / 3600.0,
                    result.compared_exposure().p95 / 3600.0,
                    result.halt.value * 100.0,
                    result.failed_nodes.mean,
                    result.extra_capacity_seconds.mean / 3600.0,
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
                text += &format!("| {name} | | | | | | | | | |\n");
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
