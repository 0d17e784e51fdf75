use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(after_help = "\
Plays a whole evening on a platform of its own: a fleet of 33 model hosts, a critical advisory, simulation, approval, the
rollout with one failing host, and the proof. It reads every number that it prints from the APIs.

Examples:
  patchctl demo
  patchctl demo --hosts real
  patchctl demo --hosts brownfield
  patchctl demo --scene releases
  patchctl demo --keep --data-dir /srv/demo --port-base 18080")]
pub struct DemoArguments {
    /// Scene to play.
    #[arg(long, value_enum, default_value_t = Scene::Evening)]
    pub scene: Scene,

    /// Keep the platform running afterwards, until ctrl-C.
    #[arg(long)]
    pub keep: bool,

    /// Kind of hosts: models in the sim-engine, 27 small real systems on this machine, or five hosts as a site has them. Real
    /// systems need root, and minutes for their images the first time.
    #[arg(long, value_enum, default_value_t)]
    pub hosts: DemoHosts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DemoHosts {
    #[default]
    Model,
    /// 24 production and 3 staging hosts with apt or dnf, reached over SSH.
    Real,
    /// Three hosts with Debian's own packages and two with dnf, which the sim-engine does not know: a kernel and a library are
    /// patched and rolled back, command by command.
    Brownfield,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scene {
    /// A critical advisory for a fleet of hosts, from its arrival to the proof.
    Evening,
    /// Four product releases to twenty customers, tier by tier: weeks of simulated time in under a minute.
    Releases,
}
