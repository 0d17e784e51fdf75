use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use domain::{
    ids::{PolicyId, RunId},
    strategy::Strategy,
};

use super::Selection;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchctl simulate --policy policy-prod
  patchctl simulate --tag env=prod --advisory CVE-2026-90100 --strategy hybrid,rolling --runs 10000
  patchctl simulate --policy policy-prod --deadline 7200 --confidence 0.99
  patchctl simulate --replay 01900000-0000-7000-8000-000000000001
  patchctl simulate -f scenario.yaml --strategy all --runs 10000 --out results
  patchctl simulate -f scenario.yaml --strategy rolling --check 1
  patchctl simulate -f scenario.yaml --strategy rolling --reference --seed 7 --out results

Exit status: 3 when a plan is refused, or --check finds a plan that is not safe.")]
pub struct SimulateArguments {
    /// The plan of this policy.
    #[arg(long, value_name = "ID")]
    pub policy: Option<PolicyId>,

    /// The plan that remediates this advisory or CVE.
    #[arg(long, value_name = "ID")]
    pub advisory: Option<String>,

    #[command(flatten)]
    pub selection: Selection,

    /// This finished run once more under other strategies, with the durations and faults that its hosts had.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["policy", "advisory", "tags", "ids", "all"])]
    pub replay: Option<RunId>,

    /// bigbang, rolling, batch_rolling, canary, bluegreen, dep_greedy, hybrid, several parted by commas, or all. All
    /// when unsaid.
    #[arg(long = "strategy", value_name = "NAME", value_delimiter = ',')]
    strategies: Vec<Choice>,

    /// Simulations per strategy; 1000 when unsaid.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub runs: Option<u32>,

    /// The same seed gives the same answer; when unsaid the scenario's own, else 0.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub seed: Option<i64>,

    /// What it takes to be done after so many seconds: fewer or more hosts at once, or a longer window; of a scenario,
    /// which strategies have patched everything by then.
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub deadline: Option<f64>,

    /// The share of runs that must meet the deadline, 0 to 1; 0.95 when unsaid.
    #[arg(long, value_name = "SHARE", requires = "deadline", value_parser = parse_share)]
    pub confidence: Option<f64>,

    #[command(flatten)]
    pub scenario: ScenarioArguments,
}

/// Questions about a scenario need no platform.
#[derive(Debug, Args)]
#[command(next_help_heading = "A scenario from a file, without a platform")]
#[group(multiple = true, conflicts_with_all = ["policy", "advisory", "tags", "ids", "all", "replay"])]
pub struct ScenarioArguments {
    /// Simulate the nodes and edges of this YAML file; `-` reads standard input.
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Write plan.json, events.jsonl, metrics.csv, report.md and plots into this folder; for several strategies into a
    /// folder for each.
    #[arg(long, value_name = "DIR", requires = "file")]
    pub out: Option<PathBuf>,

    /// Nodes per batch of batch_rolling; 2 when unsaid.
    #[arg(long, value_name = "N", requires = "file", value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_size: Option<u32>,

    /// Play each plan once by the reference simulator's rules, whose figures it meets exactly.
    #[arg(long, requires = "file", conflicts_with_all = ["runs", "check", "deadline", "max_parallel", "options"])]
    pub reference: bool,

    /// Prove that no service falls below its min_up while K nodes fail, or show how it does.
    #[arg(long, value_name = "K", requires = "file", value_parser = clap::value_parser!(u32).range(0..=20))]
    pub check: Option<u32>,

    /// Nodes worked on at once; when unsaid all of a step.
    #[arg(long, value_name = "N", requires = "file", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_parallel: Option<u32>,

    /// YAML file that says how long attempts take, how they fail, in which windows they begin and when a run halts.
    #[arg(long, value_name = "FILE", requires = "file")]
    pub options: Option<PathBuf>,
}

/// What `--strategy` takes.
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
    /// Each strategy asked for once, in the order asked for.
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
