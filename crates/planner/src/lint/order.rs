//! Checks the order of hosts that depend on each other: incompatible ones together, providers first.

use std::collections::BTreeMap;

use domain::{
    ids::CiId,
    plan::{Plan, WaveKind},
    strategy::Strategy,
};
use petgraph::{algo::kosaraju_scc, graphmap::DiGraphMap};

use super::{Findings, named};
use crate::{
    components::components,
    graph::{Compatibility, HostGraph},
};

pub fn check(plan: &Plan, graph: &HostGraph, findings: &mut Findings) {
    let mut wave_of: BTreeMap<&CiId, usize> = BTreeMap::new();
    for (index, wave) in plan.waves.iter().enumerate() {
        wave.hosts.iter().for_each(|host| _ = wave_of.entry(host).or_insert(index));
    }
    incompatible_groups(plan, graph, &wave_of, findings);
    if plan.strategy == Strategy::DepGreedy {
        dependencies(plan, graph, &wave_of, findings);
    }
}

/// A group is split if its waves differ. A host of it that is not a target may be patched already: the approver must
/// know.
fn incompatible_groups(
    plan: &Plan,
    graph: &HostGraph,
    wave_of: &BTreeMap<&CiId, usize>,
    findings: &mut Findings,
) {
    let pairs = graph.edges.iter().filter(|edge| edge.compatibility == Compatibility::Incompatible);
    let mut index: BTreeMap<&CiId, usize> = BTreeMap::new();
    let pairs: Vec<(&CiId, &CiId)> = pairs.map(|edge| (&edge.source, &edge.target)).collect();
    for (a, b) in &pairs {
        for end in [*a, *b] {
            let next = index.len();
            index.entry(end).or_insert(next);
        }
    }
    let number = components(index.len(), pairs.iter().map(|(a, b)| (index[a], index[b])));
    let mut groups: BTreeMap<usize, Vec<&CiId>> = BTreeMap::new();
    for (host, index) in &index {
        groups.entry(number[*index]).or_default().push(*host);
    }
    for group in groups.values() {
        let mut waves: Vec<Option<usize>> = group.iter().map(|host| wave_of.get(host).copied()).collect();
        waves.sort_unstable();
        waves.dedup();
        let planned: Vec<&str> = waves.iter().flatten().map(|wave| plan.waves[*wave].name.as_str()).collect();
        let hosts = named(group.iter().copied());
        if planned.len() > 1 {
            let text = format!(
                "{hosts} are incompatible while one is patched and another is not, but are split over waves {}; \
                 their budgets do not hold them together",
                planned.join(", ")
            );
            findings.error("incompatible-group-split", text);
        } else if let ([wave], true) = (planned.as_slice(), waves.contains(&None)) {
            let text = format!(
                "{hosts} must be patched together, but only some of them are targets (wave {wave}); make sure that \
                 the others are patched already"
            );
            findings.warning("incompatible-group-incomplete", text);
        }
    }
}

/// Pilots and staging go first by rule, so only the waves after them must have their providers in an earlier wave.
fn dependencies(plan: &Plan, graph: &HostGraph, wave_of: &BTreeMap<&CiId, usize>, findings: &mut Findings) {
    let mut edges: DiGraphMap<&CiId, Compatibility> = DiGraphMap::new();
    for edge in &graph.edges {
        let ends = (wave_of.get_key_value(&edge.source), wave_of.get_key_value(&edge.target));
        if let (Some((source, _)), Some((target, _))) = ends
            && source != target
        {
            // The worst of several edges between the same hosts decides.
            let known = edges.edge_weight(*source, *target).copied().unwrap_or_default();
            edges.add_edge(*source, *target, known.max(edge.compatibility));
        }
    }
    let mut circle_of: BTreeMap<&CiId, usize> = BTreeMap::new();
    for (number, mut circle) in kosaraju_scc(&edges).into_iter().enumerate() {
        circle.sort_unstable();
        circle.iter().for_each(|host| _ = circle_of.insert(*host, number));
        if circle.len() > 1 {
            let text = format!("{} depend on each other in a cycle", named(circle.into_iter()));
            findings.warning("dependency-cycle", text);
        }
    }
    for (source, target, compatibility) in edges.all_edges() {
        let (dependent, provider) = (wave_of[source], wave_of[target]);
        let together = *compatibility == Compatibility::Incompatible && dependent == provider;
        let in_circle = circle_of.get(source) == circle_of.get(target);
        if dependent > provider || together || in_circle || plan.waves[dependent].kind != WaveKind::Batch {
            continue;
        }
        let text = format!(
            "`{source}` depends on `{target}`, but is patched in wave `{}` and `{target}` in `{}`",
            plan.waves[dependent].name, plan.waves[provider].name
        );
        findings.warning("dependency-order", text);
    }
}
