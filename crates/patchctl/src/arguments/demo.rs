use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Plays a whole evening on a platform of its own: a fleet of 33 model hosts, a critical advisory, simulation, approval, the
rollout with one failing host, the proof. Every number it prints is read back from the APIs.

Examples:
  patchctl demo
  patchctl demo --keep --data-dir /srv/demo --port-base 18080")]
pub struct DemoArguments {
    /// Leave the platform up afterwards, until ctrl-C.
    #[arg(long)]
    pub keep: bool,
}
