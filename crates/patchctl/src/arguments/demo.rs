use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(after_help = "\
Plays a whole evening on a platform of its own: a fleet of 33 model hosts, a critical advisory, simulation, approval, the
rollout with one failing host, the proof. Every number it prints is read back from the APIs.

Examples:
  patchctl demo
  patchctl demo --hosts real
  patchctl demo --scene releases
  patchctl demo --keep --data-dir /srv/demo --port-base 18080")]
pub struct DemoArguments {
    /// What is played.
    #[arg(long, value_enum, default_value_t = Scene::Evening)]
    pub scene: Scene,

    /// Leave the platform up afterwards, until ctrl-C.
    #[arg(long)]
    pub keep: bool,

    /// What the hosts are: rows of the sim-engine, or 27 small real systems on this machine, which need root and a minute
    /// for their images the first time.
    #[arg(long, value_enum, default_value_t)]
    pub hosts: DemoHosts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DemoHosts {
    #[default]
    Model,
    /// 24 production and 3 staging hosts with apt or dnf, entered over SSH.
    Real,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scene {
    /// A critical advisory for a fleet of hosts, from its arrival to the proof.
    Evening,
    /// Four product releases to twenty customers, tier by tier: weeks on a clock of its own, in under a minute.
    Releases,
}
