//! A plan prepared for many runs: which of its steps flow into each other, and within which bounds.

use std::{iter, ops::Range};

use domain::strategy::Strategy;
use planner::{
    NodePlan,
    strategy::{Action, PlanStep},
};

use super::{
    adjacency::Adjacency,
    attempt::AttemptInput,
    indexed_scenario::{IndexedScenario, Traits},
};

/// Steps without a barrier between them: a node of a later step may start while earlier steps are still in progress.
#[derive(Clone, Copy)]
pub struct Segment {
    pub first_step: u32,
    pub end_step: u32,
    /// Places of its nodes in the plan.
    pub first: u32,
    pub end: u32,
    /// Nodes patched in parallel.
    pub places: u32,
    /// Its part of [`PreparedPlan::widths`].
    first_width: u32,
    end_width: u32,
}

pub struct PreparedPlan<'p> {
    pub plan: &'p NodePlan,
    /// Segments of several steps; any other step is a segment of its own.
    flows: Vec<Segment>,
    /// By place: the plan's nodes in their order. The work goes by places, so its data is contiguous here.
    pub stops: Vec<Stop>,
    /// By place, separate from the stops: the ends of attempts do not need them.
    pub attempt_inputs: Vec<AttemptInput>,
    /// For segments of several steps: service, and how many of its members one step takes at most.
    widths: Vec<(u32, u32)>,
    max_parallel: Option<u32>,
    pub dependencies: Option<Dependencies>,
}

#[derive(Clone, Copy)]
pub struct Stop {
    pub node: u32,
    pub step: u32,
    pub traits: Traits,
}

/// Steps that wait for others, if the strategy goes by dependencies.
pub struct Dependencies {
    /// Steps that wait for a node, by its place in the plan; once for each dependency.
    pub dependents: Adjacency,
    /// The number of ends of other nodes that each step waits for.
    pub missing: Vec<u32>,
}

impl<'p> PreparedPlan<'p> {
    pub fn new(indexed: &IndexedScenario, plan: &'p NodePlan) -> Self {
        let mut stops = Vec::with_capacity(plan.all_nodes().len());
        for (step, number) in plan.steps.iter().zip(0..) {
            let stop = |node: &u32| Stop { node: *node, step: number, traits: indexed.nodes[*node as usize] };
            stops.extend(plan.node_numbers(step).iter().map(stop));
        }
        let mut prepared = Self {
            plan,
            flows: Vec::new(),
            stops,
            attempt_inputs: plan
                .all_nodes()
                .iter()
                .map(|node| indexed.attempt_inputs[*node as usize])
                .collect(),
            widths: Vec::new(),
            max_parallel: indexed.options.max_parallel,
            dependencies: None,
        };
        let flows = |prepared: &Self, step: &PlanStep| {
            step.action.patches_in_place()
                && !indexed.options.step_barriers
                && prepared.stops_of(step).iter().all(|stop| stop.traits.stands_alone())
        };
        let mut counts = Vec::new();
        let mut first = 0;
        while let Some(step) = plan.steps.get(first) {
            let mut end = first + 1;
            if end < plan.steps.len() && flows(&prepared, step) {
                let rest = plan.steps[end..].iter();
                end += rest.take_while(|next| next.action == step.action && flows(&prepared, next)).count();
            }
            if end - first > 1 {
                prepared.add_flow(indexed, first, end, &mut counts);
            }
            first = end;
        }
        if plan.strategy == Strategy::DepGreedy && !prepared.flows.is_empty() {
            prepared.dependencies = Some(prepared.dependencies(indexed));
        }
        prepared
    }

    /// `counts` is working memory: the members that a step takes of each service and whether the segment has the service.
    fn add_flow(
        &mut self,
        indexed: &IndexedScenario,
        first: usize,
        end: usize,
        counts: &mut Vec<(u32, u32)>,
    ) {
        let steps = &self.plan.steps[first..end];
        let first_width = self.widths.len();
        // Of each service its entry in `widths`, counted from 1, and the count in the current step.
        counts.resize(indexed.scenario.services.len(), (0, 0));
        for step in steps {
            // Field by field, because the widths grow here.
            let stops = &self.stops[places(step)];
            for stop in stops {
                let service = stop.traits.service;
                let (entry, count) = &mut counts[service as usize];
                if *entry == 0 {
                    self.widths.push((service, 0));
                    *entry = self.widths.len() as u32;
                }
                *count += 1;
                let width = &mut self.widths[*entry as usize - 1].1;
                *width = (*width).max(*count);
            }
            stops.iter().for_each(|stop| counts[stop.traits.service as usize].1 = 0);
        }
        for (service, _) in &self.widths[first_width..] {
            counts[*service as usize] = (0, 0);
        }
        let mut flow = self.segment(first, end);
        (flow.first_width, flow.end_width) = (first_width as u32, self.widths.len() as u32);
        self.flows.push(flow);
    }

    /// Without widths.
    fn segment(&self, first: usize, end: usize) -> Segment {
        let steps = &self.plan.steps[first..end];
        let widest = steps.iter().map(|step| step.size()).max().unwrap_or(0) as u32;
        let places = match (self.max_parallel, self.plan.strategy) {
            (None, _) => widest,
            // Its steps are single groups, ordered only by dependencies.
            (Some(most), Strategy::DepGreedy) if steps.len() > 1 => most,
            (Some(most), _) => most.min(widest),
        };
        Segment {
            first_step: first as u32,
            end_step: end as u32,
            first: steps[0].places().start,
            end: steps[steps.len() - 1].places().end,
            places,
            first_width: 0,
            end_width: 0,
        }
    }

    /// In the order of the plan.
    pub fn segments(&self) -> impl Iterator<Item = Segment> {
        let mut flows = self.flows.iter().peekable();
        let mut step = 0;
        iter::from_fn(move || {
            let segment = match flows.next_if(|flow| flow.first_step as usize == step) {
                Some(flow) => *flow,
                None if step < self.plan.steps.len() => self.segment(step, step + 1),
                None => return None,
            };
            step = segment.end_step as usize;
            Some(segment)
        })
    }

    fn dependencies(&self, indexed: &IndexedScenario) -> Dependencies {
        let mut place_of = vec![u32::MAX; indexed.nodes.len()];
        self.stops.iter().zip(0..).for_each(|(stop, place)| place_of[stop.node as usize] = place);
        let mut missing = vec![0; self.plan.steps.len()];
        let waits = indexed.scenario.edges.iter().filter_map(|edge| {
            let (dependent, provider) = (place_of[edge.source], place_of[edge.target]);
            if dependent == u32::MAX || provider == u32::MAX {
                return None;
            }
            let step = self.stops[dependent as usize].step;
            (self.stops[provider as usize].step < step).then_some((provider, step))
        });
        let waits: Vec<(u32, u32)> = waits.collect();
        waits.iter().for_each(|(_, step)| missing[*step as usize] += 1);
        Dependencies { dependents: Adjacency::new(self.stops.len(), &waits), missing }
    }

    pub fn stops_of(&self, step: &PlanStep) -> &[Stop] {
        &self.stops[places(step)]
    }

    pub fn widths_of(&self, segment: &Segment) -> &[(u32, u32)] {
        &self.widths[segment.first_width as usize..segment.end_width as usize]
    }

    pub fn action(&self, segment: &Segment) -> Action {
        self.plan.steps[segment.first_step as usize].action
    }
}

fn places(step: &PlanStep) -> Range<usize> {
    step.places().start as usize..step.places().end as usize
}

impl Segment {
    pub fn is_flow(&self) -> bool {
        self.end_step - self.first_step > 1
    }
}
