//! Properties of every plan, whatever the fleet.

use std::collections::BTreeSet;

use domain::{ids::CiId, plan::Plan, quantity::HostCount, strategy::Strategy};
use planner::{Compatibility, HostGraph, PlanRequest, host_plan};
use proptest::{prelude::*, strategy::Strategy as Generator};

use crate::fixture::{add_service, depends, id, request};

fn any_request() -> impl Generator<Value = PlanRequest> {
    let services = prop::collection::vec((1_u32..7, 0_u32..4, 1_u8..6), 1..6);
    let edges = prop::collection::vec((any::<u16>(), any::<u16>(), 0_u8..6), 0..12);
    let second_service = prop::collection::vec((any::<u16>(), any::<u16>()), 0..4);
    (0..7_usize, services, edges, second_service, 1_u32..6, 0_u32..3, 0_usize..3).prop_map(
        |(strategy, services, edges, second_service, max_parallel, pilots, staging)| {
            let mut request = request(Strategy::ALL[strategy]);
            for (number, (count, min_up, criticality)) in services.iter().enumerate() {
                add_service(&mut request, &format!("s{number}"), *count, *min_up, *criticality);
            }
            let hosts: Vec<CiId> = request.targets.keys().cloned().collect();
            let pick = |number: u16| hosts[usize::from(number) % hosts.len()].as_str();
            for (source, target, kind) in edges {
                let compatibility =
                    if kind == 0 { Compatibility::Incompatible } else { Compatibility::Compatible };
                depends(&mut request, pick(source), pick(target), compatibility);
            }
            for (host, service) in second_service {
                let service = id(&format!("s{}", usize::from(service) % services.len()));
                request.graph.hosts.get_mut(&id(pick(host))).unwrap().services.insert(service);
            }
            request.max_parallel = HostCount::Number(max_parallel);
            request.pilot_host_count = pilots;
            request.staging = hosts.iter().take(staging).cloned().collect();
            request
        },
    )
}

/// Counted here by hand, so that planner and linter cannot share a mistake.
fn breaks_min_up(plan: &Plan, graph: &HostGraph) -> bool {
    plan.waves.iter().any(|wave| {
        graph.services.iter().any(|(service, node)| {
            let of_service =
                |host: &&CiId| graph.hosts.get(*host).is_some_and(|node| node.services.contains(service));
            let taken = wave.hosts.iter().filter(of_service).count();
            let members = graph.hosts.keys().filter(of_service).count();
            taken > 0 && members - taken < node.min_up as usize
        })
    })
}

proptest! {
    #[test]
    fn every_target_is_in_exactly_one_wave(request in any_request()) {
        let plan = host_plan(&request);
        let placed: Vec<&CiId> = plan.waves.iter().flat_map(|wave| &wave.hosts).collect();
        prop_assert_eq!(placed.len(), request.targets.len());
        prop_assert_eq!(placed.into_iter().collect::<BTreeSet<_>>(), request.targets.keys().collect());
    }

    #[test]
    fn no_wave_is_larger_than_max_parallel(request in any_request()) {
        prop_assume!(request.strategy != Strategy::BigBang);
        let plan = host_plan(&request);
        let largest = plan.waves.iter().map(|wave| wave.hosts.len()).max().unwrap_or(0);
        prop_assert!(largest <= plan.limits.max_parallel as usize);
        prop_assert!(plan.notes.iter().all(|note| note.code != "wave-larger-than-max-parallel"));
    }

    #[test]
    fn bigbang_is_one_wave_after_staging_and_pilots(request in any_request()) {
        let plan = host_plan(&PlanRequest { strategy: Strategy::BigBang, ..request });
        prop_assert!(plan.waves.len() <= 3, "{:?}", plan.waves);
    }

    #[test]
    fn no_service_loses_more_than_max_unavailable_unless_it_is_reported(
        request in any_request(), most in 1_u32..4
    ) {
        let request = PlanRequest { max_unavailable: Some(HostCount::Number(most)), ..request };
        let plan = host_plan(&request);
        let taken = |hosts: &[CiId], service: &CiId| {
            let of_service = |host: &&CiId| request.graph.hosts[*host].services.contains(service);
            hosts.iter().filter(of_service).count()
        };
        let breaks = plan.waves.iter().any(|wave| {
            request.graph.services.keys().any(|service| taken(&wave.hosts, service) > most as usize)
        });
        let may_report = ["more-than-max-unavailable", "service-cannot-keep-min-up"];
        let reported = plan.errors().any(|note| may_report.contains(&note.code.as_str()));
        prop_assert!(!breaks || reported, "{:?}", plan.waves);
        prop_assert!(!breaks || request.strategy == Strategy::BigBang, "{:?}", plan.waves);
    }

    #[test]
    fn no_plan_breaks_min_up_without_reporting_it(request in any_request()) {
        let plan = host_plan(&request);
        let said = plan.notes.iter().any(|note| note.code == "service-cannot-keep-min-up");
        prop_assert_eq!(breaks_min_up(&plan, &request.graph), said);
    }

    #[test]
    fn min_up_is_broken_only_for_services_that_can_spare_no_member(request in any_request()) {
        prop_assume!(request.strategy != Strategy::BigBang);
        let mut request = request;
        for (service, members) in request.graph.clone().members() {
            let min_up = &mut request.graph.services.get_mut(service).unwrap().min_up;
            *min_up = (*min_up).min(members.len() as u32 - 1);
        }
        let plan = host_plan(&request);
        prop_assert!(!breaks_min_up(&plan, &request.graph), "{:?}", plan.waves);
    }

    #[test]
    fn waves_come_as_staging_pilots_batches(request in any_request()) {
        let plan = host_plan(&request);
        let out_of_order = plan.notes.iter().any(|note| note.code == "waves-out-of-order");
        prop_assert!(!out_of_order);
    }

    #[test]
    fn providers_precede_dependents_where_the_strategy_promises_it(request in any_request()) {
        let request = PlanRequest {
            strategy: Strategy::DepGreedy, staging: BTreeSet::new(), pilot_host_count: 0, ..request
        };
        let plan = host_plan(&request);
        let incompatible =
            request.graph.edges.iter().any(|edge| edge.compatibility == Compatibility::Incompatible);
        // Contracted groups may form cycles that hosts do not have.
        let disorder = plan.notes.iter().any(|note| note.code == "dependency-order");
        prop_assert!(incompatible || !disorder, "{:?}", plan.notes);
    }
}
