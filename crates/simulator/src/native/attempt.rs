//! One attempt on one node: how long it takes and how it ends.

use super::{
    options::FailureMix,
    stage::{NodeState, Stage},
};
use crate::random::{Luck, Random};

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
    /// As the agenda knows it: scenarios have fewer than 2^29 nodes.
    #[inline]
    pub fn of(self, node: u32) -> u32 {
        node << 3 | self as u32
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

/// Milliseconds from its beginning to its end, rollback included. Each attempt has luck of its own, so that nothing around
/// it changes it.
#[inline]
pub fn draw(stage: &Stage, node: &NodeState, mode: Mode, mut luck: Luck) -> (u64, Ending) {
    let options = stage.options;
    let fails = luck.random() < node.failure_probability;
    let took = match node.nominal_seconds {
        0 => 0,
        nominal => whole(f64::from(nominal) * 1000.0 * stage.duration_factor.sample(&mut luck)),
    };
    if !fails {
        return (took, if mode == Mode::Build { Ending::Built } else { Ending::Patched });
    }
    let way = Way::draw(&options.failure_mix, node.reboots(), luck.random());
    let noticed = match way {
        Way::Patch => whole(took as f64 * luck.random()),
        Way::Reboot => took + u64::from(options.reboot_timeout_seconds) * 1000,
        Way::Health => took + u64::from(options.health_timeout_seconds) * 1000,
        Way::Lost => took + u64::from(options.lost_timeout_seconds) * 1000,
    };
    if mode == Mode::Build {
        return (noticed, Ending::BuildFailed);
    }
    match node.rollback_supported() && way != Way::Lost {
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
enum Way {
    Patch,
    Reboot,
    Health,
    Lost,
}

impl Way {
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
