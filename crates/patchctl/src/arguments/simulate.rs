use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use domain::{
    ids::{PolicyId, RunId},
    strategy::Strategy,
};

use super::{Selection, ShortId};
use crate::complete;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchctl simulate --policy policy-prod
  patchctl simulate --tag env=prod --advisory CVE-2026-90100 --strategy hybrid,rolling --runs 10000
  patchctl simulate --policy policy-prod --deadline 7200 --confidence 0.99
  patchctl simulate --policy policy-prod --strategy rolling --check 1
  patchctl simulate --replay 01900000-0000-7000-8000-000000000001
  patchctl simulate -f scenario.yaml --strategy all --runs 10000 --out results
  patchctl simulate -f scenario.yaml --strategy rolling --check 1
  patchctl simulate -f scenario.yaml --strategy rolling --reference --seed 7 --out results

Exit status: 3 when a plan is refused or --check finds a plan that is not safe.")]
pub struct SimulateArguments {
    /// Simulate the plan of this policy.
    #[arg(long, value_name = "ID", add = complete::policies())]
    pub policy: Option<PolicyId>,

    /// Simulate the plan that remediates this advisory or CVE.
    #[arg(long, value_name = "ID")]
    pub advisory: Option<String>,

    #[command(flatten)]
    pub selection: Selection,

    /// Replay this finished run under other strategies, with the actual durations and faults of its hosts.
    #[arg(long, value_name = "RUN", add = complete::runs(), conflicts_with_all = ["policy", "advisory", "tags", "ids", "all"])]
    pub replay: Option<ShortId<RunId>>,

    /// bigbang, rolling, batch_rolling, canary, bluegreen, dep_greedy, hybrid, several comma-separated, or all; default
    /// all. Hosts cannot be patched by bluegreen.
    #[arg(long = "strategy", value_name = "NAME", value_delimiter = ',')]
    strategies: Vec<Choice>,

    /// Simulations per strategy; default 1000.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub runs: Option<u32>,

    /// The same seed produces the same result; by default the seed of the scenario, else 0.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<i64>,

    /// Find what it takes to finish within this time: fewer or more hosts at once, or a longer window. For a scenario, also
    /// which strategies finish in time.
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub deadline: Option<f64>,

    /// Share of runs that must meet the deadline, between 0 and 1; default 0.95.
    #[arg(long, value_name = "SHARE", requires = "deadline", value_parser = parse_share)]
    pub confidence: Option<f64>,

    /// Prove for each plan that no service falls below its min_up while K hosts or nodes fail, or show how it does.
    #[arg(long, value_name = "K", conflicts_with = "replay", value_parser = clap::value_parser!(u32).range(0..=20))]
    pub check: Option<u32>,

    #[command(flatten)]
    pub scenario: ScenarioArguments,
}

/// Options for a scenario, which needs no platform.
#[derive(Debug, Args)]
#[command(next_help_heading = "A scenario from a file, without a platform")]
#[group(multiple = true, conflicts_with_all = ["policy", "advisory", "tags", "ids", "all", "replay"])]
pub struct ScenarioArguments {
    /// Simulate the nodes and edges of this YAML file; `-` reads standard input.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Write plan.json, events.jsonl, metrics.csv, report.md and plots to this folder; several strategies get a folder
    /// each.
    #[arg(long, value_name = "DIR", requires = "file")]
    pub out: Option<PathBuf>,

    /// Nodes per batch of batch_rolling; default 2.
    #[arg(long, value_name = "N", requires = "file", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_size: Option<u32>,

    /// Run each plan once with the rules of the reference simulator; the figures match it exactly.
    #[arg(long, requires = "file", conflicts_with_all = ["runs", "check", "deadline", "max_parallel", "options"])]
    pub reference: bool,

    /// Maximum number of nodes in work at once; by default all nodes of a step.
    #[arg(long, value_name = "N", requires = "file", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_parallel: Option<u32>,

    /// YAML file with durations, failures, windows and halt thresholds.
    #[arg(long, value_name = "FILE", requires = "file")]
    pub options: Option<PathBuf>,
}

/// A value of `--strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    All,
    One(Strategy),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            name => name.parse().map(Self::One),
        }
    }
}

impl SimulateArguments {
    /// The requested strategies in their order, without repetitions.
    pub fn strategies(&self) -> Vec<Strategy> {
        let mut chosen = Vec::new();
        for choice in &self.strategies {
            match choice {
                Choice::All => return Strategy::ALL.to_vec(),
                Choice::One(strategy) if chosen.contains(strategy) => {}
                Choice::One(strategy) => chosen.push(*strategy),
            }
        }
        if chosen.is_empty() { Strategy::ALL.to_vec() } else { chosen }
    }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (1.0..=1e9).contains(&seconds) => Ok(seconds),
        _ => Err("must be 1 to 1000000000 seconds".to_owned()),
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err("must be above 0 and below 1, such as 0.95".to_owned()),
    }
}
