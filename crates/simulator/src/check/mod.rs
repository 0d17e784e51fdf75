//! Proves that a plan keeps every service at its `min_up` under up to k failures at a time, or shows how it does not.
//!
//! Services are checked one by one, because they are independent of each other. For one service and one step, a state is
//! the set of units that are being patched and the set that has failed. Steps are independent: between them all patched
//! units are up again, and a failure before a step equals one at its start. Every state of every step is visited, so the
//! answer is a proof. The search goes by the number of events, so a counterexample is a shortest one of its step.

mod grid;
mod sets;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use domain::{ids::CiId, plan::Plan};
use planner::{
    HostGraph, NodePlan, Scenario,
    scenario::{Health, NodeKind},
};
use serde::Serialize;

use crate::forecast::is_guarded;

/// States after which a search gives up.
const MOST_STATES: u64 = 2_000_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// No reachable state takes a service below its `min_up`.
    Safe {
        states: u64,
    },
    Unsafe(Counterexample),
    /// The search of a service was given up: too many states.
    Undecided {
        service: String,
        states: u64,
    },
}

/// How a service falls below its `min_up`, if all earlier steps succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counterexample {
    pub service: String,
    /// Wave or step; empty if the service is below before anything starts.
    pub step: String,
    pub events: Vec<CheckEvent>,
    pub up: u32,
    pub min_up: u32,
    /// The failures alone cause it: the service lacks members, whatever the plan.
    pub without_plan: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", content = "node", rename_all = "snake_case")]
pub enum CheckEvent {
    /// It is taken down to be patched.
    Begins(String),
    Fails(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Safe { states } => {
                write!(f, "proven: no service falls below its min_up ({states} states)")
            }
            Self::Undecided { service, states } => {
                write!(f, "undecided: `{service}` has more than {states} states")
            }
            Self::Unsafe(example) => example.fmt(f),
        }
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, step, events, up, min_up, without_plan } = self;
        if events.is_empty() {
            return write!(f, "`{service}` has {up} up and needs {min_up} before anything starts");
        }
        write!(f, "in `{step}`: ")?;
        for event in events {
            match event {
                CheckEvent::Begins(node) => write!(f, "`{node}` starts, ")?,
                CheckEvent::Fails(node) => write!(f, "`{node}` fails, ")?,
            }
        }
        write!(f, "then `{service}` has {up} up and needs {min_up}")?;
        if *without_plan {
            f.write_str("; the failures alone would cause this, without the plan")?;
        }
        Ok(())
    }
}

/// One service and what takes members from it.
struct Question<'a> {
    service: &'a str,
    min_up: usize,
    /// Members that serve at the start, by number.
    up: BTreeSet<usize>,
    /// Members that the service loses when each unit (a host, a node) goes down.
    loss: BTreeMap<usize, BTreeSet<usize>>,
    /// Name and units of each step that concern this service.
    steps: Vec<(String, Vec<usize>)>,
    max_parallel: usize,
    failures: usize,
    /// No unit is taken down if fewer members would be up, given the failures so far. `None`: nothing prevents it.
    must_stay_up: Option<usize>,
}

/// The result of the search of one step.
enum Found {
    Nothing,
    /// Unit and whether it fails, in order; members left.
    Path(Vec<(usize, bool)>, usize),
    TooMuch,
}

/// A plan of hosts as the run engine executes it: it never takes down a host that a service cannot spare at that time. A big
/// bang that breaks a budget is never executed; its verdict shows what would happen if it were.
pub fn check_hosts(plan: &Plan, graph: &HostGraph, failures: u32) -> Verdict {
    let mut number: BTreeMap<&CiId, usize> = BTreeMap::new();
    for host in plan.services.values().flat_map(|service| &service.members).chain(plan.targets.keys()) {
        let next = number.len();
        number.entry(host).or_insert(next);
    }
    let mut names = vec![""; number.len()];
    number.iter().for_each(|(host, number)| names[*number] = host.as_str());
    let is_guarded = is_guarded(plan);
    let questions = plan.services.iter().map(|(service, budget)| {
        let up: BTreeSet<usize> =
            budget.members.iter().filter(|host| graph.is_up(host)).map(|host| number[host]).collect();
        let of_wave = |hosts: &[CiId]| {
            hosts
                .iter()
                .filter_map(|host| number.get(host).copied())
                .filter(|host| up.contains(host))
                .collect()
        };
        Question {
            service: service.as_str(),
            min_up: budget.min_up as usize,
            loss: up.iter().map(|host| (*host, BTreeSet::from([*host]))).collect(),
            steps: plan.waves.iter().map(|wave| (wave.name.clone(), of_wave(&wave.hosts))).collect(),
            max_parallel: if is_guarded { plan.limits.max_parallel as usize } else { usize::MAX },
            failures: failures as usize,
            must_stay_up: is_guarded.then(|| budget.must_stay_up()),
            up,
        }
    });
    answer(questions, &names)
}

/// A plan of a scenario's nodes: the nodes of a step go down together, and a host takes down what it contains.
pub fn check_nodes(
    scenario: &Scenario,
    plan: &NodePlan,
    max_parallel: Option<u32>,
    failures: u32,
) -> Verdict {
    let nodes = &scenario.nodes;
    let names: Vec<&str> = nodes.iter().map(|node| node.id.as_str()).collect();
    let mut hosts_of: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for edge in &scenario.edges {
        if nodes[edge.target].kind == NodeKind::Host && nodes[edge.source].kind != NodeKind::Host {
            hosts_of.entry(edge.source).or_default().insert(edge.target);
        }
    }
    let is_up = |node: usize| nodes[node].health == Health::Healthy;
    let questions = scenario.services.iter().map(|service| {
        let serves =
            |node: &&usize| is_up(**node) && hosts_of.get(node).is_none_or(|h| h.iter().all(|h| is_up(*h)));
        let up: BTreeSet<usize> = service.members.iter().filter(serves).copied().collect();
        let mut loss: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
        for member in &up {
            loss.entry(*member).or_default().insert(*member);
            for host in hosts_of.get(member).into_iter().flatten() {
                loss.entry(*host).or_default().insert(*member);
            }
        }
        let steps = plan.steps.iter().filter(|step| step.action.patches_in_place()).map(|step| {
            let concerned = |node: &usize| nodes[*node].goes_down() && loss.contains_key(node);
            (step.name.to_string(), plan.nodes_of(step).filter(concerned).collect())
        });
        Question {
            service: &service.name,
            min_up: service.min_up as usize,
            steps: steps.collect(),
            max_parallel: max_parallel.map_or(usize::MAX, |max| max as usize),
            failures: failures as usize,
            must_stay_up: None,
            up,
            loss,
        }
    });
    answer(questions, &names)
}

/// The counterexample with the fewest events over all services; at a tie the first.
fn answer<'a>(questions: impl Iterator<Item = Question<'a>>, names: &[&str]) -> Verdict {
    let mut shortest: Option<Counterexample> = None;
    let (mut states, mut undecided) = (0, None);
    for question in questions {
        match question.search(names, &mut states) {
            Verdict::Unsafe(found) => {
                if shortest.as_ref().is_none_or(|shortest| found.events.len() < shortest.events.len()) {
                    shortest = Some(found);
                }
            }
            verdict @ Verdict::Undecided { .. } => undecided = undecided.or(Some(verdict)),
            Verdict::Safe { .. } => {}
        }
    }
    match (shortest, undecided) {
        (Some(example), _) => Verdict::Unsafe(example),
        (None, Some(undecided)) => undecided,
        (None, None) => Verdict::Safe { states },
    }
}

impl Question<'_> {
    fn search(&self, names: &[&str], states: &mut u64) -> Verdict {
        let example = |step: &str, events: Vec<CheckEvent>, up: usize| Counterexample {
            service: self.service.to_owned(),
            step: step.to_owned(),
            events,
            up: up as u32,
            min_up: self.min_up as u32,
            without_plan: self.failures > self.up.len().saturating_sub(self.min_up),
        };
        if self.up.len() < self.min_up {
            return Verdict::Unsafe(example("", Vec::new(), self.up.len()));
        }
        // If every unit takes exactly one member, its own, states with equal counts are equivalent.
        let alike = self.loss.iter().all(|(unit, loss)| loss.len() == 1 && loss.contains(unit));
        let mut best: Option<Counterexample> = None;
        // Steps that take no unit are equivalent: only failures can do harm, at any time.
        let quiet = ("any step".to_owned(), Vec::new());
        for (step, units) in self.steps.iter().filter(|(_, units)| !units.is_empty()).chain([&quiet]) {
            let found =
                if alike { grid::search(self, units, states) } else { sets::search(self, units, states) };
            match found {
                Found::Nothing => {}
                Found::TooMuch => {
                    return Verdict::Undecided { service: self.service.to_owned(), states: MOST_STATES };
                }
                Found::Path(path, up) => {
                    if best.as_ref().is_none_or(|best| path.len() < best.events.len()) {
                        let named = path.into_iter().map(|(unit, fails)| {
                            if fails {
                                CheckEvent::Fails(names[unit].to_owned())
                            } else {
                                CheckEvent::Begins(names[unit].to_owned())
                            }
                        });
                        best = Some(example(step, named.collect(), up));
                    }
                }
            }
        }
        best.map_or(Verdict::Safe { states: 0 }, Verdict::Unsafe)
    }
}
