//! `cargo xtask test`: the steps, cheapest first.

use std::io::{IsTerminal, Write, stdout};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::bootstrap::{self, Needs};
use crate::task::{Task, Verdict};
use crate::workspace::Workspace;
use crate::{architecture, attack, contracts, docs, licences, openapi, playbooks, queries, test_step, web};

const CLIPPY_DEADLINE: Duration = Duration::from_secs(1200);

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StepName {
    /// `cargo fmt --check`
    Fmt,
    /// The rules between crates
    Check,
    /// Licences, bans and sources of dependencies
    Licences,
    /// What the machine needs for the steps after it
    Bootstrap,
    /// Syntax and lint of every playbook
    Playbooks,
    /// .sqlx/ against the migrations
    Queries,
    /// Clippy without warnings
    Clippy,
    /// openapi/ against the services
    Openapi,
    /// Lint of openapi/, and a typed client compiled from each contract
    Contracts,
    /// Generated documents against their sources
    Docs,
    /// console/dist against console/
    Web,
    /// All tests, against a PostgreSQL started for them
    Tests,
    /// A fixed sample of the attacks on a private platform; only with `--full`, which carries out all of them, or when it is named
    Attack,
}

impl StepName {
    fn needs_bootstrap(self) -> bool {
        matches!(self, Self::Bootstrap | Self::Playbooks | Self::Queries | Self::Tests | Self::Attack)
    }
}

/// How much of the heavy tests runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// A fixed sample, which every change must pass.
    Sample,
    /// All of them.
    Full,
}

/// Runs every step even after a failure, so that one run reports everything that is wrong.
///
/// `selection` is cargo's: which crates are linted and tested.
pub fn run(
    workspace: &Workspace,
    only: &[StepName],
    selection: &[String],
    extent: Extent,
) -> anyhow::Result<ExitCode> {
    let mut chosen: Vec<StepName> = StepName::value_variants().to_vec();
    if only.is_empty() {
        chosen.retain(|step| extent == Extent::Full || *step != StepName::Attack);
    } else {
        let bootstrap_needed = only.iter().any(|step| step.needs_bootstrap());
        chosen.retain(|step| only.contains(step) || (bootstrap_needed && *step == StepName::Bootstrap));
    }
    let mut failed = Vec::new();
    let mut skipped = Vec::new();
    let mut totals = None;
    for step in chosen {
        let name = step.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        announce(&name);
        let started = Instant::now();
        let verdict = perform(workspace, step, selection, extent, &mut totals);
        if let Ok(Verdict::Skipped(why)) = &verdict {
            skipped.push(format!("skipped: the step {name}: {why}"));
        }
        if !conclude(&name, started.elapsed(), verdict) {
            failed.push(name);
            if step == StepName::Bootstrap {
                break;
            }
        }
    }
    for line in skipped.into_iter().chain(totals.iter().flat_map(test_step::Totals::skipped)) {
        println!("{line}");
    }
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    // The last line, for programs that count.
    if let Some(totals) = totals {
        println!("{totals}");
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn perform(
    workspace: &Workspace,
    step: StepName,
    selection: &[String],
    extent: Extent,
    totals: &mut Option<test_step::Totals>,
) -> anyhow::Result<Verdict> {
    match step {
        StepName::Fmt => format(workspace),
        StepName::Check => architecture::check(workspace),
        StepName::Licences => licences::check(workspace),
        StepName::Bootstrap => {
            bootstrap::run(workspace, Needs::Checks).map(|installed| Verdict::Passed(installed.summary))
        }
        StepName::Playbooks => playbooks::check(workspace),
        StepName::Queries => queries::check(workspace),
        StepName::Clippy => {
            let mut command = workspace.cargo();
            command
                .args(["clippy", "--all-targets", "--locked"])
                .args(selection)
                .args(["--", "-D", "warnings"]);
            cargo("clippy", command)
        }
        StepName::Openapi => openapi::check(workspace),
        StepName::Contracts => contracts::check(workspace),
        StepName::Docs => docs::check(workspace),
        StepName::Web => web::check(workspace),
        StepName::Tests => {
            let (verdict, counted) = test_step::run(workspace, selection, extent)?;
            *totals = Some(counted);
            Ok(verdict)
        }
        StepName::Attack => attack::step(workspace, extent),
    }
}

/// Names only the files: the formatter changes them.
fn format(workspace: &Workspace) -> anyhow::Result<Verdict> {
    let mut command = workspace.cargo();
    command.args(["fmt", "--all", "--", "--check", "-l"]);
    match cargo("fmt", command)? {
        Verdict::Failed(files) => Ok(Verdict::Failed(format!("{files}\nrun `cargo fmt --all`"))),
        other => Ok(other),
    }
}

fn cargo(name: &str, mut command: Command) -> anyhow::Result<Verdict> {
    command.env("SQLX_OFFLINE", "true");
    Ok(Task::new(name, CLIPPY_DEADLINE).run(command)?.verdict())
}

/// On a terminal the name is shown while the step runs, and overwritten afterwards.
fn announce(name: &str) {
    if stdout().is_terminal() {
        print!("{name}");
        let _ = stdout().flush();
    }
}

/// Writes the step's line; the whole output follows only when it failed.
fn conclude(name: &str, elapsed: Duration, verdict: anyhow::Result<Verdict>) -> bool {
    let seconds = elapsed.as_secs_f64();
    let (verdict, note, details) = match verdict {
        Ok(Verdict::Passed(note)) => ("ok", note, None),
        Ok(Verdict::Skipped(why)) => ("skipped", why, None),
        Ok(Verdict::Failed(details)) => ("FAILED", String::new(), Some(details)),
        Err(error) => ("FAILED", String::new(), Some(format!("{error:#}"))),
    };
    let erase = if stdout().is_terminal() { "\r\x1b[K" } else { "" };
    let line = format!("{name:<10} {verdict:<7} {seconds:7.1} s  {note}");
    println!("{erase}{}", line.trim_end());
    let Some(details) = details else {
        return true;
    };
    for line in details.lines() {
        println!("  {line}");
    }
    println!("  again: cargo xtask test --only {name}");
    false
}
