//! The steps of a plan, flat in memory: plans of a hundred thousand nodes have as many steps.

use std::{fmt, ops::Range};

use domain::strategy::Strategy;
use serde::{Serialize, Serializer};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePlan {
    pub strategy: Strategy,
    pub steps: Vec<PlanStep>,
    /// The nodes of all steps, one after the other.
    nodes: Vec<u32>,
}

/// Steps run one after the other; the nodes of a step in parallel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanStep {
    pub name: StepName,
    pub action: Action,
    pub pause_seconds: u32,
    /// A pause for safety; it is counted.
    pub guardrail: bool,
    first: u32,
    count: u32,
}

/// The id of a step; the text is built only when it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepName {
    /// `patch-3`
    Numbered(Action, u32),
    /// `group-3-cooldown`
    Group(u32, Part),
    /// A part that occurs once in the plan: `bluegreen-build`
    Whole(Part),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Build,
    Switch,
    Rolling,
    Cooldown,
    CanaryPause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Patch,
    PatchCanary,
    Pause,
    /// A second, patched set is built next to the first.
    #[serde(rename = "bluegreen_build")]
    BlueGreenBuild,
    /// The second set takes over.
    #[serde(rename = "bluegreen_switch")]
    BlueGreenSwitch,
}

impl NodePlan {
    pub(super) fn new(strategy: Strategy) -> Self {
        Self { strategy, steps: Vec::new(), nodes: Vec::new() }
    }

    pub(super) fn reserve(&mut self, steps: usize, nodes: usize) {
        self.steps.reserve(steps);
        self.nodes.reserve(nodes);
    }

    pub(super) fn add(&mut self, name: StepName, action: Action, nodes: impl IntoIterator<Item = usize>) {
        let first = self.nodes.len();
        self.nodes.extend(nodes.into_iter().map(|node| node as u32));
        let count = (self.nodes.len() - first) as u32;
        let step = PlanStep { name, action, pause_seconds: 0, guardrail: false, first: first as u32, count };
        self.steps.push(step);
    }

    pub(super) fn pause(&mut self, name: StepName, pause_seconds: u32, guardrail: bool) {
        self.add(name, Action::Pause, []);
        if let Some(step) = self.steps.last_mut() {
            (step.pause_seconds, step.guardrail) = (pause_seconds, guardrail);
        }
    }

    /// Steps of the given sizes over nodes in order, each with the next number.
    pub(super) fn add_numbered(&mut self, action: Action, sizes: &[u32], nodes: &[u32]) {
        let mut first = self.nodes.len() as u32;
        self.nodes.extend_from_slice(nodes);
        self.steps.reserve(sizes.len());
        for (count, number) in sizes.iter().copied().zip(1..) {
            let name = StepName::Numbered(action, number);
            self.steps.push(PlanStep { name, action, pause_seconds: 0, guardrail: false, first, count });
            first += count;
        }
    }

    /// Indexes into the scenario's nodes.
    pub fn nodes_of(&self, step: &PlanStep) -> impl ExactSizeIterator<Item = usize> + Clone {
        self.node_numbers(step).iter().map(|node| *node as usize)
    }

    /// Like [`Self::nodes_of`], as a slice.
    pub fn node_numbers(&self, step: &PlanStep) -> &[u32] {
        &self.nodes[step.first as usize..(step.first + step.count) as usize]
    }

    /// Whether both do the same to the same nodes in the same order, whatever their steps are called.
    pub fn has_steps_of(&self, other: &Self) -> bool {
        let step = |step: &PlanStep| {
            (step.action.patches_in_place(), step.action, step.pause_seconds, step.places())
        };
        // A canary step differs from a patch only by its name.
        let same = |(a, b): (&PlanStep, &PlanStep)| {
            let (a, b) = (step(a), step(b));
            (a.0 && b.0 || a.1 == b.1) && (a.2, a.3) == (b.2, b.3)
        };
        self.nodes == other.nodes
            && self.steps.len() == other.steps.len()
            && self.steps.iter().zip(&other.steps).all(same)
    }

    /// The nodes of all steps, one after the other.
    pub fn all_nodes(&self) -> &[u32] {
        &self.nodes
    }
}

impl PlanStep {
    /// The positions of its nodes among the nodes of all steps.
    pub fn places(&self) -> Range<u32> {
        self.first..self.first + self.count
    }

    /// How many nodes it has.
    pub fn size(&self) -> usize {
        self.count as usize
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbered(action, number) => write!(f, "{}-{number}", action.name()),
            Self::Group(number, part) => write!(f, "group-{number}-{}", part.name()),
            Self::Whole(part) => f.write_str(part.name()),
        }
    }
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Build => "bluegreen-build",
            Self::Switch => "bluegreen-switch",
            Self::Rolling => "rolling",
            Self::Cooldown => "cooldown",
            Self::CanaryPause => "pause-canary",
        }
    }
}

impl Serialize for StepName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Action {
    pub fn name(self) -> &'static str {
        match self {
            Self::Patch => "patch",
            Self::PatchCanary => "patch_canary",
            Self::Pause => "pause",
            Self::BlueGreenBuild => "bluegreen_build",
            Self::BlueGreenSwitch => "bluegreen_switch",
        }
    }

    pub fn patches_in_place(self) -> bool {
        matches!(self, Self::Patch | Self::PatchCanary)
    }
}
