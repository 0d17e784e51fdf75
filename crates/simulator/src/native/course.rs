//! A plan made ready to be played again and again: which of its steps flow into each other, and within which bounds.

use domain::strategy::Strategy;
use planner::{NodePlan, strategy::Action};

use super::{adjacency::Adjacency, stage::Stage};

/// Steps between which nothing stands: a node of a later one may begin while earlier ones are still at work.
#[derive(Clone, Copy)]
pub struct Leg {
    pub first_step: u32,
    pub end_step: u32,
    /// Places of its nodes in the plan.
    pub first: u32,
    pub end: u32,
    /// Nodes worked on at once.
    pub places: u32,
    /// Its part of [`Course::widths`].
    first_width: u32,
    end_width: u32,
}

pub struct Course<'p> {
    pub plan: &'p NodePlan,
    pub legs: Vec<Leg>,
    /// By place: the plan's nodes in their order.
    pub stops: Vec<Stop>,
    /// For legs of several steps: service, and how many of its members one step takes at most.
    widths: Vec<(u32, u32)>,
    pub order: Option<Order>,
}

#[derive(Clone, Copy)]
pub struct Stop {
    pub node: u32,
    pub step: u32,
}

/// Steps that wait for others, where the strategy goes by dependencies.
pub struct Order {
    /// Steps that wait for a node, by its place in the plan; once for each dependency.
    pub dependents: Adjacency,
    /// For so many ends of other nodes each step waits.
    pub missing: Vec<u32>,
}

impl<'p> Course<'p> {
    pub fn new(stage: &Stage, plan: &'p NodePlan) -> Self {
        let numbered = plan.steps.iter().zip(0..);
        let stops = numbered.flat_map(|(step, number)| {
            plan.node_numbers(step).iter().map(move |node| Stop { node: *node, step: number })
        });
        let mut course =
            Self { plan, legs: Vec::new(), stops: stops.collect(), widths: Vec::new(), order: None };
        let flows = |step: usize| {
            let numbers = plan.node_numbers(&plan.steps[step]);
            plan.steps[step].action.patches_in_place()
                && !stage.options.step_barriers
                && numbers.iter().all(|node| stage.nodes[*node as usize].stands_alone())
        };
        let mut counts = Vec::new();
        let (mut step, mut place) = (0, 0);
        while step < plan.steps.len() {
            let mut end = step + 1;
            if end < plan.steps.len() && flows(step) {
                while end < plan.steps.len()
                    && plan.steps[end].action == plan.steps[step].action
                    && flows(end)
                {
                    end += 1;
                }
            }
            place += course.add_leg(stage, step, end, place, &mut counts);
            step = end;
        }
        if plan.strategy == Strategy::DepGreedy && course.legs.iter().any(Leg::is_flow) {
            course.order = Some(course.order(stage));
        }
        course
    }

    /// `counts` is working memory: the members that a step takes of each service and whether the leg has the service.
    fn add_leg(
        &mut self,
        stage: &Stage,
        first: usize,
        end: usize,
        place: u32,
        counts: &mut Vec<(u32, u32)>,
    ) -> u32 {
        let steps = &self.plan.steps[first..end];
        let size: usize = steps.iter().map(|step| step.size()).sum();
        let widest = steps.iter().map(|step| step.size()).max().unwrap_or(0) as u32;
        let first_width = self.widths.len();
        if steps.len() > 1 {
            // Of each service its entry in `widths`, counted from 1, and the count in the present step.
            counts.resize(stage.scenario.services.len(), (0, 0));
            for step in steps {
                let numbers = self.plan.node_numbers(step);
                for node in numbers {
                    let service = stage.nodes[*node as usize].service;
                    let (entry, count) = &mut counts[service as usize];
                    if *entry == 0 {
                        self.widths.push((service, 0));
                        *entry = self.widths.len() as u32;
                    }
                    *count += 1;
                    let width = &mut self.widths[*entry as usize - 1].1;
                    *width = (*width).max(*count);
                }
                numbers.iter().for_each(|node| counts[stage.nodes[*node as usize].service as usize].1 = 0);
            }
        }
        for (service, _) in &self.widths[first_width..] {
            counts[*service as usize] = (0, 0);
        }
        let places = match (stage.options.max_parallel, self.plan.strategy) {
            (None, _) => widest,
            // Its steps are single groups, put in order by dependencies alone.
            (Some(most), Strategy::DepGreedy) if steps.len() > 1 => most,
            (Some(most), _) => most.min(widest),
        };
        self.legs.push(Leg {
            first_step: first as u32,
            end_step: end as u32,
            first: place,
            end: place + size as u32,
            places,
            first_width: first_width as u32,
            end_width: self.widths.len() as u32,
        });
        size as u32
    }

    fn order(&self, stage: &Stage) -> Order {
        let mut place_of = vec![u32::MAX; stage.nodes.len()];
        self.stops.iter().zip(0..).for_each(|(stop, place)| place_of[stop.node as usize] = place);
        let mut missing = vec![0; self.plan.steps.len()];
        let waits = stage.scenario.edges.iter().filter_map(|edge| {
            let (dependent, provider) = (place_of[edge.source], place_of[edge.target]);
            if dependent == u32::MAX || provider == u32::MAX {
                return None;
            }
            let step = self.stops[dependent as usize].step;
            (self.stops[provider as usize].step < step).then_some((provider, step))
        });
        let waits: Vec<(u32, u32)> = waits.collect();
        waits.iter().for_each(|(_, step)| missing[*step as usize] += 1);
        Order { dependents: Adjacency::new(self.stops.len(), &waits), missing }
    }

    pub fn widths_of(&self, leg: &Leg) -> &[(u32, u32)] {
        &self.widths[leg.first_width as usize..leg.end_width as usize]
    }

    pub fn action(&self, leg: &Leg) -> Action {
        self.plan.steps[leg.first_step as usize].action
    }
}

impl Leg {
    pub fn is_flow(&self) -> bool {
        self.end_step - self.first_step > 1
    }
}
