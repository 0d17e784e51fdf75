//! Commands that prepare and then become another program, whose exit status and signals are then its own.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::bail;
use clap::ValueEnum;

use crate::bootstrap::{self, Needs};
use crate::workspace::Workspace;

#[derive(Clone, Copy, ValueEnum)]
pub enum Benchmark {
    /// A wave through our runner against the bare `ansible-playbook` command
    Ansible,
    /// All strategies on graphs of up to 100,000 nodes, Monte Carlo, and SimPy on the same model
    Simulate,
}

pub fn demo(workspace: &Workspace, arguments: &[String]) -> anyhow::Result<ExitCode> {
    let needs = match arguments.iter().any(|argument| argument == "real" || argument == "--hosts=real") {
        true => Needs::RealHosts,
        false => Needs::Platform,
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

pub fn bench(workspace: &Workspace, benchmark: Benchmark, arguments: &[String]) -> anyhow::Result<ExitCode> {
    let mut command = workspace.cargo();
    match benchmark {
        Benchmark::Ansible => {
            bootstrap::run(workspace, Needs::Platform)?;
            command.args([
                "run",
                "--quiet",
                "--release",
                "--package",
                "ansible",
                "--example",
                "bench_wave",
                "--",
            ]);
        }
        Benchmark::Simulate => {
            command.env("PATCH_BENCH_PYTHON", bootstrap::bench_python(workspace)?);
            command.args(["bench", "--quiet", "--package", "simulator", "--bench", "simulate", "--"]);
        }
    }
    command.args(arguments);
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
