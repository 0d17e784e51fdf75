//! The chance in one played run.

use domain::{plan::Plan, workflow::Reboot};

use super::model::HostModel;
use crate::{
    distribution::Distribution,
    random::{Random, Xoshiro256},
};

/// Each host draws from a stream of its own, and so does the run, so that a host draws the same numbers whatever happens around
/// it. Times are in milliseconds.
pub struct Draws {
    hosts: Vec<Xoshiro256>,
    run: Xoshiro256,
}

impl Draws {
    pub fn new(hosts: usize, seed: u64, run: u64) -> Self {
        Self {
            hosts: (0..hosts).map(|host| Xoshiro256::of(seed, run, host as u64)).collect(),
            run: Xoshiro256::of(seed, run, u64::MAX),
        }
    }

    /// The time of a step of the whole run.
    pub fn step(&mut self, time: &Distribution) -> u64 {
        milliseconds(time.sample(&mut self.run))
    }

    /// Time and success of one try. Every try draws the same numbers in the same order, whatever their effect.
    pub fn attempt(&mut self, host: usize, model: &HostModel, plan: &Plan, mode: Reboot) -> (u64, bool) {
        let stream = &mut self.hosts[host];
        let (update, reboot) = (model.update.sample(stream), model.reboot.sample(stream));
        let (needs_reboot, fails, lost) = (stream.random(), stream.random(), stream.random());
        let reboots = match mode {
            Reboot::Never => false,
            Reboot::IfRequired => needs_reboot < model.reboot_probability,
            Reboot::Always => true,
        };
        let timeout = f64::from(plan.workflow.host_timeout_seconds);
        let time = if reboots { update + reboot } else { update };
        let lost = lost < model.lost_probability || time >= timeout;
        let time = if lost { timeout } else { time };
        (milliseconds(time), !lost && fails >= model.failure_probability)
    }

    /// Time and success of one rollback.
    pub fn rollback(&mut self, host: usize, model: &HostModel) -> (u64, bool) {
        let stream = &mut self.hosts[host];
        let took = milliseconds(model.rollback.sample(stream));
        (took, stream.random() >= model.rollback_failure_probability)
    }
}

fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1000.0).round() as u64
}
