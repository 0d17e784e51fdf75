use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use domain::{
    ids::{ChangeId, CiId, PolicyId, RunId},
    strategy::Strategy,
};

use super::{Most, Selection, SimulateArguments};

#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  patchctl run start --policy policy-rhel9-baseline --watch
  patchctl run start --advisory CVE-2026-90100 --policy policy-prod --strategy hybrid
  patchctl run start --input system-patch.yaml --watch
  patchctl run list --state awaiting_approval
  patchctl run report RUN --format markdown > evidence.md")]
pub enum RunCommand {
    /// List runs, newest first.
    List {
        /// Only runs of this policy.
        #[arg(long, value_name = "ID")]
        policy: Option<PolicyId>,
        /// Only runs in this state, such as `executing` or `halted`.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        most: Most,
    },
    /// Show one run: its state, waves and hosts.
    Show { id: RunId },
    /// Show the steps of the work on each host, of its latest attempt.
    Steps {
        id: RunId,
        /// Only of this host.
        #[arg(long, value_name = "ID")]
        host: Option<CiId>,
    },
    /// Start a run of a policy, of an advisory's remediation, or of hosts chosen by hand.
    Start(StartArguments),
    /// Follow a run, host by host. Exit status: 0 succeeded, 1 ended otherwise, 3 some hosts failed.
    Watch { id: RunId },
    /// Stop a run in a safe state; hosts in the middle of a package transaction finish it.
    Cancel {
        id: RunId,
        /// Why; kept with the run.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Let a run begin nothing new.
    Pause {
        id: RunId,
        /// Why; kept with the run.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Let a paused run go on.
    Resume {
        id: RunId,
        /// Why; kept with the run.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Start a new run of the hosts that failed.
    RetryFailed {
        id: RunId,
        /// Why; kept with the run.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Start a run that returns the hosts to the snapshots of this one.
    Rollback {
        id: RunId,
        /// Why; kept with the run.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Print the whole log of a run.
    Logs {
        id: RunId,
        #[arg(long, value_enum, default_value_t = LogFormat::Text)]
        format: LogFormat,
    },
    /// Print the report of a run: predicted and actual, the evidence.
    Report {
        id: RunId,
        #[arg(long, value_enum, default_value_t = ReportFormat::Markdown)]
        format: ReportFormat,
    },
    /// Print the events of a run as JSON lines, until it ends.
    Events {
        id: RunId,
        /// Only events after this one.
        #[arg(long, value_name = "EVENT", default_value = "0")]
        after: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Ndjson,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    Markdown,
    Json,
    Csv,
}

#[derive(Debug, Args)]
pub struct StartArguments {
    /// Run this policy; with --advisory, remediate in this policy's way.
    #[arg(long, value_name = "ID")]
    pub policy: Option<PolicyId>,

    /// Input of the system patching workflow in YAML or JSON: targetClusters, pilotHostCount, approverEmails and so on.
    /// `vaultToken` may be `env:NAME` or `file:PATH` instead of the token itself.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["advisory"])]
    pub input: Option<PathBuf>,

    /// Install only the fixes of this advisory or CVE.
    #[arg(long, value_name = "ID")]
    pub advisory: Option<String>,

    #[command(flatten)]
    pub selection: Selection,

    #[command(flatten)]
    pub way: Way,

    /// Follow the run until it ends.
    #[arg(long)]
    pub watch: bool,
}

/// How a run goes about it.
#[derive(Debug, Args)]
pub struct Way {
    /// Instead of the policy's: bigbang, rolling, batch_rolling, canary, bluegreen, dep_greedy or hybrid.
    #[arg(long)]
    pub strategy: Option<Strategy>,

    /// An approved change for this very plan; without one a change is opened and its approval waited for.
    #[arg(long, value_name = "CHG")]
    pub change: Option<ChangeId>,

    /// Plan only; nothing is touched.
    #[arg(long)]
    pub dry_run: bool,

    /// Open an emergency change and skip waiting for the window; gates and verification stay.
    #[arg(long)]
    pub emergency: bool,
}

#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// What would happen: the outcome of a plan under each strategy.
    Simulate(SimulateArguments),
}
