use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchctl explain
  patchctl explain policy
  patchctl explain policy.max_parallel
  patchctl explain policy.workflow.steps")]
pub struct ExplainArguments {
    /// A resource such as `policy`, or a field such as `policy.max_parallel`; by default the resources are listed.
    #[arg(value_name = "RESOURCE[.FIELD]")]
    pub what: Option<String>,
}
