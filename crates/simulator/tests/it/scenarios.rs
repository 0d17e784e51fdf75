//! Random scenarios for property tests.

use planner::{
    Compatibility, Scenario,
    scenario::{Edge, Health, Node, NodeKind, Patch, Service},
};
use proptest::{prelude::*, strategy::Strategy as Generator};

#[derive(Debug, Clone)]
pub struct Dice {
    pub service: u8,
    pub criticality: u8,
    pub min_up: u8,
    pub duration: u8,
    pub kind: u8,
    pub failure: u8,
    pub severity: u8,
    pub rare: u8,
}

fn any_dice() -> impl Generator<Value = Dice> {
    (0_u8..5, 1_u8..6, 0_u8..3, 0_u8..120, any::<u8>(), 0_u8..5, 0_u8..101, any::<u8>()).prop_map(
        |(service, criticality, min_up, duration, kind, failure, severity, rare)| Dice {
            service,
            criticality,
            min_up,
            duration,
            kind,
            failure,
            severity,
            rare,
        },
    )
}

/// Small scenarios with everything in them: odd severities, unpatchable nodes, versions and health of their own, edges
/// that repeat.
pub fn any_scenario() -> impl Generator<Value = Scenario> {
    let nodes = prop::collection::vec(any_dice(), 1..14);
    let edges = prop::collection::vec((any::<u16>(), any::<u16>(), 0_u8..5, 0_u8..90), 0..20);
    (nodes, edges, any::<bool>()).prop_map(|(nodes, edges, halves)| build(&nodes, &edges, halves))
}

fn build(dice: &[Dice], edges: &[(u16, u16, u8, u8)], halves: bool) -> Scenario {
    let mut services: Vec<Service> = Vec::new();
    let nodes: Vec<Node> = dice
        .iter()
        .enumerate()
        .map(|(index, dice)| {
            let name = format!("s{}", dice.service);
            let service = services.iter().position(|service| service.name == name).unwrap_or_else(|| {
                services.push(Service { name, min_up: 0, members: vec![] });
                services.len() - 1
            });
            let min_up = u32::from(dice.min_up);
            services[service].min_up = services[service].min_up.max(min_up);
            services[service].members.push(index);
            let severity = f64::from(dice.severity) / 10.0;
            Node {
                // Ids whose order differs from the file's.
                id: format!("n{:02}", (index * 7) % 97),
                kind: if dice.kind % 5 == 0 { NodeKind::Host } else { NodeKind::ServiceInstance },
                service,
                criticality: dice.criticality,
                redundancy: 1,
                min_up,
                patchable: dice.rare >= 20,
                group: None,
                version: match dice.rare {
                    100..110 => "v_new".into(),
                    110..115 => "v_older".into(),
                    _ => "v_old".into(),
                },
                health: match dice.rare {
                    200..208 => Health::Down,
                    208..216 => Health::Failed,
                    _ => Health::Healthy,
                },
                patch: Patch {
                    duration_seconds: u32::from(dice.duration),
                    requires_restart: dice.kind & 1 == 1,
                    requires_reboot: dice.kind & 6 == 6,
                    failure_probability: f64::from(dice.failure) / 4.0,
                    rollback_supported: dice.kind & 24 != 0,
                    severity: if halves { severity.floor() / 2.0 } else { severity },
                },
            }
        })
        .collect();
    let edges = edges.iter().map(|(source, target, kind, allowed)| Edge {
        source: usize::from(*source) % nodes.len(),
        target: usize::from(*target) % nodes.len(),
        compatibility: match kind {
            0 => Compatibility::Incompatible,
            1 | 2 => Compatibility::Degraded,
            _ => Compatibility::Compatible,
        },
        mixed_max_duration_seconds: u32::from(*allowed),
    });
    Scenario {
        name: "any".into(),
        seed: 0,
        metadata: Default::default(),
        edges: edges.collect(),
        services,
        nodes,
    }
}
