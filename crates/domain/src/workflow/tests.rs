use super::*;

fn workflow(text: &str) -> HostWorkflow {
    serde_json::from_str(text).unwrap()
}

#[test]
fn workflow_without_steps_reads_and_hashes_as_before() {
    let before = r#"{"min_disk_free_percent":5,"pre_downtime_commands":[],"drain_timeout_seconds":300,"pre_update_commands":[],"post_update_commands":[],"health_timeout_seconds":600,"health_stable_seconds":0,"host_timeout_seconds":3600}"#;
    assert_eq!(serde_json::to_string(&workflow(before)).unwrap(), before);
}

#[test]
fn older_fields_are_the_timeouts_of_their_steps_unless_the_step_sets_its_own() {
    let both =
        workflow(r#"{ "drain_timeout_seconds": 42, "steps": { "health": { "timeout_seconds": 7 } } }"#);
    assert_eq!(both.rule(WorkflowStep::Drain, Rollback::Auto).timeout_seconds, 42);
    assert_eq!(both.rule(WorkflowStep::Health, Rollback::Auto).timeout_seconds, 7);
    let short = workflow(
        r#"{ "host_timeout_seconds": 90, "drain_timeout_seconds": 9, "health_timeout_seconds": 9 }"#,
    );
    assert_eq!(short.rule(WorkflowStep::Update, Rollback::Auto).timeout_seconds, 90);
}

#[test]
fn consequence_follows_the_policy_unless_the_step_sets_its_own_and_never_overrides_never() {
    let plain = HostWorkflow::default();
    let on_failure = |workflow: &HostWorkflow, step, rollback| workflow.rule(step, rollback).on_failure;
    assert_eq!(on_failure(&plain, WorkflowStep::Update, Rollback::Auto), OnFailure::Rollback);
    assert_eq!(on_failure(&plain, WorkflowStep::Update, Rollback::Manual), OnFailure::Abort);
    assert_eq!(on_failure(&plain, WorkflowStep::Precheck, Rollback::Auto), OnFailure::Abort);
    let said = workflow(r#"{ "steps": { "update": { "on_failure": "rollback" } } }"#);
    assert_eq!(on_failure(&said, WorkflowStep::Update, Rollback::Manual), OnFailure::Rollback);
    assert_eq!(on_failure(&said, WorkflowStep::Update, Rollback::Never), OnFailure::Abort);
}

#[test]
fn every_error_names_its_field() {
    let wrong = workflow(
        r#"{ "steps": { "update": { "on_failure": "continue", "retries": 11 }, "drain": { "timeout_seconds": 0 } },
             "drain": { "url": "ftp://x" }, "services": ["nginx", "-x", "a b"], "pre_update_commands": [[]],
             "maintenance_hooks": { "on": [["/bin/sh", "-c", "id"], ["monitoring-off", "{host}"]] } }"#,
    );
    let places: Vec<String> = wrong.faults().into_iter().map(|(pointer, _)| pointer).collect();
    assert_eq!(
        places,
        [
            "/drain/url",
            "/services/1",
            "/services/2",
            "/pre_update_commands/0",
            "/maintenance_hooks/on/0",
            "/steps/drain/timeout_seconds",
            "/steps/update/retries",
            "/steps/update/on_failure",
        ]
    );
    assert_eq!(HostWorkflow::default().faults(), []);
}

#[test]
fn only_allowed_programs_replace_the_update() {
    let own = workflow(r#"{ "update_commands": [["/opt/fetch"], ["/opt/apply", "-y"]] }"#);
    assert_eq!(own.faults(), []);
    let allowed = |programs: &[&str]| {
        let programs: Vec<String> = programs.iter().map(|program| (*program).to_owned()).collect();
        own.refused_update(&programs).map(|(position, _)| position)
    };
    assert_eq!(allowed(&["/opt/fetch", "/opt/apply"]), None);
    assert_eq!(allowed(&["/opt/fetch"]), Some(1));
    assert_eq!(allowed(&[]), Some(0), "nothing is allowed by default");
    assert_eq!(HostWorkflow::default().refused_update(&[]), None);
    let empty = workflow(r#"{ "update_commands": [[]] }"#);
    assert_eq!(empty.faults()[0].0, "/update_commands/0");
}

#[test]
fn unknown_steps_and_settings_are_refused() {
    for text in [
        r#"{ "steps": { "dance": {} } }"#,
        r#"{ "steps": { "update": { "retry": 1 } } }"#,
        r#"{ "drain": { "file": "x" } }"#,
    ] {
        assert!(serde_json::from_str::<HostWorkflow>(text).is_err(), "{text}");
    }
}
