//! The project's own commands; `cargo xtask --help` lists them.
//!
//! Blocking code on few dependencies, because it is the first thing a fresh machine compiles. It prepares and checks;
//! it knows nothing of the product except the names of its crates.

mod architecture;
mod attack;
mod bootstrap;
mod contracts;
mod docs;
mod failure_output;
mod handover;
mod licences;
mod openapi;
mod playbooks;
mod queries;
mod sbom;
mod screenshots;
mod suite;
mod task;
mod test_step;
mod web;
mod workspace;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::bootstrap::Needs;
use crate::suite::{Extent, StepName};
use crate::workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "Sets up, checks and shows the platform")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what is missing: PostgreSQL's server programs and a private Ansible; can be run again and again
    Bootstrap,
    /// Play a whole evening on a private platform; arguments after `--` go to `patchctl demo`
    Demo(PassedOn),
    /// Run everything that must hold before a change lands
    Test {
        /// Run only these steps
        #[arg(long, value_delimiter = ',')]
        only: Vec<StepName>,
        /// Lint and test only these crates
        #[arg(long, short, value_delimiter = ',')]
        package: Vec<String>,
        /// Also run the heavy tests, and all attacks; takes hours
        #[arg(long)]
        full: bool,
    },
    /// Check the rules between and inside crates: directions, layers, purity, cycles of imports, sizes, the diagram of crates
    Check,
    /// Print the lines of Rust per crate, without tests
    Lines,
    /// Write openapi/<service>.json from the services
    Openapi(Drift),
    /// Write docs/problems.md and docs/access.md from their tables in api-types, and the diagram of crates in docs/ARCHITECTURE.md
    Docs(Drift),
    /// Write .sqlx/, what checked queries were checked against
    Queries(Drift),
    /// Attack a private platform: hostile requests and values, secrets that must not leak, slow clients, one person alone
    Attack(attack::Options),
    /// Write target/sbom/: CycloneDX documents of the programs and of the Python that patches hosts
    Sbom,
    /// Write console/dist, the built console, from console/
    Web(Drift),
    /// Take pictures of every view of the console, in both schemes and at 1280 and 390 px
    Screenshots(screenshots::Options),
    /// Measure; arguments after `--` go to the benchmark
    Bench {
        benchmark: handover::Benchmark,
        #[command(flatten)]
        passed_on: PassedOn,
    },
}

#[derive(Args)]
struct PassedOn {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

#[derive(Args)]
struct Drift {
    /// Change nothing; fail when the committed files differ
    #[arg(long)]
    check: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    match command {
        Command::Bootstrap => {
            let installed = bootstrap::run(&workspace, Needs::Checks)?;
            report(task::Verdict::Passed(format!("ready: {}", installed.summary)))
        }
        Command::Demo(passed_on) => handover::demo(&workspace, &passed_on.arguments),
        Command::Test { only, package, full } => {
            let extent = if full { Extent::Full } else { Extent::Sample };
            suite::run(&workspace, &only, &workspace.select(&package)?, extent)
        }
        Command::Check => report(architecture::check(&workspace)?),
        Command::Lines => report(task::Verdict::Passed(architecture::lines(&workspace)?)),
        Command::Openapi(Drift { check: true }) => report(openapi::check(&workspace)?),
        Command::Openapi(Drift { check: false }) => report(openapi::write(&workspace)?),
        Command::Docs(Drift { check: true }) => report(docs::check(&workspace)?),
        Command::Docs(Drift { check: false }) => {
            architecture::write_diagram(&workspace)?;
            report(docs::write(&workspace)?)
        }
        Command::Queries(Drift { check: true }) => report(queries::check(&workspace)?),
        Command::Queries(Drift { check: false }) => report(queries::write(&workspace)?),
        Command::Attack(options) => report(attack::run(&workspace, &options)?),
        Command::Sbom => report(sbom::write(&workspace)?),
        Command::Web(Drift { check: true }) => report(web::check(&workspace)?),
        Command::Web(Drift { check: false }) => report(web::write(&workspace)?),
        Command::Screenshots(options) => report(screenshots::run(&workspace, &options)?),
        Command::Bench { benchmark, passed_on } => {
            handover::bench(&workspace, benchmark, &passed_on.arguments)
        }
    }
}

fn report(verdict: task::Verdict) -> anyhow::Result<ExitCode> {
    let (text, code) = match verdict {
        task::Verdict::Passed(note) => (note, ExitCode::SUCCESS),
        task::Verdict::Skipped(why) => (format!("skipped: {why}"), ExitCode::SUCCESS),
        task::Verdict::Failed(details) => (details, ExitCode::FAILURE),
    };
    println!("{}", text.trim_end());
    Ok(code)
}
