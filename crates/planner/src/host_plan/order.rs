//! The order in which each strategy offers hosts a place, and the pilots.

use std::{
    cmp::{Ordering, Reverse},
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
        Strategy::BigBang => tightest_first(fleet, &mut units),
        Strategy::Rolling | Strategy::Canary => units.sort_by(|a, b| most_important_first(fleet, a, b)),
        Strategy::BatchRolling | Strategy::BlueGreen => units.sort_by_key(first_host),
        Strategy::DepGreedy | Strategy::Hybrid => units.sort_by(|a, b| riskiest_first(fleet, a, b)),
    }
    let after = match strategy {
        Strategy::DepGreedy => providers(fleet, &units),
        _ => vec![Vec::new(); units.len()],
    };
    let waves = pack(&units, &after, &fleet.budgets());
    waves.iter().map(|wave| hosts_of(wave.iter().map(|unit| &units[*unit]))).collect()
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

/// Up to half of the hosts of each service, and of those without a service.
pub fn green(fleet: &Fleet, hosts: &[usize]) -> Vec<usize> {
    let units = fleet.units(hosts);
    let mut room: BTreeMap<Option<usize>, usize> = BTreeMap::new();
    for share in units.iter().flat_map(shares) {
        *room.entry(share.0).or_default() += share.1;
    }
    room.values_mut().for_each(|count| *count /= 2);
    let green = units.iter().filter(|unit| {
        let fits = shares(unit).iter().all(|(service, count)| room.get(service).unwrap_or(&0) >= count);
        if fits {
            for (service, count) in shares(unit) {
                room.entry(service).and_modify(|left| *left -= count);
            }
        }
        fits
    });
    hosts_of(green)
}

/// How many members a unit takes of each service.
fn shares(unit: &Unit) -> Vec<(Option<usize>, usize)> {
    if unit.load.is_empty() {
        vec![(None, unit.hosts.len())]
    } else {
        unit.load.iter().map(|(service, count)| (Some(*service), *count)).collect()
    }
}

fn hosts_of<'a>(units: impl Iterator<Item = &'a Unit>) -> Vec<usize> {
    let mut hosts: Vec<usize> = units.flat_map(|unit| unit.hosts.iter().copied()).collect();
    hosts.sort_unstable();
    hosts
}

fn first_host(unit: &Unit) -> usize {
    unit.hosts[0]
}

/// A service of 6 that can spare 2 needs 3 waves; members of the service that needs the most waves must not wait.
fn tightest_first(fleet: &Fleet, units: &mut [Unit]) {
    let mut members: BTreeMap<usize, usize> = BTreeMap::new();
    for (service, load) in units.iter().flat_map(|unit| &unit.load) {
        *members.entry(*service).or_default() += load;
    }
    let waves_needed = |unit: &Unit| {
        let of_services = unit.load.keys().map(|s| members[s].div_ceil(fleet.spare[*s].max(1)));
        of_services.max().unwrap_or(0)
    };
    units.sort_by_cached_key(|unit| (Reverse(waves_needed(unit)), first_host(unit)));
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
