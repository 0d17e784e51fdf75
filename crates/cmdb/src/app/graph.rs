//! The graph of a selection, for planners: nodes and dependencies.

use std::collections::{BTreeMap, BTreeSet};

use api_types::cmdb::{Compatibility, Graph, GraphEdge, GraphNode};
use domain::{ids::CiId, selector::Selector};
use service_kit::{ApiError, ApiResult};

use super::os_tag;
use crate::{
    state::App,
    store::graph::{Node, list_dependencies, list_hosts, list_service_hosts, list_services},
};

const MAX_NODES: usize = 20_000;
const MAX_EDGES: usize = 200_000;
/// Criticality of what nobody has rated: the middle of 1 to 5.
const DEFAULT_CRITICALITY: u8 = 3;

type Dependencies = BTreeMap<(CiId, CiId), Compatibility>;

pub async fn get_graph(app: &App, selector: &Selector) -> ApiResult<Graph> {
    if !selector.all && selector.tags.is_empty() && selector.ids.is_empty() {
        return Err(ApiError::invalid(
            "all",
            "is required to select every host; otherwise give `tag` or `ids`",
        ));
    }
    let ids: Vec<String> = selector.ids.iter().map(ToString::to_string).collect();
    let ids = (!ids.is_empty()).then_some(ids);
    let limit = MAX_NODES as i64 + 1;
    // One snapshot of all tables: a node must not disappear between two queries.
    let mut snapshot = app.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let having = os_tag::by_release(&mut snapshot, &selector.tags).await?;
    let hosts = list_hosts(&mut snapshot, &having, ids.as_deref(), limit).await?;
    let host_ids = texts(&hosts);
    let services = list_services(&mut snapshot, &host_ids, limit).await?;
    if hosts.len() + services.len() > MAX_NODES {
        return Err(too_large("nodes", MAX_NODES));
    }
    let service_ids = texts(&services);
    let service_hosts = list_service_hosts(&mut snapshot, &service_ids).await?;
    let node_ids: Vec<String> = host_ids.into_iter().chain(service_ids).collect();
    let direct = list_dependencies(&mut snapshot, &node_ids).await?;
    snapshot.commit().await?;

    let placement = Placement::of(&hosts, service_hosts);
    let edges = lift(direct, &placement)?;
    Ok(Graph { nodes: nodes(hosts, services, placement), edges })
}

/// Which service runs on which hosts.
struct Placement {
    chosen: BTreeSet<CiId>,
    /// Every host of a service.
    all: BTreeMap<CiId, Vec<CiId>>,
    /// Those of them that are selected.
    selected: BTreeMap<CiId, Vec<CiId>>,
    services_of: BTreeMap<CiId, Vec<CiId>>,
}

impl Placement {
    fn of(hosts: &[Node], service_hosts: Vec<(CiId, CiId)>) -> Self {
        let mut placement = Self {
            chosen: hosts.iter().map(|host| host.id.clone()).collect(),
            all: BTreeMap::new(),
            selected: BTreeMap::new(),
            services_of: BTreeMap::new(),
        };
        for (service, host) in service_hosts {
            if placement.chosen.contains(&host) {
                placement.selected.entry(service.clone()).or_default().push(host.clone());
                placement.services_of.entry(host.clone()).or_default().push(service.clone());
            }
            placement.all.entry(service).or_default().push(host);
        }
        placement
    }

    /// The selected hosts a node runs on; a host runs on itself, a service perhaps on none.
    fn image<'a>(&'a self, node: &'a CiId) -> &'a [CiId] {
        if self.chosen.contains(node) {
            std::slice::from_ref(node)
        } else {
            self.selected.get(node).map_or(&[], Vec::as_slice)
        }
    }
}

/// Adds to every dependency the ones it implies between hosts. Of several between the same two, the least compatible counts.
fn lift(direct: Vec<GraphEdge>, placement: &Placement) -> ApiResult<Vec<GraphEdge>> {
    let mut edges = Dependencies::new();
    for GraphEdge { source, target, compatibility } in direct {
        for dependent in placement.image(&source) {
            for needed in placement.image(&target) {
                keep_least_compatible(&mut edges, dependent, needed, compatibility);
            }
            if edges.len() > MAX_EDGES {
                return Err(too_large("edges", MAX_EDGES));
            }
        }
        keep_least_compatible(&mut edges, &source, &target, compatibility);
    }
    Ok(edges
        .into_iter()
        .map(|((source, target), compatibility)| GraphEdge { source, target, compatibility })
        .collect())
}

fn keep_least_compatible(
    edges: &mut Dependencies,
    source: &CiId,
    target: &CiId,
    compatibility: Compatibility,
) {
    if source != target {
        let known = edges.entry((source.clone(), target.clone())).or_insert(compatibility);
        *known = (*known).max(compatibility);
    }
}

fn nodes(hosts: Vec<Node>, services: Vec<Node>, mut placement: Placement) -> Vec<GraphNode> {
    let rated = |node: &Node| {
        let level = node.attributes.get("criticality").and_then(serde_json::Value::as_u64);
        level.and_then(|level| u8::try_from(level).ok())
    };
    let rated_services: BTreeMap<CiId, u8> =
        services.iter().filter_map(|service| Some((service.id.clone(), rated(service)?))).collect();
    let mut nodes = Vec::with_capacity(hosts.len() + services.len());
    for host in hosts {
        let services = placement.services_of.remove(&host.id).unwrap_or_default();
        let highest = services.iter().filter_map(|service| rated_services.get(service)).max().copied();
        let criticality = rated(&host).or(highest).unwrap_or(DEFAULT_CRITICALITY);
        nodes.push(node(host, services, Vec::new(), criticality));
    }
    for service in services {
        let hosts = placement.all.remove(&service.id).unwrap_or_default();
        let criticality = rated(&service).unwrap_or(DEFAULT_CRITICALITY);
        nodes.push(node(service, Vec::new(), hosts, criticality));
    }
    nodes
}

fn node(node: Node, services: Vec<CiId>, hosts: Vec<CiId>, criticality: u8) -> GraphNode {
    GraphNode {
        id: node.id,
        ci_type: node.ci_type,
        tags: node.tags,
        services,
        hosts,
        criticality,
        attributes: node.attributes,
    }
}

fn texts(nodes: &[Node]) -> Vec<String> {
    nodes.iter().map(|node| node.id.to_string()).collect()
}

fn too_large(what: &str, most: usize) -> ApiError {
    ApiError::invalid("", format!("selects a graph of more than {most} {what}; select fewer hosts"))
}
