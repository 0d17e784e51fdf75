//! The evidence of a change in sentences. Clients may send any evidence; what is not understood here is left to the
//! page, which shows all of it.

use std::fmt::Write;

use serde_json::Value;

/// Maximum number of services and notes.
const NAMED: usize = 10;

/// What is known about the plan of a change; may be empty.
pub fn of(evidence: &Value) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    if let Some(strategy) = evidence.get("strategy").and_then(Value::as_str) {
        let _ = writeln!(text, "strategy {strategy}");
    }
    if let Some(prediction) = evidence.get("prediction").filter(|it| it.is_object()) {
        text.push_str(&prediction_text(prediction));
    }
    if let Some(services) = evidence.get("services").and_then(Value::as_object) {
        for (service, budget) in services.iter().take(NAMED) {
            let members = budget.get("members");
            // Changes that were opened earlier name the hosts.
            let members = members
                .and_then(Value::as_u64)
                .unwrap_or_else(|| members.and_then(Value::as_array).map_or(0, |hosts| hosts.len() as u64));
            let min_up = budget.get("min_up").and_then(Value::as_u64).unwrap_or_default();
            let _ = writeln!(text, "service {service} keeps at least {min_up} of {members} hosts up");
        }
        more(&mut text, services.len(), "services");
    }
    if let Some(notes) = evidence.get("notes").and_then(Value::as_array) {
        for note in notes.iter().take(NAMED) {
            let word = |name: &str| note.get(name).and_then(Value::as_str).unwrap_or_default();
            let _ = writeln!(text, "{}: {}", word("severity"), word("text"));
        }
        more(&mut text, notes.len(), "remarks");
    }
    text.trim_end().to_owned()
}

fn more(text: &mut String, count: usize, what: &str) {
    if count > NAMED {
        let _ = writeln!(text, "and {} more {what}", count - NAMED);
    }
}

fn prediction_text(prediction: &Value) -> String {
    let number = |name: &str| prediction.get(name).and_then(Value::as_f64);
    let mut text = String::new();
    if let (Some(usual), Some(late)) = (number("duration_p50_seconds"), number("duration_p95_seconds")) {
        let _ = writeln!(text, "takes {}, with 95 % certainty at most {}", time(usual), time(late));
    }
    if let (Some(failed), Some(halt)) = (number("expected_failed_hosts"), number("halt_probability")) {
        let _ =
            writeln!(text, "{failed:.1} hosts expected to fail, halts in {:.1} % of the cases", halt * 100.0);
    }
    if let (Some(down), Some(waves)) = (number("max_hosts_down"), number("waves")) {
        let _ = writeln!(text, "{waves:.0} waves, at most {down:.0} hosts down at once");
    }
    if let Some(below) = number("expected_service_down_seconds") {
        let _ = writeln!(text, "services below their minimum for {}", time(below));
    }
    if let Some(runs) = number("simulations") {
        let _ = writeln!(text, "from {runs:.0} simulations of this plan");
    }
    text
}

fn time(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 90.0 => format!("{seconds:.0} s"),
        seconds if seconds < 5400.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plan_and_prediction_read_as_sentences() {
        let text = of(&json!({
            "strategy": "canary",
            "prediction": { "duration_p50_seconds": 600.0, "duration_p95_seconds": 7200.0, "expected_failed_hosts": 0.25,
                "halt_probability": 0.031, "max_hosts_down": 2, "waves": 4, "simulations": 1000 },
            "services": { "svc-db": { "min_up": 1, "members": 40 },
                "svc-web": { "min_up": 2, "members": ["a", "b", "c"] } },
            "notes": [{ "severity": "warning", "code": "x", "text": "one host has no way back" }],
        }));
        assert_eq!(
            text,
            "strategy canary\ntakes 10 min, with 95 % certainty at most 2.0 h\n\
             0.2 hosts expected to fail, halts in 3.1 % of the cases\n4 waves, at most 2 hosts down at once\n\
             from 1000 simulations of this plan\nservice svc-db keeps at least 1 of 40 hosts up\n\
             service svc-web keeps at least 2 of 3 hosts up\n\
             warning: one host has no way back"
        );
    }

    #[test]
    fn evidence_of_another_kind_is_ignored() {
        for evidence in [json!(null), json!({}), json!({ "prediction": 7, "notes": "x", "services": [] })] {
            assert_eq!(of(&evidence), "", "{evidence}");
        }
    }
}
