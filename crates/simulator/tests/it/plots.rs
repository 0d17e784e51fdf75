use domain::strategy::Strategy;
use planner::{scenario, strategy::plan};
use simulator::{
    native::{self, NativeOptions, Sampling},
    output, plot,
};

const YAML: &str = "
name: <shop & co>
nodes:
  - {id: w1, type: SERVICE_INSTANCE, service: web, patch: &p {patch_duration_seconds: 40, requires_restart: true, severity: 5}}
  - {id: w2, type: SERVICE_INSTANCE, service: web, patch: *p}
  - {id: d1, type: DATABASE, service: '<db>', min_up: 0, patch: *p}
";

#[test]
fn every_picture_is_drawn_and_escaped() {
    let scenario = scenario::read("s.yaml", YAML).unwrap();
    let plan = plan(&scenario, Strategy::Rolling, 2).unwrap();
    let options = NativeOptions::exact();
    let events = native::run(&scenario, &plan, &options, 1).events;
    let comparison = native::compare(&scenario, &Strategy::ALL, 2, &options, &Sampling::new(20, 1));
    let gantt = plot::gantt(&events).unwrap();
    let capacity = plot::capacity(&scenario, &plan, &events).unwrap();
    let exposure = plot::exposure(&scenario, &events).unwrap();
    let pareto = plot::pareto(&comparison).unwrap();
    for svg in [&gantt, &capacity, &exposure, &pareto] {
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert!(!svg.contains("<db>"));
    }
    assert!(["w1", "w2", "d1"].iter().all(|node| gantt.contains(node)), "{gantt}");
    assert!(capacity.contains("web (needs 1)") && capacity.contains("&lt;db&gt;"), "{capacity}");
    assert!(Strategy::ALL.iter().all(|strategy| pareto.contains(strategy.name())));
}

#[test]
fn comparison_is_written_as_a_table() {
    let scenario = scenario::read("s.yaml", YAML).unwrap();
    let options = NativeOptions::exact();
    let comparison = native::compare(&scenario, &Strategy::ALL, 2, &options, &Sampling::new(20, 1));
    let report = output::comparison_md(&scenario, &comparison);
    assert!(report.starts_with("# Strategies for <shop & co>\n\n| strategy |"), "{report}");
    assert!(report.contains("| rolling | 80 | 80 |"), "{report}");
    assert!(report.contains("## Recommendation\n\n`"), "{report}");
}

#[test]
fn nothing_to_draw_is_not_an_error() {
    let scenario = scenario::read("s.yaml", YAML).unwrap();
    assert!(plot::gantt(&[]).is_ok());
    assert!(plot::exposure(&scenario, &[]).is_ok());
}

#[test]
fn texts_have_the_shape_that_tools_expect() {
    let scenario = scenario::read("s.yaml", YAML).unwrap();
    let plan = plan(&scenario, Strategy::Canary, 2).unwrap();
    let run = native::run(&scenario, &plan, &NativeOptions::exact(), 1);
    let json: serde_json::Value = serde_json::from_str(&output::plan_json(&scenario, &plan)).unwrap();
    assert_eq!(json["steps"][1]["action"], "pause");
    assert_eq!(json["steps"][0]["node_ids"], serde_json::json!(["d1", "w1"]));
    let events = output::events_jsonl(&run.events);
    assert_eq!(
        events.lines().next(),
        Some(r#"{"time":0,"event":"started","node_id":"d1","step_id":"patch_canary-1"}"#)
    );
    let csv = output::metrics_csv(&run.metrics.rows());
    assert!(csv.starts_with("metric,value\r\nduration_seconds,140\r\n"), "{csv}");
    assert!(csv.contains("downtime_seconds.<db>,40\r\n") || csv.contains("downtime_seconds.<db>,0\r\n"));
    let report = output::report_md(&run.metrics.rows());
    assert!(report.contains("## Downtime Breakdown\n\n- downtime_seconds: 0\n"), "{report}");
}
