//! The order in which each strategy offers hosts a place, and the pilots.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use domain::strategy::Strategy;
use petgraph::{algo::kosaraju_scc, graphmap::DiGraphMap};

use super::fleet::Fleet;
use crate::pack::{Unit, pack};

/// Waves of host indexes, each ascending.
pub fn by_strategy(fleet: &Fleet, strategy: Strategy, hosts: &[usize]) -> Vec<Vec<usize>> {
    let mut units = fleet.units(hosts);
    match strategy {
        Strategy::BigBang => return all_at_once(hosts),
        Strategy::BatchRolling => return service_by_service(fleet, units),
        // Blue-green has no order of its own on hosts: the linter refuses it.
        Strategy::Rolling | Strategy::Canary | Strategy::BlueGreen => {
            units.sort_by(|a, b| most_important_first(fleet, a, b))
        }
        Strategy::DepGreedy | Strategy::Hybrid => units.sort_by(|a, b| riskiest_first(fleet, a, b)),
    }
    let after = match strategy {
        Strategy::DepGreedy => providers(fleet, &units),
        _ => vec![Vec::new(); units.len()],
    };
    packed(fleet, &units, &after)
}

fn packed(fleet: &Fleet, units: &[Unit], after: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let waves = pack(units, after, &fleet.budgets());
    waves.iter().map(|wave| hosts_of(wave.iter().map(|unit| &units[*unit]))).collect()
}

fn all_at_once(hosts: &[usize]) -> Vec<Vec<usize>> {
    if hosts.is_empty() { Vec::new() } else { vec![hosts.to_vec()] }
}

/// The hosts of one service after those of another, services by their first host. A host of several services, or a group
/// across services, goes with its first service.
fn service_by_service(fleet: &Fleet, mut units: Vec<Unit>) -> Vec<Vec<usize>> {
    units.sort_by_key(first_host);
    let mut place_of: BTreeMap<Option<usize>, usize> = BTreeMap::new();
    let mut of_service: Vec<Vec<Unit>> = Vec::new();
    for unit in units {
        let place = *place_of.entry(unit.load.keys().next().copied()).or_insert_with(|| {
            of_service.push(Vec::new());
            of_service.len() - 1
        });
        of_service[place].push(unit);
    }
    of_service.iter().flat_map(|units| packed(fleet, units, &vec![Vec::new(); units.len()])).collect()
}

/// The least important hosts of each cluster, at least `count` of each; those without incompatible partners before groups.
pub fn pilots(fleet: &Fleet, hosts: &[usize], count: usize) -> Vec<usize> {
    let mut units = fleet.units(hosts);
    units.sort_by(|a, b| least_important_first(fleet, a, b));
    let mut chosen: BTreeMap<&str, usize> = BTreeMap::new();
    let pilots = units.iter().filter(|unit| {
        let wanted = unit.hosts.iter().any(|host| chosen.get(fleet.cluster[*host]).unwrap_or(&0) < &count);
        if wanted {
            unit.hosts.iter().for_each(|host| *chosen.entry(fleet.cluster[*host]).or_default() += 1);
        }
        wanted
    });
    hosts_of(pilots)
}

/// The hosts of each cluster: `first` in its order, then the other clusters by name, then the hosts without a cluster.
pub fn clusters_in_turn<'a>(
    fleet: &Fleet<'a>,
    hosts: &[usize],
    first: &[String],
) -> Vec<(&'a str, Vec<usize>)> {
    let place = |cluster: &str| {
        let named = first.iter().position(|name| name == cluster).unwrap_or(first.len());
        (cluster.is_empty(), named, cluster.to_owned())
    };
    let mut by_cluster: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for host in hosts {
        by_cluster.entry(fleet.cluster[*host]).or_default().push(*host);
    }
    let mut ordered: Vec<_> = by_cluster.into_iter().collect();
    ordered.sort_by_key(|(cluster, _)| place(cluster));
    ordered
}

/// The least important host of each service that can spare one, unless a pilot of that service has gone before.
pub fn canaries(fleet: &Fleet, hosts: &[usize], pilots: &[usize]) -> Vec<usize> {
    let mut units = fleet.units(hosts);
    units.sort_by(|a, b| least_important_first(fleet, a, b));
    let mut covered: BTreeSet<usize> =
        pilots.iter().flat_map(|host| &fleet.services[*host]).copied().collect();
    let canaries = units.iter().filter(|unit| {
        let wanted = unit.load.keys().any(|service| fleet.spare[*service] > 0 && !covered.contains(service));
        if wanted {
            covered.extend(unit.load.keys());
        }
        wanted
    });
    hosts_of(canaries)
}

fn hosts_of<'a>(units: impl Iterator<Item = &'a Unit>) -> Vec<usize> {
    let mut hosts: Vec<usize> = units.flat_map(|unit| unit.hosts.iter().copied()).collect();
    hosts.sort_unstable();
    hosts
}

fn first_host(unit: &Unit) -> usize {
    unit.hosts[0]
}

fn importance(fleet: &Fleet, unit: &Unit) -> (u8, f64) {
    let of_hosts = unit.hosts.iter().map(|host| (fleet.criticality[*host], fleet.severity[*host]));
    of_hosts.max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))).unwrap_or_default()
}

fn most_important_first(fleet: &Fleet, a: &Unit, b: &Unit) -> Ordering {
    let (left, right) = (importance(fleet, a), importance(fleet, b));
    right.0.cmp(&left.0).then(right.1.total_cmp(&left.1)).then(first_host(a).cmp(&first_host(b)))
}

fn least_important_first(fleet: &Fleet, a: &Unit, b: &Unit) -> Ordering {
    let (left, right) = (importance(fleet, a), importance(fleet, b));
    let by_size = a.hosts.len().cmp(&b.hosts.len());
    by_size
        .then(left.0.cmp(&right.0))
        .then(left.1.total_cmp(&right.1))
        .then(first_host(a).cmp(&first_host(b)))
}

fn riskiest_first(fleet: &Fleet, a: &Unit, b: &Unit) -> Ordering {
    let risk = |unit: &Unit| unit.hosts.iter().map(|host| fleet.risk[*host]).fold(0.0, f64::max);
    risk(b).total_cmp(&risk(a)).then(first_host(a).cmp(&first_host(b)))
}

/// For each unit the units it depends on. Units in a dependency cycle have no order, so edges inside a cycle are left out;
/// the linter reports it.
fn providers(fleet: &Fleet, units: &[Unit]) -> Vec<Vec<usize>> {
    let mut unit_of = BTreeMap::new();
    for (index, unit) in units.iter().enumerate() {
        unit.hosts.iter().for_each(|host| _ = unit_of.insert(*host, index));
    }
    let dependencies = fleet.dependencies.iter().filter_map(|(dependent, provider)| {
        let (dependent, provider) = (*unit_of.get(dependent)?, *unit_of.get(provider)?);
        (dependent != provider).then_some((dependent, provider))
    });
    let graph: DiGraphMap<usize, ()> = DiGraphMap::from_edges(dependencies);
    let mut circle_of = vec![usize::MAX; units.len()];
    for (number, circle) in kosaraju_scc(&graph).iter().enumerate() {
        circle.iter().for_each(|unit| circle_of[*unit] = number);
    }
    let mut providers = vec![Vec::new(); units.len()];
    for (dependent, provider, ()) in graph.all_edges() {
        if circle_of[dependent] != circle_of[provider] {
            providers[dependent].push(provider);
        }
    }
    providers
}
