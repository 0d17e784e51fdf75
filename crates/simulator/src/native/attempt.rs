//! One attempt on one node: how long it takes and how it ends.

use planner::scenario::Node;

use super::{indexed_scenario::IndexedScenario, options::FailureMix};
use crate::random::{Random, RandomStream};

/// The parameters of an attempt on a node.
#[derive(Clone, Copy)]
pub struct AttemptInput {
    pub nominal_seconds: u32,
    reboots: bool,
    rollback_supported: bool,
    failure_probability: f64,
}

impl AttemptInput {
    pub fn of(node: &Node) -> Self {
        Self {
            nominal_seconds: node.patch.duration_seconds,
            reboots: node.patch.requires_reboot,
            rollback_supported: node.patch.rollback_supported,
            failure_probability: node.patch.failure_probability,
        }
    }
}

/// How an attempt ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AttemptEnd {
    Patched,
    RolledBack,
    Failed,
    Built,
    BuildFailed,
    /// No attempt: a window opens.
    WindowOpens,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    InPlace,
    /// A second instance is built; the first keeps serving.
    Build,
}

const ALL: [AttemptEnd; 6] = [
    AttemptEnd::Patched,
    AttemptEnd::RolledBack,
    AttemptEnd::Failed,
    AttemptEnd::Built,
    AttemptEnd::BuildFailed,
    AttemptEnd::WindowOpens,
];

impl AttemptEnd {
    /// Its code in the agenda, for a place of the plan: there are fewer than 2^29.
    #[inline]
    pub fn at(self, place: u32) -> u32 {
        place << 3 | self as u32
    }

    #[inline]
    pub fn read(event: u32) -> (u32, Self) {
        (event >> 3, ALL[(event & 7) as usize % ALL.len()])
    }

    pub fn event(self) -> &'static str {
        match self {
            Self::Patched => "patched",
            Self::RolledBack => "rollback",
            Self::Failed => "patch_failed",
            Self::Built => "built",
            Self::BuildFailed => "build_failed",
            Self::WindowOpens => "window_opens",
        }
    }
}

/// Milliseconds from its beginning to its end, rollback included. Each attempt has a stream of its own, so nothing around it
/// changes the result.
#[inline]
pub fn draw(
    indexed: &IndexedScenario,
    input: &AttemptInput,
    mode: Mode,
    mut stream: RandomStream,
) -> (u64, AttemptEnd) {
    let options = indexed.options;
    let fails = stream.random() < input.failure_probability;
    let took = match input.nominal_seconds {
        0 => 0,
        nominal => whole(f64::from(nominal) * 1000.0 * indexed.duration_factor.sample(&mut stream)),
    };
    if !fails {
        return (took, if mode == Mode::Build { AttemptEnd::Built } else { AttemptEnd::Patched });
    }
    let way = FailureCause::draw(&options.failure_mix, input.reboots, stream.random());
    let noticed = match way {
        FailureCause::Patch => whole(took as f64 * stream.random()),
        FailureCause::Reboot => took + u64::from(options.reboot_timeout_seconds) * 1000,
        FailureCause::Health => took + u64::from(options.health_timeout_seconds) * 1000,
        FailureCause::Lost => took + u64::from(options.lost_timeout_seconds) * 1000,
    };
    if mode == Mode::Build {
        return (noticed, AttemptEnd::BuildFailed);
    }
    if input.rollback_supported && way != FailureCause::Lost {
        (noticed + whole(took as f64 * options.rollback_factor), AttemptEnd::RolledBack)
    } else {
        (noticed, AttemptEnd::Failed)
    }
}

/// Rounds to the nearest integer; for non-negative numbers.
#[inline]
fn whole(milliseconds: f64) -> u64 {
    (milliseconds + 0.5) as u64
}

/// Why an attempt fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FailureCause {
    Patch,
    Reboot,
    Health,
    Lost,
}

impl FailureCause {
    fn draw(mix: &FailureMix, reboots: bool, draw: f64) -> Self {
        let reboot = if reboots { mix.reboot } else { 0.0 };
        let mut left = draw * (mix.patch + reboot + mix.health + mix.lost);
        for (way, share) in [(Self::Patch, mix.patch), (Self::Reboot, reboot), (Self::Health, mix.health)] {
            if left < share {
                return way;
            }
            left -= share;
        }
        Self::Lost
    }
}
