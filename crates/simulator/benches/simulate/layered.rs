//! Large scenarios of a fixed shape, for measuring speed.

use planner::{
    Compatibility, Scenario,
    scenario::{Edge, Health, Node, NodeKind, Patch, Service, UNPATCHED},
};

use simulator::random::{Random, Xoshiro256};

const LAYERS: usize = 5;
const SERVICE_SIZE: usize = 10;
const MIN_UP: u32 = 8;
/// Four of five layers have a layer below them, so this makes 1.6 edges a node.
const DEPENDENCIES: usize = 2;

/// Five layers of services with ten nodes each, eight of which must be up; each node depends on two of the layer below.
/// One dependency in five is degraded while versions differ. `nodes` is rounded up to whole services in every layer.
pub fn layered(nodes: usize, seed: u64) -> Scenario {
    let per_layer = nodes.div_ceil(LAYERS * SERVICE_SIZE).max(1) * SERVICE_SIZE;
    let mut random = Xoshiro256::new(seed);
    let mut below = |count: usize| (random.random() * count as f64) as usize;
    let mut scenario = Scenario {
        name: format!("layered-{}", per_layer * LAYERS),
        seed: seed as i64,
        metadata: Default::default(),
        nodes: Vec::with_capacity(per_layer * LAYERS),
        edges: Vec::with_capacity(per_layer * (LAYERS - 1) * DEPENDENCIES),
        services: Vec::with_capacity(per_layer * LAYERS / SERVICE_SIZE),
    };
    for index in 0..per_layer * LAYERS {
        let service = index / SERVICE_SIZE;
        if index % SERVICE_SIZE == 0 {
            let name = format!("service-{service:05}");
            scenario.services.push(Service { name, min_up: MIN_UP, members: Vec::new() });
        }
        scenario.services[service].members.push(index);
        scenario.nodes.push(Node {
            id: format!("node-{index:06}"),
            kind: NodeKind::ServiceInstance,
            service,
            criticality: 1 + below(5) as u8,
            redundancy: 1,
            min_up: MIN_UP,
            patchable: true,
            group: None,
            version: UNPATCHED.to_owned(),
            health: Health::Healthy,
            patch: Patch {
                duration_seconds: 30 + below(91) as u32,
                requires_restart: true,
                requires_reboot: below(4) == 0,
                failure_probability: 0.02,
                rollback_supported: true,
                severity: below(101) as f64 / 10.0,
            },
        });
        let layer = index / per_layer;
        if layer + 1 < LAYERS {
            for _ in 0..DEPENDENCIES {
                let degraded = below(5) == 0;
                scenario.edges.push(Edge {
                    source: index,
                    target: (layer + 1) * per_layer + below(per_layer),
                    compatibility: if degraded { Compatibility::Degraded } else { Compatibility::Compatible },
                    mixed_max_duration_seconds: 0,
                });
            }
        }
    }
    scenario
}
