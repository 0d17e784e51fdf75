use planner::{
    Compatibility,
    scenario::{Health, NodeKind, read},
};
use proptest::prelude::*;

fn fault(yaml: &str) -> String {
    read("s.yaml", yaml).expect_err("was accepted").to_string()
}

const TWO: &str = "
nodes:
  - {id: a, type: HOST}
  - id: b
    type: DATABASE
    service: s
";

#[test]
fn defaults_are_those_of_the_format() {
    let scenario = read("dir/trap.yaml", &format!("{TWO}edges: [{{source: b, target: a}}]\n")).unwrap();
    assert_eq!((scenario.name.as_str(), scenario.seed), ("trap", 0));
    let node = &scenario.nodes[0];
    assert_eq!((node.kind, node.criticality, node.min_up, node.patchable), (NodeKind::Host, 1, 1, true));
    assert_eq!((node.version.as_str(), node.health), ("v_old", Health::Healthy));
    assert!(node.patch.rollback_supported && node.patch.severity == 0.0);
    let services: Vec<&str> = scenario.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(services, ["a", "s"]);
    assert_eq!((scenario.edges[0].source, scenario.edges[0].target), (1, 0));
    assert_eq!(scenario.edges[0].compatibility, Compatibility::Compatible);
}

#[test]
fn patches_apply_to_nodes_without_their_own() {
    let yaml = "
min_up_default: 2
patches:
  a: {severity: 5}
  b: {severity: 6}
nodes:
  - {id: a, type: HOST, min_up: 0, patch: {severity: 9.5}}
  - {id: b, type: HOST}
";
    let scenario = read("s.yaml", yaml).unwrap();
    let severities: Vec<f64> = scenario.nodes.iter().map(|node| node.patch.severity).collect();
    assert_eq!(severities, [9.5, 6.0]);
    assert_eq!(scenario.services.iter().map(|service| service.min_up).collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn errors_name_file_line_and_field() {
    for (yaml, expected) in [
        (String::new(), "s.yaml: contains no scenario; give at least `nodes`"),
        ("# only a comment\n---\n".into(), "s.yaml: contains no scenario; give at least `nodes`"),
        ("name: x\n".into(), "s.yaml: nodes: must list at least one node"),
        (
            format!("{TWO}  - {{id: a, type: HOST}}\n"),
            "s.yaml:7: nodes[2].id: `a` is a duplicate; line 3 already has a node with that id",
        ),
        (
            format!("{TWO}edges:\n  - source: a\n    target: zz\n"),
            "s.yaml:9: edges[0].target: there is no node `zz`",
        ),
        (format!("{TWO}patches:\n  zz: {{}}\n"), "s.yaml:8: patches.zz: there is no node `zz`"),
        (format!("{TWO}    criticality: 6\n"), "s.yaml:7: nodes[1].criticality: must be 1 to 5, but is 6"),
        (format!("{TWO}    redundancy: 0\n"), "s.yaml:7: nodes[1].redundancy: must be at least 1, but is 0"),
        (
            format!("{TWO}    patch:\n      failure_probability: 1.5\n"),
            "s.yaml:8: nodes[1].patch.failure_probability: must be 0 to 1, but is 1.5",
        ),
        (
            format!("{TWO}    patch:\n      severity: -1\n"),
            "s.yaml:8: nodes[1].patch.severity: must be 0 to 10, but is -1",
        ),
    ] {
        assert_eq!(fault(&yaml), expected);
    }
}

#[test]
fn type_errors_name_line_and_field_too() {
    for (yaml, place, word) in [
        (format!("{TWO}    colour: red\n"), "s.yaml:7: nodes[1].colour: ", "unknown field"),
        (format!("{TWO}    patch: {{severty: 1}}\n"), "s.yaml:7: nodes[1].patch.severty: ", "unknown field"),
        (
            format!("{TWO}    patch:\n      patch_duration_seconds: -5\n"),
            "s.yaml:8: nodes[1].patch.patch_duration_seconds: ",
            "",
        ),
        (format!("{TWO}    min_up: many\n"), "s.yaml:7: nodes[1].min_up: ", ""),
        (format!("{TWO}  - {{type: HOST}}\n"), "s.yaml:7: nodes[2].id: ", "missing field"),
        (format!("{TWO}  - {{id: c, type: ROUTER}}\n"), "s.yaml:7: nodes[2].type: ", "ROUTER"),
        (format!("{TWO}    id: c\n"), "s.yaml:7: ", "duplicate"),
        ("nodes: [\n".into(), "s.yaml:", ""),
        ("- 1\n".into(), "s.yaml:1: ", "must be a mapping"),
        (format!("{TWO}---\nnodes: []\n"), "s.yaml:8: ", "a second document begins"),
        (format!("{TWO}seed: 99999999999999999999\n"), "s.yaml:7: seed: ", "must be a whole number"),
    ] {
        let text = fault(&yaml);
        assert!(text.starts_with(place) && text.contains(word), "{text}\n  wanted {place} {word}");
        assert!(!text.contains('\n'), "{text:?} has several lines");
    }
}

#[test]
fn many_nodes_may_share_one_patch() {
    let nodes: String = (0..2000).map(|n| format!("  - {{id: n{n}, type: HOST, patch: *p}}\n")).collect();
    let yaml = format!("metadata: {{shared: &p {{severity: 3}}}}\nnodes:\n{nodes}");
    let scenario = read("s.yaml", &yaml).unwrap();
    assert!(scenario.nodes.len() == 2000 && scenario.nodes.iter().all(|node| node.patch.severity == 3.0));
}

#[test]
fn alias_bombs_are_refused() {
    let mut yaml = "metadata:\n  a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
    for level in 1..10 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        yaml += &format!("  a{level}: &a{level} [{below}]\n");
    }
    yaml += TWO;
    assert!(fault(&yaml).starts_with("s.yaml"));
}

/// What YAML is made of, and what scenarios are.
const PIECES: [&str; 24] = [
    "\n", "  ", "- ", ": ", "{", "}", "[", "]", ",", "&a ", "*a", "|", "\"", "'", "#", "!!int ", "---\n",
    "\u{0}", "\t", "-1", "1e999", "nodes:", "patch:", "é",
];

proptest! {
    #[test]
    fn changed_scenarios_break_no_reader(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0..PIECES.len(), 0..12_usize), 1..8)
    ) {
        let mut text: Vec<char> = format!("{TWO}edges:\n  - {{source: b, target: a}}\npatches: {{a: {{severity: 3}}}}\n").chars().collect();
        for (place, piece, cut) in changes {
            let at = place.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, PIECES[piece].chars());
        }
        let text: String = text.into_iter().collect();
        match read("s.yaml", &text) {
            Ok(scenario) => prop_assert!(!scenario.nodes.is_empty()),
            Err(error) => {
                let told = error.to_string();
                prop_assert!(told.starts_with("s.yaml") && !told.contains('\n'), "{told:?}");
            }
        }
    }
}
