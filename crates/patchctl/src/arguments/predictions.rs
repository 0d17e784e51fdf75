use clap::Args;

use super::Most;

#[derive(Debug, Args)]
#[command(after_help = "\
The platform stores the prediction of a run before the run starts, and adds what happened when it ends.

Examples:
  patchctl predictions
  patchctl predictions --limit 20 -o json")]
pub struct PredictionsArguments {
    #[command(flatten)]
    pub most: Most,
}
