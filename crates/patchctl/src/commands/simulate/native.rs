//! `simulate -f`: many runs of every strategy, a comparison and a recommendation.

use domain::strategy::Strategy;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use simulator::check::{Verdict, check_nodes};
use simulator::native::{self, NativeOptions, Sampling, ScenarioComparison};

use super::deadline::{self, DeadlineAnswer};
use super::{Question, files, table};
use crate::input;
use terminal::Printer;
use terminal::{CommandResult, ExitStatus, Failure, OK};

const RUNS: u32 = 1000;

/// The complete result, which `-o json` prints.
#[derive(Serialize)]
pub struct Answer {
    pub scenario: String,
    pub nodes: usize,
    pub edges: usize,
    pub seed: u64,
    #[serde(flatten)]
    pub comparison: ScenarioComparison,
    /// Empty unless requested.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Checked>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<DeadlineAnswer>,
}

#[derive(Serialize)]
pub struct Checked {
    pub strategy: Strategy,
    pub failures: u32,
    #[serde(flatten)]
    pub verdict: Verdict,
}

pub fn run(question: &Question, printer: Printer) -> CommandResult {
    let folder = question.folder()?;
    let options = options(question)?;
    let (runs, seed) = (question.runs.unwrap_or(RUNS), question.seed.unsigned_abs());
    let bar = progress(u64::from(runs) * question.strategies.len() as u64);
    let watch = || bar.inc(1);
    let deadline_seconds = question.deadline;
    let sampling = Sampling { deadline_seconds, watch: &watch, ..Sampling::new(runs, seed) };
    let Question { scenario, strategies, .. } = question;
    let comparison = native::compare(scenario, strategies, question.batch_size(), &options, &sampling);
    let deadline = deadline_seconds.map(|seconds| {
        let more = || bar.inc_length(u64::from(runs));
        deadline::answer(question, seconds, &options, &sampling, &comparison, &more)
    });
    bar.set_message("checking");
    let checks = match question.check {
        Some(failures) => checks(question, options.max_parallel, failures, &comparison),
        None => Vec::new(),
    };
    bar.finish_and_clear();
    let (nodes, edges) = (scenario.nodes.len(), scenario.edges.len());
    let answer = Answer { scenario: scenario.name.clone(), nodes, edges, seed, comparison, checks, deadline };
    if let Some(folder) = folder {
        files::write(question, &options, &answer, &folder)?;
    }
    table::show(&answer, printer)?;
    let refused = answer.comparison.outcomes.iter().any(|outcome| outcome.refused.is_some());
    let unproven = answer.checks.iter().any(|check| !matches!(check.verdict, Verdict::Safe { .. }));
    if refused || unproven { Ok(ExitStatus::Partial) } else { OK }
}

/// The options of the file; the command line overrides them.
fn options(question: &Question) -> Result<NativeOptions, Failure> {
    let mut options = NativeOptions::default();
    if let Some(file) = &question.arguments.options {
        options = input::request(file)?;
        if let Some((field, reason)) = options.faults().first() {
            return Err(Failure::usage(format!("`{}`: {field} {reason}", file.display())));
        }
    }
    options.max_parallel = question.arguments.max_parallel.or(options.max_parallel);
    Ok(options.with_windows_of_calendar())
}

fn checks(
    question: &Question,
    max_parallel: Option<u32>,
    failures: u32,
    comparison: &ScenarioComparison,
) -> Vec<Checked> {
    let outcomes = comparison.outcomes.iter();
    let planned = outcomes.filter_map(|outcome| Some((outcome.strategy, outcome.plan.as_ref()?)));
    let check = |(strategy, plan)| {
        let verdict = check_nodes(&question.scenario, plan, max_parallel, failures);
        Checked { strategy, failures, verdict }
    };
    planned.map(check).collect()
}

/// A progress bar on a terminal, nothing elsewhere.
fn progress(runs: u64) -> ProgressBar {
    let template = "{elapsed_precise} [{bar:30}] {human_pos}/{human_len} runs, {eta} left  {msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(runs).with_style(style.progress_chars("=> "))
}
