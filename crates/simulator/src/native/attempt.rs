//! One attempt on one node: how long it takes and how it ends.

use planner::scenario::Node;

use super::{indexed_scenario::IndexedScenario, options::FailureMix};
use crate::random::{Random, RandomStream};

/// What an attempt on a node may come to.
#[derive(Clone, Copy)]
pub struct Prospect {
    pub nominal_seconds: u32,
    reboots: bool,
    rollback_supported: bool,
    failure_probability: f64,
}

impl Prospect {
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
pub enum Ending {
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
    /// A second self is built; the first goes on serving.
    Build,
}

const ALL: [Ending; 6] = [
    Ending::Patched,
    Ending::RolledBack,
    Ending::Failed,
    Ending::Built,
    Ending::BuildFailed,
    Ending::WindowOpens,
];

impl Ending {
    /// As the agenda knows it, at a place of the plan: there are fewer than 2^29.
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
    prospect: &Prospect,
    mode: Mode,
    mut stream: RandomStream,
) -> (u64, Ending) {
    let options = indexed.options;
    let fails = stream.random() < prospect.failure_probability;
    let took = match prospect.nominal_seconds {
        0 => 0,
        nominal => whole(f64::from(nominal) * 1000.0 * indexed.duration_factor.sample(&mut stream)),
    };
    if !fails {
        return (took, if mode == Mode::Build { Ending::Built } else { Ending::Patched });
    }
    let way = FailureCause::draw(&options.failure_mix, prospect.reboots, stream.random());
    let noticed = match way {
        FailureCause::Patch => whole(took as f64 * stream.random()),
        FailureCause::Reboot => took + u64::from(options.reboot_timeout_seconds) * 1000,
        FailureCause::Health => took + u64::from(options.health_timeout_seconds) * 1000,
        FailureCause::Lost => took + u64::from(options.lost_timeout_seconds) * 1000,
    };
    if mode == Mode::Build {
        return (noticed, Ending::BuildFailed);
    }
    match prospect.rollback_supported && way != FailureCause::Lost {
        true => (noticed + whole(took as f64 * options.rollback_factor), Ending::RolledBack),
        false => (noticed, Ending::Failed),
    }
}

/// To the nearest, for numbers that are not negative.
#[inline]
fn whole(milliseconds: f64) -> u64 {
    (milliseconds + 0.5) as u64
}

/// The ways in which an attempt fails.
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
