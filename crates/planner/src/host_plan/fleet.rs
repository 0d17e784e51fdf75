//! The targets of a request by index, with the properties that the strategies need.

use std::collections::{BTreeMap, BTreeSet};

use domain::ids::CiId;

use super::PlanRequest;
use crate::{
    components::components,
    graph::Compatibility,
    pack::{Budgets, Unit},
};

/// Indexes follow the order of ids, so a tie broken by index is broken by id.
pub struct Fleet<'a> {
    pub hosts: Vec<&'a CiId>,
    pub criticality: Vec<u8>,
    pub severity: Vec<f64>,
    /// Severity x criticality x (1 + number of dependencies in and out).
    pub risk: Vec<f64>,
    pub cluster: Vec<&'a str>,
    /// Services of each host that is up, by index. Those of a host without a service are the last one, if
    /// `max_unavailable` limits such hosts.
    pub services: Vec<Vec<usize>>,
    /// Members that each service can spare: its up members minus its `min_up`, and at most what `max_unavailable` leaves.
    pub spare: Vec<usize>,
    /// Pairs (host, host it depends on), both targets, each once.
    pub dependencies: BTreeSet<(usize, usize)>,
    max_parallel: usize,
    group: Vec<usize>,
}

impl<'a> Fleet<'a> {
    pub fn new(request: &'a PlanRequest, max_parallel: usize) -> Self {
        let graph = &request.graph;
        let hosts: Vec<&CiId> = request.targets.keys().collect();
        let index_of: BTreeMap<&CiId, usize> = hosts.iter().enumerate().map(|(i, id)| (*id, i)).collect();

        let members = graph.members();
        let service_index: BTreeMap<&CiId, usize> =
            members.keys().enumerate().map(|(index, service)| (*service, index)).collect();
        let mut spare: Vec<usize> = members
            .iter()
            .map(|(service, hosts)| {
                let up = hosts.iter().filter(|host| graph.is_up(host)).count();
                let by_min_up = up.saturating_sub(graph.min_up(service) as usize);
                let down = hosts.len() - up;
                let available = request.max_unavailable.map(|most| most.of(hosts.len()).saturating_sub(down));
                available.map_or(by_min_up, |available| available.min(by_min_up))
            })
            .collect();
        let without_service = request.max_unavailable_without_service();
        let is_apart = |host: &&&CiId| graph.hosts.get(**host).is_none_or(|node| node.services.is_empty());
        let down_apart = hosts.iter().filter(is_apart).filter(|host| !graph.is_up(host)).count();
        spare.extend(without_service.map(|most| (most as usize).saturating_sub(down_apart)));

        let mut dependencies = BTreeSet::new();
        let mut incompatible = Vec::new();
        let mut degree = vec![0_u32; hosts.len()];
        let edges: BTreeSet<_> =
            graph.edges.iter().map(|e| (&e.source, &e.target, e.compatibility)).collect();
        let mut counted = BTreeSet::new();
        for (source, target, compatibility) in edges {
            let ends = (index_of.get(source).copied(), index_of.get(target).copied());
            if counted.insert((source, target)) {
                [ends.0, ends.1].into_iter().flatten().for_each(|end| degree[end] += 1);
            }
            if let (Some(from), Some(to)) = ends {
                if from != to {
                    dependencies.insert((from, to));
                }
                if compatibility == Compatibility::Incompatible {
                    incompatible.push((from, to));
                }
            }
        }

        let node = |host: &CiId| graph.hosts.get(host);
        let criticality: Vec<u8> = hosts.iter().map(|host| node(host).map_or(1, |n| n.criticality)).collect();
        let severity: Vec<f64> = hosts.iter().map(|host| node(host).map_or(0.0, |n| n.severity)).collect();
        let risk = (0..hosts.len())
            .map(|host| severity[host] * f64::from(criticality[host]) * f64::from(1 + degree[host]))
            .collect();
        // A host that is already down costs its services nothing more.
        let of_host = |host: &&CiId| -> Vec<usize> {
            let services = node(host).map(|node| node.services.iter().map(|service| service_index[service]));
            let services: Vec<usize> = services.into_iter().flatten().collect();
            match without_service {
                _ if !graph.is_up(host) => Vec::new(),
                Some(_) if services.is_empty() => vec![service_index.len()],
                _ => services,
            }
        };
        let services = hosts.iter().map(of_host).collect();
        let cluster =
            request.targets.values().map(|t| t.tags.get("cluster").map_or("", String::as_str)).collect();
        let group = components(hosts.len(), incompatible);
        Self {
            hosts,
            criticality,
            severity,
            risk,
            cluster,
            services,
            spare,
            dependencies,
            max_parallel,
            group,
        }
    }

    pub fn budgets(&self) -> Budgets<'_> {
        Budgets { max_parallel: self.max_parallel, spare: &self.spare }
    }

    /// The units of the given hosts: incompatible ones together if they fit into a wave, all others separately.
    pub fn units(&self, hosts: &[usize]) -> Vec<Unit> {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for host in hosts {
            groups.entry(self.group[*host]).or_default().push(*host);
        }
        let budgets = self.budgets();
        groups
            .into_values()
            .flat_map(|hosts| {
                let together = self.unit(hosts);
                if budgets.allow(&together) || together.hosts.len() == 1 {
                    vec![together]
                } else {
                    together.hosts.iter().map(|host| self.unit(vec![*host])).collect()
                }
            })
            .collect()
    }

    fn unit(&self, mut hosts: Vec<usize>) -> Unit {
        hosts.sort_unstable();
        let mut load = BTreeMap::new();
        for service in hosts.iter().flat_map(|host| &self.services[*host]) {
            *load.entry(*service).or_default() += 1;
        }
        Unit { hosts, load }
    }
}
