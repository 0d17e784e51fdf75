use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(after_help = "\
Plays a whole evening on a platform of its own: a fleet of 33 model hosts, a critical advisory, simulation, approval, the
rollout with one failing host, the proof. Every number it prints is read back from the APIs.

Examples:
  patchctl demo
  patchctl demo --hosts real
  patchctl demo --keep --data-dir /srv/demo --port-base 18080")]
pub struct DemoArguments {
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
