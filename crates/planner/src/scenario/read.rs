//! Reads a scenario from YAML; errors name file, line and field.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::Path,
};

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::{Edge, Health, Node, NodeKind, Patch, Scenario, Service, UNPATCHED};
use crate::graph::Compatibility;

/// Why a text is not a scenario. Shown as `file:line: field: reason`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError {
    pub file: String,
    /// Counted from 1; absent if the error has no place, as in an empty file.
    pub line: Option<u64>,
    /// As a path: `nodes[3].patch.severity`; empty for the whole file.
    pub field: String,
    pub reason: String,
}

impl std::error::Error for ScenarioError {}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.reason)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScenario {
    name: Option<String>,
    #[serde(default)]
    seed: i64,
    #[serde(default)]
    incompatible_max_duration_seconds: u32,
    min_up_default: Option<u32>,
    metadata: Option<BTreeMap<String, serde_json::Value>>,
    nodes: Option<Vec<RawNode>>,
    edges: Option<Vec<RawEdge>>,
    patches: Option<BTreeMap<String, Spanned<RawPatch>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNode {
    id: Spanned<String>,
    #[serde(rename = "type")]
    kind: NodeKind,
    service: Option<String>,
    criticality: Option<Spanned<i64>>,
    redundancy: Option<Spanned<i64>>,
    min_up: Option<u32>,
    patchable: Option<bool>,
    group: Option<String>,
    version: Option<String>,
    #[serde(default)]
    health: Health,
    patch: Option<RawPatch>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawPatch {
    #[serde(default)]
    patch_duration_seconds: u32,
    #[serde(default)]
    requires_restart: bool,
    #[serde(default)]
    requires_reboot: bool,
    failure_probability: Option<Spanned<f64>>,
    rollback_supported: Option<bool>,
    severity: Option<Spanned<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEdge {
    source: Spanned<String>,
    target: Spanned<String>,
    #[serde(default)]
    compatibility: RawCompatibility,
    mixed_max_duration_seconds: Option<u32>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum RawCompatibility {
    #[default]
    Compatible,
    Degraded,
    Incompatible,
}

/// Reads one scenario. `file` is named in errors, and its stem is the default name of the scenario.
pub fn read(file: &str, yaml: &str) -> Result<Scenario, ScenarioError> {
    let reader = Reader { file };
    let has_content =
        |line: &str| !matches!(line.trim(), "" | "---" | "...") && !line.trim().starts_with('#');
    if !yaml.lines().any(has_content) {
        return Err(reader.fault(None, "", "contains no scenario; give at least `nodes`"));
    }
    reader.build(reader.parse(yaml)?)
}

struct Reader<'a> {
    file: &'a str,
}

impl Reader<'_> {
    fn fault(&self, line: Option<u64>, field: impl Into<String>, reason: impl Into<String>) -> ScenarioError {
        let (field, reason) = (one_line(&field.into()), one_line(&reason.into()));
        ScenarioError { file: self.file.to_owned(), line, field, reason }
    }

    /// Files with a hundred thousand nodes are legitimate, so the parser's budgets are large. They stay finite: an
    /// expanding document ends in an error instead of exhausting memory.
    fn parse(&self, yaml: &str) -> Result<RawScenario, ScenarioError> {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_events: 50_000_000,
                max_nodes: 25_000_000,
                max_total_scalar_bytes: 512 * 1024 * 1024,
                // One patch shared by all nodes is not an attack, but the expansion of aliases is still limited.
                enforce_alias_anchor_ratio: false,
                max_aliases: 1_000_000,
            },
        };
        let mut path = String::new();
        let parsed = serde_saphyr::with_deserializer_from_str_with_options(yaml, options, |deserializer| {
            serde_path_to_error::deserialize(deserializer).map_err(|error| {
                path = error.path().to_string();
                error.into_inner()
            })
        });
        parsed.map_err(|error| {
            let line = error.location().map(|location| location.line()).filter(|line| *line > 0);
            let reason = reason_of(&error);
            let missing = reason.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
            let field = [&field_of(&path), missing.unwrap_or_default()].join(".");
            self.fault(line, field.trim_matches('.'), reason)
        })
    }

    fn build(&self, raw: RawScenario) -> Result<Scenario, ScenarioError> {
        let min_up_default = raw.min_up_default.unwrap_or(1);
        let mut patches = raw.patches.unwrap_or_default();
        let mut index_of: HashMap<String, (usize, u64)> = HashMap::new();
        let mut service_of: HashMap<String, usize> = HashMap::new();
        let (mut nodes, mut services) = (Vec::new(), Vec::<Service>::new());
        for (index, node) in raw.nodes.unwrap_or_default().into_iter().enumerate() {
            let field = format!("nodes[{index}]");
            let line = node.id.referenced.line();
            let id = node.id.value;
            if id.is_empty() {
                return Err(self.fault(Some(line), format!("{field}.id"), "must not be empty"));
            }
            if let Some((_, first)) = index_of.insert(id.clone(), (index, line)) {
                let reason = format!("`{id}` is a duplicate; line {first} already has a node with that id");
                return Err(self.fault(Some(line), format!("{field}.id"), reason));
            }
            let service_name = node.service.filter(|service| !service.is_empty()).unwrap_or(id.clone());
            let service = *service_of.entry(service_name).or_insert_with_key(|name| {
                services.push(Service { name: name.clone(), min_up: 0, members: Vec::new() });
                services.len() - 1
            });
            let min_up = node.min_up.unwrap_or(min_up_default);
            services[service].min_up = services[service].min_up.max(min_up);
            services[service].members.push(index);
            let patch = match node.patch {
                Some(patch) => self.patch(&format!("{field}.patch"), patch)?,
                None => match patches.remove(&id) {
                    Some(patch) => self.patch(&format!("patches.{id}"), patch.value)?,
                    None => self.patch(&field, RawPatch::default())?,
                },
            };
            nodes.push(Node {
                id,
                kind: node.kind,
                service,
                criticality: self.integer(&format!("{field}.criticality"), node.criticality, 5)? as u8,
                redundancy: self.integer(&format!("{field}.redundancy"), node.redundancy, u32::MAX)?,
                min_up,
                patchable: node.patchable.unwrap_or(true),
                group: node.group,
                version: node.version.unwrap_or_else(|| UNPATCHED.to_owned()),
                health: node.health,
                patch,
            });
        }
        if nodes.is_empty() {
            return Err(self.fault(None, "nodes", "must list at least one node"));
        }
        for (id, patch) in &patches {
            if !index_of.contains_key(id) {
                let reason = format!("there is no node `{id}`");
                return Err(self.fault(Some(patch.referenced.line()), format!("patches.{id}"), reason));
            }
        }
        let edges = raw.edges.unwrap_or_default().into_iter().enumerate();
        let edges = edges.map(|(index, edge)| {
            let end = |name: &str, id: &Spanned<String>| match index_of.get(&id.value) {
                Some((node, _)) => Ok(*node),
                None => {
                    let reason = format!("there is no node `{}`", id.value);
                    Err(self.fault(Some(id.referenced.line()), format!("edges[{index}].{name}"), reason))
                }
            };
            Ok(Edge {
                source: end("source", &edge.source)?,
                target: end("target", &edge.target)?,
                compatibility: match edge.compatibility {
                    RawCompatibility::Compatible => Compatibility::Compatible,
                    RawCompatibility::Degraded => Compatibility::Degraded,
                    RawCompatibility::Incompatible => Compatibility::Incompatible,
                },
                mixed_max_duration_seconds: edge
                    .mixed_max_duration_seconds
                    .unwrap_or(raw.incompatible_max_duration_seconds),
            })
        });
        let edges = edges.collect::<Result<_, ScenarioError>>()?;
        let stem = || Path::new(self.file).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        Ok(Scenario {
            name: raw.name.or_else(stem).unwrap_or_default(),
            seed: raw.seed,
            metadata: raw.metadata.unwrap_or_default(),
            nodes,
            edges,
            services,
        })
    }

    fn patch(&self, field: &str, raw: RawPatch) -> Result<Patch, ScenarioError> {
        let number = |name: &str, value: Option<Spanned<f64>>, highest: f64| match value {
            None => Ok(0.0),
            Some(value) if (0.0..=highest).contains(&value.value) => Ok(value.value),
            Some(value) => {
                let reason = format!("must be 0 to {highest}, but is {}", value.value);
                Err(self.fault(Some(value.referenced.line()), format!("{field}.{name}"), reason))
            }
        };
        Ok(Patch {
            duration_seconds: raw.patch_duration_seconds,
            requires_restart: raw.requires_restart,
            requires_reboot: raw.requires_reboot,
            failure_probability: number("failure_probability", raw.failure_probability, 1.0)?,
            rollback_supported: raw.rollback_supported.unwrap_or(true),
            severity: number("severity", raw.severity, 10.0)?,
        })
    }

    /// A whole number of at least 1, which is also the default.
    fn integer(&self, field: &str, value: Option<Spanned<i64>>, highest: u32) -> Result<u32, ScenarioError> {
        let Some(value) = value else { return Ok(1) };
        match u32::try_from(value.value) {
            Ok(number) if (1..=highest).contains(&number) => Ok(number),
            _ => {
                let range =
                    if highest == u32::MAX { "at least 1".to_owned() } else { format!("1 to {highest}") };
                let reason = format!("must be {range}, but is {}", value.value);
                Err(self.fault(Some(value.referenced.line()), field, reason))
            }
        }
    }
}

/// Names in the file may contain line breaks; error messages may not.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// An unknown part of the path is written as `?`.
fn field_of(path: &str) -> String {
    path.replace(".?", "").trim_matches(['.', '?']).to_owned()
}

/// Only the message: the place is reported separately, and the excerpt of the file is dropped.
fn reason_of(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let line = text.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    let line = line.split_once(": ").filter(|(place, _)| place.starts_with("line ")).map_or(line, |(_, r)| r);
    let line = line.rfind(" at line ").map_or(line, |end| &line[..end]);
    match line {
        "invalid u32" => "must be a whole number of at least 0 and below 4294967296".to_owned(),
        "invalid i64" => "must be a whole number that fits into 64 bits".to_owned(),
        "expected mapping start" => "must be a mapping".to_owned(),
        _ if line.starts_with("multiple YAML documents") => {
            "a second document begins; give one scenario".to_owned()
        }
        // The rest describes the parser's own settings.
        _ => line.split_once(", set ").map_or(line, |(reason, _)| reason).to_owned(),
    }
}
