//! `simulate`: the fleet on the platform, or a scenario in a file without a platform.

mod deadline;
mod files;
mod fleet;
mod folder;
mod native;
mod reference;
mod table;

use std::path::Path;

use domain::strategy::Strategy;
use planner::{Scenario, scenario};

pub use self::fleet::{plan_remark, weighted_hours};
use self::folder::Folder;
use crate::arguments::{ScenarioArguments, SimulateArguments};
use crate::connect::Connection;
use crate::input;
use terminal::Printer;
use terminal::{CommandResult, Failure};

const BATCH_SIZE: u32 = 2;

pub async fn run(
    connect: impl FnOnce() -> Result<Connection, Failure>,
    arguments: SimulateArguments,
    printer: Printer,
) -> CommandResult {
    if let Some(file) = arguments.scenario.file.clone() {
        return of_scenario(&file, arguments, printer);
    }
    let has_selection = arguments.selection.selector().is_some();
    let is_named = arguments.policy.is_some() || arguments.advisory.is_some() || arguments.replay.is_some();
    if !is_named && !has_selection {
        let message =
            "select what would be patched: --policy, --advisory, --tag, --ci or --all, or a run to --replay";
        return Err(Failure::usage(message).hint("`-f scenario.yaml` simulates a file without a platform"));
    }
    fleet::run(&connect()?, arguments, printer).await
}

/// A scenario and the question about it.
struct Question {
    scenario: Scenario,
    strategies: Vec<Strategy>,
    seed: i64,
    runs: Option<u32>,
    deadline: Option<f64>,
    confidence: Option<f64>,
    /// Nodes that may fail in the proof.
    check: Option<u32>,
    arguments: ScenarioArguments,
}

fn of_scenario(file: &Path, arguments: SimulateArguments, printer: Printer) -> CommandResult {
    let yaml = input::read_text(file)?;
    let scenario = scenario::read(&file.to_string_lossy(), &yaml);
    let scenario = scenario.map_err(|error| Failure::new(error.to_string()))?;
    let question = Question {
        strategies: arguments.strategies(),
        seed: arguments.seed.unwrap_or(scenario.seed),
        runs: arguments.runs,
        deadline: arguments.deadline,
        confidence: arguments.confidence,
        check: arguments.check,
        arguments: arguments.scenario,
        scenario,
    };
    if question.arguments.reference {
        reference::run(&question, printer)
    } else {
        native::run(&question, printer)
    }
}

impl Question {
    fn batch_size(&self) -> usize {
        self.arguments.batch_size.unwrap_or(BATCH_SIZE) as usize
    }

    fn has_one_strategy(&self) -> bool {
        self.strategies.len() == 1
    }

    fn folder(&self) -> Result<Option<Folder>, Failure> {
        self.arguments.out.as_deref().map(Folder::create).transpose()
    }
}
