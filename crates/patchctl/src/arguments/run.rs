use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use domain::{
    ids::{ChangeId, CiId, PolicyId, RunId},
    strategy::Strategy,
};

use super::short_id::parse_change;
use super::{Most, Selection, ShortId, SimulateArguments};
use crate::complete;

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
        #[arg(long, value_name = "ID", add = complete::policies())]
        policy: Option<PolicyId>,
        /// Only runs in this state, such as `executing` or `halted`.
        #[arg(long)]
        state: Option<String>,
        #[command(flatten)]
        most: Most,
    },
    /// Show one run: its state, waves, hosts and last log lines. `-o json` prints only its state and counts.
    Show {
        #[arg(value_name = "RUN", add = complete::runs())]
        id: ShortId<RunId>,
    },
    /// Print the plan of a run as JSON: exactly what its change requests approval of.
    Plan {
        #[arg(value_name = "RUN", add = complete::runs())]
        id: ShortId<RunId>,
    },
    /// List the waves of a run.
    Waves {
        #[arg(value_name = "RUN", add = complete::runs())]
        id: ShortId<RunId>,
        #[command(flatten)]
        most: Most,
    },
    /// List the hosts of a run.
    Hosts {
        #[arg(value_name = "RUN", add = complete::runs())]
        id: ShortId<RunId>,
        /// Only hosts in this state, such as `patching` or `failed`.
        #[arg(long)]
        state: Option<String>,
        /// Only hosts of the wave with this index, from 0.
        #[arg(long, value_name = "INDEX")]
        wave: Option<u32>,
        #[command(flatten)]
        most: Most,
    },
    /// Show what has changed between the approved plan of a run and the one made right before its work.
    Diff {
        #[arg(value_name = "RUN", add = complete::runs())]
        id: ShortId<RunId>,
    },
    /// Show the steps of the latest attempt on each host.
    Steps {
        #[arg(value_name = "RUN", add = complete::runs())]
        id: ShortId<RunId>,
        /// Only of this host.
        #[arg(long, value_name = "ID", add = complete::hosts())]
        host: Option<CiId>,
        #[command(flatten)]
        most: Most,
    },
    /// Print what a run that has ended did, event by event.
    Trace {
        #[arg(value_name = "RUN", add = complete::runs())]
        id: ShortId<RunId>,
    },
    /// Start a run of a policy, of the remediation of an advisory, or of selected hosts.
    Start(StartArguments),
    /// Follow a run, host by host. Exit status: 0 succeeded, 1 did not succeed, 3 some hosts failed.
    Watch {
        /// By default the newest run that is open.
        #[arg(value_name = "RUN", add = complete::runs())]
        id: Option<ShortId<RunId>>,
    },
    /// Stop a run in a safe state; hosts in a package transaction finish it.
    Cancel(OrderArguments),
    /// Pause a run: it starts nothing new.
    Pause(OrderArguments),
    /// Resume a paused run.
    Resume(OrderArguments),
    /// Skip a host of a run: it is not started, or not tried again after it failed.
    Skip {
        #[arg(value_name = "RUN", add = complete::runs())]
        id: ShortId<RunId>,
        #[arg(add = complete::hosts())]
        host: CiId,
        /// Reason; stored with the run.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Start a new run for the hosts that failed.
    RetryFailed(OrderArguments),
    /// Start a run that reverts the hosts to the snapshots of this run.
    Rollback(OrderArguments),
    /// Print the log of a run.
    Logs {
        #[arg(value_name = "RUN", add = complete::runs())]
        id: ShortId<RunId>,
        /// Only the lines of this host.
        #[arg(long, value_name = "HOST", add = complete::hosts())]
        host: Option<CiId>,
        /// Go on with new lines until the run ends.
        #[arg(long)]
        follow: bool,
        #[arg(long, value_enum, default_value_t = LogFormat::Text)]
        format: LogFormat,
    },
    /// Print the report of a run: predicted and actual values, and the evidence.
    Report {
        #[arg(value_name = "RUN", add = complete::runs())]
        id: ShortId<RunId>,
        #[arg(long, value_enum, default_value_t = ReportFormat::Markdown)]
        format: ReportFormat,
    },
    /// Print the events of a run as JSON lines, until it ends.
    Events {
        #[arg(value_name = "RUN", add = complete::runs())]
        id: ShortId<RunId>,
        /// Only events after this one.
        #[arg(long, value_name = "EVENT", default_value = "0")]
        after: String,
    },
}

/// An order of an operator to a run.
#[derive(Debug, Args)]
pub struct OrderArguments {
    #[arg(value_name = "RUN", add = complete::runs())]
    pub id: ShortId<RunId>,
    /// Reason; stored with the run.
    #[arg(long, default_value = "")]
    pub reason: String,
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
    /// Run this policy; with --advisory, remediate with the settings of this policy.
    #[arg(long, value_name = "ID", add = complete::policies())]
    pub policy: Option<PolicyId>,

    /// Input of the system patching workflow in YAML or JSON: targetClusters, pilotHostCount, approverEmails and so on.
    /// `vaultToken` may be `env:NAME` or `file:PATH` instead of the token.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["advisory"])]
    pub input: Option<PathBuf>,

    /// Install only the fixes of this advisory or CVE.
    #[arg(long, value_name = "ID")]
    pub advisory: Option<String>,

    #[command(flatten)]
    pub selection: Selection,

    #[command(flatten)]
    pub options: RunOptions,

    /// Follow the run until it ends.
    #[arg(long)]
    pub watch: bool,
}

/// How a run patches its hosts.
#[derive(Debug, Args)]
pub struct RunOptions {
    /// Strategy instead of that of the policy: bigbang, rolling, batch_rolling, canary, dep_greedy or hybrid.
    #[arg(long, add = complete::strategies())]
    pub strategy: Option<Strategy>,

    /// An approved change for exactly this plan; by default the run opens a change and waits for its approval.
    #[arg(long, value_name = "CHG", value_parser = parse_change)]
    pub change: Option<ChangeId>,

    /// Only plan; no host is changed.
    #[arg(long)]
    pub dry_run: bool,

    /// Open an emergency change and do not wait for the window; gates and verification still apply.
    #[arg(long)]
    pub emergency: bool,
}

#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// Simulate a plan under each strategy.
    Simulate(SimulateArguments),
    /// Play the plan that a run would have now once, event by event.
    Trace(TraceArguments),
}

#[derive(Debug, Args)]
pub struct TraceArguments {
    /// Play the plan of this policy.
    #[arg(long, value_name = "ID", add = complete::policies())]
    pub policy: Option<PolicyId>,

    /// Only the fixes of this advisory or CVE.
    #[arg(long, value_name = "ID")]
    pub advisory: Option<String>,

    #[command(flatten)]
    pub selection: Selection,

    /// Strategy instead of that of the policy.
    #[arg(long, add = complete::strategies())]
    pub strategy: Option<Strategy>,

    /// Seed of the chance.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,

    /// Number of the play; the forecast with the same seed has the plays 0 to 999.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub play: u32,
}
