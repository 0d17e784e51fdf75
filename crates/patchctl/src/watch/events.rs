//! The events of a run.

use api_types::patch::{CloudEvent, HostStepState};
use domain::run::{HostState, RunState};
use domain::workflow::WorkflowStep;
use serde_json::Value;

/// One event, with the data that a watcher shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEvent {
    Run {
        state: RunState,
        stage: Option<String>,
        reason: Option<String>,
    },
    Host {
        ci_id: String,
        state: HostState,
        error: Option<String>,
        attempts: u64,
    },
    Step {
        ci_id: String,
        step: WorkflowStep,
        state: HostStepState,
        detail: Option<String>,
    },
    Log {
        ci_id: Option<String>,
        text: String,
    },
    /// An event of a later version.
    Unknown,
}

impl RunEvent {
    pub fn of(event: &CloudEvent) -> Self {
        let data = &event.data;
        let text = |name: &str| data.get(name).and_then(Value::as_str).map(str::to_owned);
        let known = match event.event_type.as_str() {
            "patch.run.state_changed.v1" => {
                state(data).map(|state| Self::Run { state, stage: text("stage"), reason: text("reason") })
            }
            "patch.host.state_changed.v1" => {
                text("ci_id").zip(state(data)).map(|(ci_id, state)| Self::Host {
                    ci_id,
                    state,
                    error: text("error"),
                    attempts: data.get("attempts").and_then(Value::as_u64).unwrap_or(0),
                })
            }
            "patch.host.step_changed.v1" => text("ci_id")
                .zip(parse(data, "step"))
                .zip(state(data))
                .map(|((ci_id, step), state)| Self::Step { ci_id, step, state, detail: text("detail") }),
            "patch.run.log.v1" => text("text").map(|line| Self::Log { ci_id: text("ci_id"), text: line }),
            _ => None,
        };
        known.unwrap_or(Self::Unknown)
    }
}

fn state<T: serde::de::DeserializeOwned>(data: &Value) -> Option<T> {
    parse(data, "state")
}

fn parse<T: serde::de::DeserializeOwned>(data: &Value, name: &str) -> Option<T> {
    serde_json::from_value(data.get(name)?.clone()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(event_type: &str, data: Value) -> CloudEvent {
        serde_json::from_value(json!({
            "specversion": "1.0", "id": "7", "source": "/patch/runs/1", "type": event_type, "subject": null,
            "time": "2026-03-01T00:00:00Z", "data": data,
        }))
        .unwrap()
    }

    #[test]
    fn states_are_read_and_unknown_events_are_ignored() {
        let host = event(
            "patch.host.state_changed.v1",
            json!({ "ci_id": "web-07", "state": "patching", "attempts": 2 }),
        );
        let expected =
            RunEvent::Host { ci_id: "web-07".into(), state: HostState::Patching, error: None, attempts: 2 };
        assert_eq!(RunEvent::of(&host), expected);
        let step = event(
            "patch.host.step_changed.v1",
            json!({ "ci_id": "web-07", "step": "drain", "state": "failed", "detail": "busy" }),
        );
        let expected = RunEvent::Step {
            ci_id: "web-07".into(),
            step: WorkflowStep::Drain,
            state: HostStepState::Failed,
            detail: Some("busy".into()),
        };
        assert_eq!(RunEvent::of(&step), expected);
        let run =
            event("patch.run.state_changed.v1", json!({ "state": "halted", "reason": "2 hosts failed" }));
        assert!(matches!(RunEvent::of(&run), RunEvent::Run { state: RunState::Halted, .. }));
        assert_eq!(
            RunEvent::of(&event("patch.run.state_changed.v1", json!({ "state": "new" }))),
            RunEvent::Unknown
        );
        assert_eq!(RunEvent::of(&event("patch.other.v2", json!({}))), RunEvent::Unknown);
    }
}
