//! Commands that prepare and then become another program, whose exit status and signals are then its own.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::bail;
use clap::ValueEnum;

use crate::bootstrap::{self, Needs};
use crate::web;
use crate::workspace::Workspace;

#[derive(Clone, Copy, ValueEnum)]
pub enum Benchmark {
    /// A wave through our runner against the bare `ansible-playbook` command; `-- --hosts real` for 24 real hosts
    Ansible,
    /// All strategies on graphs of up to 100,000 nodes, Monte Carlo, and SimPy on the same model
    Simulate,
    /// Compliance at scale next to a baseline, on the same data; `-- --cis 1000000` for the whole (100,000 by
    /// default: some minutes)
    Compliance,
    /// A run beside 500 clients that send one request a second each, and beside clients that send without pause, against the
    /// run alone; `-- --clients N --seconds N --hosts N --eager N`
    Load,
    /// The console with 100,000 hosts in a browser: first byte, script time, memory, interactions, lists, sizes of answers;
    /// `-- --hosts N`
    Console,
    /// What a run of up to 10,000 hosts costs the platform, and runs of real Ansible beside the bare command;
    /// `-- --hosts 24,200,1000,10000 --ansible 24,200`
    Run,
}

pub fn demo(workspace: &Workspace, arguments: &[String]) -> anyhow::Result<ExitCode> {
    let needs = match () {
        () if arguments
            .iter()
            .any(|argument| argument == "brownfield" || argument == "--hosts=brownfield") =>
        {
            Needs::Brownfield
        }
        () if on_real_hosts(arguments) => Needs::RealHosts,
        () => Needs::Platform,
    };
    let installed = bootstrap::run(workspace, needs)?;
    eprintln!("ready: {}", installed.summary);
    eprintln!("building patchctl; the first time this takes some minutes");
    let status =
        workspace.cargo().args(["build", "--package", "patchctl"]).env("SQLX_OFFLINE", "true").status()?;
    if !status.success() {
        bail!("patchctl does not compile; see above");
    }
    let mut command = Command::new(workspace.target.join("debug/patchctl"));
    command.arg("demo").args(arguments);
    become_program(workspace, command)
}

fn on_real_hosts(arguments: &[String]) -> bool {
    arguments.iter().any(|argument| argument == "real" || argument == "--hosts=real")
}

pub fn bench(workspace: &Workspace, benchmark: Benchmark, arguments: &[String]) -> anyhow::Result<ExitCode> {
    let mut command = workspace.cargo();
    let of_release: &[&str] = match benchmark {
        Benchmark::Ansible if on_real_hosts(arguments) => {
            bootstrap::run(workspace, Needs::RealHosts)?;
            command.env("SQLX_OFFLINE", "true");
            &["run", "--release", "--package", "patch-manager", "--example", "bench_hosts"]
        }
        Benchmark::Ansible => {
            bootstrap::run(workspace, Needs::Platform)?;
            &["run", "--release", "--package", "ansible", "--example", "bench_wave"]
        }
        Benchmark::Simulate => {
            command.env("PATCH_BENCH_PYTHON", bootstrap::bench_python(workspace)?);
            &["bench", "--package", "simulator", "--bench", "simulate"]
        }
        Benchmark::Compliance => {
            bootstrap::run(workspace, Needs::Platform)?;
            command.env("SQLX_OFFLINE", "true");
            &["run", "--release", "--package", "patch-manager", "--example", "bench_compliance"]
        }
        Benchmark::Load => {
            bootstrap::run(workspace, Needs::Platform)?;
            command.env("SQLX_OFFLINE", "true");
            &["run", "--release", "--package", "patch-manager", "--example", "bench_load"]
        }
        Benchmark::Console => {
            bootstrap::run(workspace, Needs::Platform)?;
            command.env("SQLX_OFFLINE", "true").env("PATCH_CHROMIUM", bootstrap::browser(workspace)?);
            if let Some(node) = web::node_program(workspace) {
                command.env("PATCH_NODE", node);
            }
            &["run", "--release", "--package", "patch-manager", "--example", "bench_console"]
        }
        Benchmark::Run => {
            bootstrap::run(workspace, Needs::Platform)?;
            command.env("SQLX_OFFLINE", "true");
            &["run", "--release", "--package", "patch-manager", "--example", "bench_run"]
        }
    };
    command.args(of_release).args(["--quiet", "--"]).args(arguments);
    become_program(workspace, command)
}

fn become_program(workspace: &Workspace, mut command: Command) -> anyhow::Result<ExitCode> {
    if std::env::var_os("PATCH_ANSIBLE_PLAYBOOK").is_none() {
        command.env("PATCH_ANSIBLE_PLAYBOOK", workspace.tool("ansible-playbook"));
    }
    if std::env::var_os("PATCH_FLEET_IMAGES").is_none() {
        command.env("PATCH_FLEET_IMAGES", workspace.fleet_images());
    }
    let program = command.get_program().to_string_lossy().into_owned();
    let error = command.exec();
    bail!("cannot run `{program}`: {error}")
}
