//! Time series from a run's events.

use std::collections::{BTreeMap, HashMap};

use planner::{
    NodePlan, Scenario,
    scenario::{Health, NodeKind, PATCHED},
};

use crate::output::Event;

/// A name and its points: seconds and value.
pub type Line = (String, Vec<(f64, f64)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptEnd {
    Patched,
    RolledBack,
    Failed,
}

/// One attempt; times in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar<'a> {
    pub node: &'a str,
    pub step: &'a str,
    pub from: f64,
    pub to: f64,
    pub outcome: AttemptEnd,
}

/// Attempts in start order.
pub fn bars(events: &[Event]) -> Vec<Bar<'_>> {
    let mut begun: HashMap<&str, f64> = HashMap::new();
    let mut bars = Vec::new();
    for event in events {
        let Some(node) = event.node_id.as_deref() else { continue };
        let time = seconds(event);
        let outcome = match event.event {
            "started" => {
                begun.insert(node, time);
                continue;
            }
            "patched" | "built" => AttemptEnd::Patched,
            "rollback" => AttemptEnd::RolledBack,
            _ => AttemptEnd::Failed,
        };
        // The switch of a second set patches without an attempt.
        if let Some(from) = begun.remove(node) {
            bars.push(Bar { node, step: &event.step_id, from, to: time, outcome });
        }
    }
    bars.sort_by(|a, b| a.from.total_cmp(&b.from));
    bars
}

/// The first nodes to be patched, each once.
pub fn rows<'a>(bars: &[Bar<'a>], most: usize) -> Vec<&'a str> {
    let mut rows: Vec<&str> = Vec::new();
    for bar in bars {
        if rows.len() < most && !rows.contains(&bar.node) {
            rows.push(bar.node);
        }
    }
    rows
}

/// Steps of the sum over unpatched nodes of their weight.
pub fn exposure(scenario: &Scenario, events: &[Event]) -> Vec<(f64, f64)> {
    let weights: HashMap<&str, f64> =
        scenario.nodes.iter().map(|node| (node.id.as_str(), node.weight())).collect();
    let open = scenario.nodes.iter().filter(|node| node.version != PATCHED);
    let mut rate: f64 = open.map(|node| node.weight()).sum();
    let mut line = vec![(0.0, rate)];
    for event in events {
        let time = seconds(event);
        if event.event == "patched" {
            line.push((time, rate));
            rate -= event.node_id.as_deref().and_then(|node| weights.get(node)).unwrap_or(&0.0);
        }
        line.push((time, rate.max(0.0)));
    }
    line
}

/// Steps of the number of members up, for the services that come closest to their `min_up` or fall furthest below it.
pub fn capacity(scenario: &Scenario, plan: &NodePlan, events: &[Event], most: usize) -> Vec<Line> {
    let index_of: HashMap<&str, usize> =
        scenario.nodes.iter().enumerate().map(|(index, node)| (node.id.as_str(), index)).collect();
    let in_place: HashMap<String, bool> =
        plan.steps.iter().map(|step| (step.name.to_string(), step.action.patches_in_place())).collect();
    let mut taken_by: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let mut hosts_of: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for edge in &scenario.edges {
        let contains = scenario.nodes[edge.target].kind == NodeKind::Host
            && scenario.nodes[edge.source].kind != NodeKind::Host;
        if contains {
            taken_by.entry(edge.target).or_default().push(edge.source);
            hosts_of.entry(edge.source).or_default().push(edge.target);
        }
    }
    let mut down: Vec<bool> = scenario.nodes.iter().map(|node| node.health != Health::Healthy).collect();
    let serves = |down: &[bool], node: usize| {
        !down[node] && hosts_of.get(&node).is_none_or(|hosts| hosts.iter().all(|host| !down[*host]))
    };
    let up = |down: &[bool], service: usize| {
        scenario.services[service].members.iter().filter(|node| serves(down, **node)).count() as f64
    };
    let mut lines: Vec<Vec<(f64, f64)>> =
        (0..scenario.services.len()).map(|service| vec![(0.0, up(&down, service))]).collect();
    let end = events.iter().map(seconds).fold(0.0, f64::max);
    for event in events {
        let Some(node) = event.node_id.as_deref().and_then(|node| index_of.get(node)).copied() else {
            continue;
        };
        let now_down = match event.event {
            "started" => {
                scenario.nodes[node].goes_down() && in_place.get(event.step_id.as_str()) == Some(&true)
            }
            "patch_failed" => true,
            "patched" | "rollback" => false,
            _ => continue,
        };
        if std::mem::replace(&mut down[node], now_down) == now_down {
            continue;
        }
        for touched in [node].iter().chain(taken_by.get(&node).into_iter().flatten()) {
            let service = scenario.nodes[*touched].service;
            let before = lines[service].last().map_or(0.0, |point| point.1);
            let after = up(&down, service);
            if before != after {
                lines[service].extend([(seconds(event), before), (seconds(event), after)]);
            }
        }
    }
    let mut named: Vec<(f64, Line)> = lines
        .into_iter()
        .zip(&scenario.services)
        .map(|(mut line, service)| {
            line.push((end, line.last().map_or(0.0, |point| point.1)));
            let lowest = line.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
            let name = format!("{} (needs {})", service.name, service.min_up);
            (lowest - f64::from(service.min_up), (name, line))
        })
        .collect();
    named.sort_by(|a, b| a.0.total_cmp(&b.0));
    named.into_iter().take(most).map(|(_, line)| line).collect()
}

fn seconds(event: &Event) -> f64 {
    event.time_ms as f64 / 1000.0
}
