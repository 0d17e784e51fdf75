use clap::Args;

use super::Most;

#[derive(Debug, Args)]
#[command(after_help = "\
Before a run begins, what its simulation predicts is written down; when it ends, what happened stands beside it.

Examples:
  patchctl predictions
  patchctl predictions --limit 20 -o json")]
pub struct PredictionsArguments {
    #[command(flatten)]
    pub most: Most,
}
